#include "control/gateway/ws_frame.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "codec/check.h"
#include "control/gateway/text.h"

namespace corelay::gateway {
namespace {

constexpr std::size_t control_bytes_max = 125;
constexpr std::string_view accept_salt = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

std::size_t header_bytes(unsigned char second) noexcept {
  const unsigned length = second & 127U;
  return 2U + (length == 126 ? 2U : length == 127 ? 8U : 0U) + 4U;  // clients always mask
}

bool is_control_opcode(unsigned opcode) noexcept { return opcode >= 8; }
bool is_known_opcode(unsigned opcode) noexcept { return opcode <= 2 || (opcode >= 8 && opcode <= 10); }

}  // namespace

void append_ws_header(WsOpcode opcode, std::size_t payload_bytes, std::string& out) {
  out.push_back(static_cast<char>(0x80U | static_cast<unsigned>(opcode)));
  if (payload_bytes < 126) {
    out.push_back(static_cast<char>(payload_bytes));
    return;
  }
  const bool is_large = payload_bytes > 0xffff;
  out.push_back(static_cast<char>(is_large ? 127 : 126));
  for (int shift = is_large ? 56 : 8; shift >= 0; shift -= 8) {
    out.push_back(static_cast<char>(payload_bytes >> shift & 255));
  }
}

std::string ws_frame(WsOpcode opcode, std::string_view payload) {
  std::string out;
  out.reserve(payload.size() + 10);
  append_ws_header(opcode, payload.size(), out);
  out += payload;
  return out;
}

std::string ws_close_frame(WsClose code, std::string_view reason) {
  std::string payload;
  payload.push_back(static_cast<char>(static_cast<unsigned>(code) >> 8));
  payload.push_back(static_cast<char>(static_cast<unsigned>(code) & 255));
  payload += reason.substr(0, control_bytes_max - 2);
  return ws_frame(WsOpcode::close, payload);
}

std::string ws_accept_key(std::string_view key) {
  std::string text(key);
  text += accept_salt;
  std::array<char, 20> digest{};
  unsigned size = 0;
  CHECK(EVP_Digest(text.data(), text.size(), reinterpret_cast<unsigned char*>(digest.data()), &size, EVP_sha1(),
                   nullptr) == 1 &&
        size == digest.size());
  std::string out;
  append_base64({digest.data(), digest.size()}, out);
  return out;
}

WsParser::Outcome WsParser::fail_with(WsClose code) noexcept {
  error_ = code;
  return Outcome::error;
}

WsParser::Outcome WsParser::begin_frame() {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(header_[i]); };
  const unsigned opcode = byte(0) & 15U;
  is_final_ = (byte(0) & 0x80U) != 0;
  if ((byte(0) & 0x70U) != 0 || !is_known_opcode(opcode)) return fail_with(WsClose::protocol_error);
  const std::size_t size = header_.size();
  left_ = byte(1) & 127U;
  if (left_ >= 126) {
    left_ = 0;
    for (std::size_t i = 2; i < size - 4; ++i) left_ = left_ << 8 | byte(i);
  }
  for (std::size_t i = 0; i < 4; ++i) mask_[i] = byte(size - 4 + i);
  mask_at_ = 0;
  is_control_ = is_control_opcode(opcode);
  if (is_control_) {
    if (!is_final_ || left_ > control_bytes_max) return fail_with(WsClose::protocol_error);
    opcode_ = static_cast<WsOpcode>(opcode);
    control_.clear();
    return Outcome::need_more;
  }
  if ((opcode == 0) != is_fragmented_) return fail_with(WsClose::protocol_error);
  if (opcode != 0) {
    message_opcode_ = static_cast<WsOpcode>(opcode);
    message_.clear();
  }
  if (left_ > message_bytes_max_ || message_.size() + left_ > message_bytes_max_) return fail_with(WsClose::too_large);
  is_fragmented_ = !is_final_;
  return Outcome::need_more;
}

WsParser::Outcome WsParser::end_frame() {
  is_in_payload_ = false;
  header_.clear();
  if (is_control_) {
    is_done_ = true;
    return Outcome::control;
  }
  if (!is_final_) return Outcome::need_more;
  opcode_ = message_opcode_;
  if (opcode_ == WsOpcode::text && !is_utf8(message_)) return fail_with(WsClose::not_utf8);
  is_done_ = true;
  return Outcome::message;
}

void WsParser::unmask(char* bytes, std::size_t size) noexcept {
  std::array<std::uint8_t, 8> mask;
  for (std::size_t i = 0; i < mask.size(); ++i) mask[i] = mask_[(mask_at_ + i) & 3];
  std::uint64_t masks;
  std::memcpy(&masks, mask.data(), 8);
  std::size_t at = 0;
  for (; at + 8 <= size; at += 8) {
    std::uint64_t word;
    std::memcpy(&word, bytes + at, 8);
    word ^= masks;
    std::memcpy(bytes + at, &word, 8);
  }
  for (; at < size; ++at) bytes[at] = static_cast<char>(static_cast<std::uint8_t>(bytes[at]) ^ mask[at & 7]);
  mask_at_ += size;
}

WsParser::Outcome WsParser::feed(std::string_view& bytes) {
  if (is_done_) {
    is_done_ = false;
    if (!is_control_) message_ = {};  // gives the memory back
  }
  while (!bytes.empty() || (is_in_payload_ && left_ == 0)) {
    if (!is_in_payload_) {
      const std::size_t wanted = header_.size() < 2 ? 2 : header_bytes(static_cast<unsigned char>(header_[1]));
      const std::size_t taken = std::min(wanted - header_.size(), bytes.size());
      header_ += bytes.substr(0, taken);
      bytes.remove_prefix(taken);
      if (header_.size() < 2) return Outcome::need_more;
      if ((static_cast<unsigned char>(header_[1]) & 0x80U) == 0) return fail_with(WsClose::protocol_error);
      if (header_.size() < header_bytes(static_cast<unsigned char>(header_[1]))) continue;
      is_in_payload_ = true;
      if (begin_frame() == Outcome::error) return Outcome::error;
    }
    std::string& to = is_control_ ? control_ : message_;
    const std::size_t taken = static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size()));
    const std::size_t start = to.size();
    to += bytes.substr(0, taken);
    unmask(to.data() + start, taken);
    bytes.remove_prefix(taken);
    left_ -= taken;
    if (left_ != 0) return Outcome::need_more;
    if (const Outcome outcome = end_frame(); outcome != Outcome::need_more) return outcome;
  }
  return Outcome::need_more;
}

}  // namespace corelay::gateway
