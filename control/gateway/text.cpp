#include "control/gateway/text.h"

#include <openssl/evp.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>

#include "codec/bytes.h"
#include "codec/check.h"

namespace corelay::gateway {
namespace {

constexpr std::string_view standard = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view url_safe = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::uint8_t no_digit = 255;

using Values = std::array<std::uint8_t, 256>;

constexpr Values values_of(std::string_view digits) {
  Values values{};
  for (auto& value : values) value = no_digit;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    values[static_cast<unsigned char>(digits[i])] = static_cast<std::uint8_t>(i);
  }
  return values;
}

// Two digits for each 12 bits.
constexpr auto make_pairs() {
  std::array<std::array<char, 2>, 4096> pairs{};
  for (std::size_t i = 0; i < pairs.size(); ++i) pairs[i] = {standard[i >> 6], standard[i & 63]};
  return pairs;
}

constexpr Values standard_values = values_of(standard);
constexpr Values url_values = values_of(url_safe);
constexpr auto pairs = make_pairs();

std::optional<std::string> decode(std::string_view text, const Values& values) {
  while (!text.empty() && text.back() == '=') text.remove_suffix(1);
  if (text.size() % 4 == 1) return std::nullopt;
  std::string out(text.size() / 4 * 3 + (text.size() % 4 * 3) / 4, '\0');
  std::size_t to = 0;
  std::uint8_t bad = 0;
  std::size_t i = 0;
  const auto value = [&](std::size_t at) { return values[static_cast<unsigned char>(text[at])]; };
  for (; i + 4 <= text.size(); i += 4) {
    const std::uint8_t a = value(i), b = value(i + 1), c = value(i + 2), d = value(i + 3);
    bad = static_cast<std::uint8_t>(bad | ((a | b | c | d) & 0xc0));
    out[to++] = static_cast<char>(a << 2 | b >> 4);
    out[to++] = static_cast<char>(b << 4 | c >> 2);
    out[to++] = static_cast<char>(c << 6 | d);
  }
  if (i + 2 <= text.size()) {
    const std::uint8_t a = value(i), b = value(i + 1);
    bad = static_cast<std::uint8_t>(bad | ((a | b) & 0xc0));
    out[to++] = static_cast<char>(a << 2 | b >> 4);
    if (i + 3 <= text.size()) {
      const std::uint8_t c = value(i + 2);
      bad = static_cast<std::uint8_t>(bad | (c & 0xc0));
      out[to++] = static_cast<char>(b << 4 | c >> 2);
    }
  }
  if (bad != 0) return std::nullopt;
  return out;
}

/// Length of the UTF-8 character at the front, 0 where there is none.
std::size_t character_bytes(std::string_view text) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto follows = [&](std::size_t i, unsigned low, unsigned high) {
    return i < text.size() && byte(i) >= low && byte(i) <= high;
  };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return follows(1, 0x80, 0xbf) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    const unsigned low = first == 0xe0 ? 0xa0 : 0x80;
    const unsigned high = first == 0xed ? 0x9f : 0xbf;
    return follows(1, low, high) && follows(2, 0x80, 0xbf) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const unsigned low = first == 0xf0 ? 0x90 : 0x80;
    const unsigned high = first == 0xf4 ? 0x8f : 0xbf;
    return follows(1, low, high) && follows(2, 0x80, 0xbf) && follows(3, 0x80, 0xbf) ? 4 : 0;
  }
  return 0;
}

/// How many bytes at the front are plain ASCII, eight at a time.
std::size_t ascii_bytes(std::string_view text) noexcept {
  std::size_t at = 0;
  for (; at + 8 <= text.size(); at += 8) {
    std::uint64_t word;
    std::memcpy(&word, text.data() + at, 8);
    if ((word & 0x8080808080808080U) != 0) break;
  }
  return at;
}

}  // namespace

std::string sha256_hex(std::string_view bytes) {
  // Looking the algorithm up and making a context take OpenSSL longer than a digest of 1 KiB.
  static EVP_MD* const sha256 = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  thread_local const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  std::array<std::uint8_t, 32> digest{};
  unsigned size = 0;
  CHECK(EVP_DigestInit_ex2(context.get(), sha256, nullptr) == 1 &&
        EVP_DigestUpdate(context.get(), bytes.data(), bytes.size()) == 1 &&
        EVP_DigestFinal_ex(context.get(), digest.data(), &size) == 1 && size == 32);
  return to_hex(digest);
}

void append_base64(std::string_view bytes, std::string& out) {
  const std::size_t start = out.size();
  out.resize(start + (bytes.size() + 2) / 3 * 4, '=');
  char* to = out.data() + start;
  const auto* from = reinterpret_cast<const unsigned char*>(bytes.data());
  std::size_t left = bytes.size();
  const auto put = [&](unsigned index) {
    std::memcpy(to, pairs[index].data(), 2);
    to += 2;
  };
  for (; left >= 3; left -= 3, from += 3) {
    const unsigned bits = static_cast<unsigned>(from[0]) << 16 | static_cast<unsigned>(from[1]) << 8 | from[2];
    put(bits >> 12);
    put(bits & 4095);
  }
  if (left == 0) return;
  const unsigned bits = static_cast<unsigned>(from[0]) << 16 | (left == 2 ? static_cast<unsigned>(from[1]) << 8 : 0U);
  put(bits >> 12);
  if (left == 2) *to = pairs[bits & 4095][0];
}

std::optional<std::string> decode_base64(std::string_view text) { return decode(text, standard_values); }
std::optional<std::string> decode_base64url(std::string_view text) { return decode(text, url_values); }

void append_json(std::string_view text, std::string& out) {
  out += '"';
  while (!text.empty()) {
    const auto byte = static_cast<unsigned char>(text.front());
    std::size_t bytes = 1;
    if (byte == '"' || byte == '\\') {
      out += '\\';
      out += text.front();
    } else if (byte < 0x20 || byte == 0x7f) {
      constexpr std::string_view digits = "0123456789abcdef";
      out += "\\u00";
      out += digits[byte >> 4];
      out += digits[byte & 15];
    } else if (byte < 0x80) {
      out += text.front();
    } else if (const std::size_t length = character_bytes(text); length != 0) {
      out += text.substr(0, length);
      bytes = length;
    } else {
      out += "\xef\xbf\xbd";
    }
    text.remove_prefix(bytes);
  }
  out += '"';
}

std::string json_text(std::string_view text) {
  std::string out;
  append_json(text, out);
  return out;
}

bool is_utf8(std::string_view text) noexcept {
  while (!text.empty()) {
    if (const std::size_t plain = ascii_bytes(text); plain != 0) {
      text.remove_prefix(plain);
      continue;
    }
    const std::size_t bytes = character_bytes(text);
    if (bytes == 0) return false;
    text.remove_prefix(bytes);
  }
  return true;
}

bool is_plain_text(std::string_view text) noexcept {
  constexpr std::uint64_t ones = 0x0101010101010101U;
  constexpr std::uint64_t high = 0x80 * ones;
  std::uint64_t found = 0;  // a bit where one of eight bytes is below 0x20
  std::size_t at = 0;
  for (; at + 8 <= text.size(); at += 8) {
    std::uint64_t word;
    std::memcpy(&word, text.data() + at, 8);
    found |= (word - 0x20 * ones) & ~word & high;
  }
  for (; at < text.size(); ++at) found |= static_cast<unsigned char>(text[at]) < 0x20 ? 1U : 0U;
  return found == 0 && text.find('\\') == std::string_view::npos && is_utf8(text);
}

}  // namespace corelay::gateway
