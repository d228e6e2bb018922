#include "tools/corelay/digest.h"

#include <openssl/evp.h>

#include "codec/bytes.h"
#include "codec/check.h"

namespace corelay::tools {
namespace {

const unsigned char* octets(std::string_view text) noexcept {
  return corelay::as_bytes(text).data();
}
unsigned char* octets(std::string& text) noexcept {
  return reinterpret_cast<unsigned char*>(text.data());
}

}  // namespace

std::string sha256(std::string_view payload) {
  std::string digest(32, '\0');
  unsigned int length = 0;
  CHECK(EVP_Digest(payload.data(), payload.size(), octets(digest), &length, EVP_sha256(),
                   nullptr) == 1);
  return digest;
}

std::string sha256_hex(std::string_view payload) {
  return to_hex(corelay::as_bytes(sha256(payload)));
}

std::string base64(std::string_view payload) {
  std::string text((payload.size() + 2) / 3 * 4 + 1,
                   '\0');  // one more for the terminator EVP writes
  const int length =
      EVP_EncodeBlock(octets(text), octets(payload), static_cast<int>(payload.size()));
  text.resize(static_cast<std::size_t>(length));
  return text;
}

std::optional<std::string> from_base64(std::string_view text) {
  if (text.empty()) return std::string{};
  if (text.size() % 4 != 0) return std::nullopt;
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  std::string payload(text.size() / 4 * 3, '\0');
  if (EVP_DecodeBlock(octets(payload), octets(text), static_cast<int>(text.size())) < 0)
    return std::nullopt;
  payload.resize(payload.size() - padding);
  return payload;
}

}  // namespace corelay::tools
