#include "control/libp2p/record.h"

#include <limits>

#include "codec/check.h"
#include "control/libp2p/varint.h"

namespace corelay::libp2p {
namespace {

constexpr std::uint64_t nonce_max = std::numeric_limits<std::uint32_t>::max();

tl::unexpected<Error> used_up() {
  return fail(ErrorCode::closed, "noise", "2^32 records: the connection must be made anew");
}

void store_length(std::uint8_t* to, std::size_t length) noexcept {
  to[0] = static_cast<std::uint8_t>(length >> 8);
  to[1] = static_cast<std::uint8_t>(length);
}

}  // namespace

void RecordReader::add(Bytes bytes) {
  if (at_ > 0) {
    held_.erase(held_.begin(), held_.begin() + static_cast<std::ptrdiff_t>(at_));
    at_ = 0;
  }
  append_bytes(held_, bytes);
}

std::optional<MutableBytes> RecordReader::next() {
  const MutableBytes rest = MutableBytes(held_).subspan(at_);
  if (rest.size() < record_header_bytes) return std::nullopt;
  const std::size_t length = static_cast<std::size_t>(rest[0]) << 8 | rest[1];
  if (rest.size() - record_header_bytes < length) return std::nullopt;
  at_ += record_header_bytes + length;
  return rest.subspan(record_header_bytes, length);
}

std::vector<std::uint8_t> RecordReader::take_rest() {
  std::vector<std::uint8_t> rest(held_.begin() + static_cast<std::ptrdiff_t>(at_), held_.end());
  held_.clear();
  at_ = 0;
  return rest;
}

void append_record(std::vector<std::uint8_t>& to, Bytes message) {
  CHECK(message.size() <= noise_message_bytes_max);
  const std::size_t at = to.size();
  to.resize(at + record_header_bytes);
  store_length(to.data() + at, message.size());
  append_bytes(to, message);
}

Expected<void> RecordCipher::seal(std::vector<std::uint8_t>& out, std::size_t at) {
  CHECK(at >= record_header_bytes && at <= out.size());
  const std::size_t length = out.size() - at;
  CHECK(length <= noise_plain_bytes_max);
  if (nonce_ == nonce_max) return used_up();
  out.resize(out.size() + noise_tag_bytes);
  store_length(out.data() + at - record_header_bytes, length + noise_tag_bytes);
  if (!cipher_.seal(nonce_++, {}, MutableBytes(out).subspan(at, length),
                    out.data() + at + length)) {
    return fail(ErrorCode::internal, "noise", "encryption failed");
  }
  return {};
}

Expected<Bytes> RecordCipher::open(MutableBytes record) {
  if (record.size() < noise_tag_bytes)
    return fail(ErrorCode::malformed, "noise", "record too short");
  if (nonce_ == nonce_max) return used_up();
  const MutableBytes text = record.first(record.size() - noise_tag_bytes);
  if (!cipher_.open(nonce_++, {}, text, record.data() + text.size())) {
    return fail(ErrorCode::unauthenticated, "noise", "a record does not authenticate");
  }
  return Bytes(text);
}

}  // namespace corelay::libp2p
