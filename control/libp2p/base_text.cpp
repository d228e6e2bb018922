#include "control/libp2p/base_text.h"

#include <algorithm>

namespace corelay::libp2p {
namespace {

constexpr std::string_view alphabet58 =
    "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
constexpr std::string_view alphabet32 = "abcdefghijklmnopqrstuvwxyz234567";
constexpr std::string_view alphabet64 =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Base 2^bits text, without padding.
std::string to_power_of_two(Bytes bytes, std::string_view alphabet, unsigned bits) {
  std::string text;
  std::uint32_t held = 0;
  unsigned held_bits = 0;
  for (const std::uint8_t byte : bytes) {
    held = held << 8 | byte;
    held_bits += 8;
    while (held_bits >= bits) {
      held_bits -= bits;
      text.push_back(alphabet[held >> held_bits & ((1u << bits) - 1)]);
    }
    held &= (1u << held_bits) - 1;
  }
  if (held_bits > 0) text.push_back(alphabet[held << (bits - held_bits) & ((1u << bits) - 1)]);
  return text;
}

std::optional<std::vector<std::uint8_t>> from_power_of_two(std::string_view text,
                                                           std::string_view alphabet,
                                                           unsigned bits) {
  std::vector<std::uint8_t> bytes;
  std::uint32_t held = 0;
  unsigned held_bits = 0;
  for (const char c : text) {
    const std::size_t digit = alphabet.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    held = held << bits | static_cast<std::uint32_t>(digit);
    held_bits += bits;
    if (held_bits >= 8) {
      held_bits -= 8;
      bytes.push_back(static_cast<std::uint8_t>(held >> held_bits));
      held &= (1u << held_bits) - 1;
    }
  }
  // What is left is padding: less than a digit, and zero.
  if (held_bits >= bits || held != 0) return std::nullopt;
  return bytes;
}

}  // namespace

std::string to_base58(Bytes bytes) {
  std::vector<std::uint8_t> digits;  // base 58, least significant first
  for (const std::uint8_t byte : bytes) {
    std::uint32_t carry = byte;
    for (std::uint8_t& digit : digits) {
      carry += static_cast<std::uint32_t>(digit) << 8;
      digit = static_cast<std::uint8_t>(carry % 58);
      carry /= 58;
    }
    for (; carry != 0; carry /= 58) digits.push_back(static_cast<std::uint8_t>(carry % 58));
  }
  std::string text;
  for (std::size_t i = 0; i < bytes.size() && bytes[i] == 0; ++i) text.push_back('1');
  for (auto digit = digits.rbegin(); digit != digits.rend(); ++digit)
    text.push_back(alphabet58[*digit]);
  return text;
}

std::optional<std::vector<std::uint8_t>> from_base58(std::string_view text) {
  if (text.size() > base58_text_max) return std::nullopt;
  std::vector<std::uint8_t> bytes;  // base 256, least significant first
  for (const char c : text) {
    const std::size_t digit = alphabet58.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    std::uint32_t carry = static_cast<std::uint32_t>(digit);
    for (std::uint8_t& byte : bytes) {
      carry += byte * 58u;
      byte = static_cast<std::uint8_t>(carry);
      carry >>= 8;
    }
    for (; carry != 0; carry >>= 8) bytes.push_back(static_cast<std::uint8_t>(carry));
  }
  for (std::size_t i = 0; i < text.size() && text[i] == '1'; ++i) bytes.push_back(0);
  std::reverse(bytes.begin(), bytes.end());
  return bytes;
}

std::string to_base32(Bytes bytes) { return to_power_of_two(bytes, alphabet32, 5); }

std::optional<std::vector<std::uint8_t>> from_base32(std::string_view text) {
  return from_power_of_two(text, alphabet32, 5);
}

std::string to_base64(Bytes bytes) {
  std::string text = to_power_of_two(bytes, alphabet64, 6);
  while (text.size() % 4 != 0) text.push_back('=');
  return text;
}

std::optional<std::vector<std::uint8_t>> from_base64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  std::size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  return from_power_of_two(text.substr(0, text.size() - padding), alphabet64, 6);
}

}  // namespace corelay::libp2p
