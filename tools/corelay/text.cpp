#include "tools/corelay/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <numeric>
#include <utility>
#include <vector>

#include "tools/corelay/digest.h"

namespace corelay::tools {
namespace {

constexpr std::size_t shown_bytes_max = 512;  // longer text is shown as size and digest

/// Length of the UTF-8 sequence at the front of `text`, 0 where it is not valid.
std::size_t utf8_length(std::string_view text) noexcept {
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  const bool is_overlong = (first == 0xe0 && byte(1) < 0xa0) || (first == 0xf0 && byte(1) < 0x90);
  const bool is_outside = (first == 0xed && byte(1) > 0x9f) || (first == 0xf4 && byte(1) > 0x8f);
  return is_overlong || is_outside ? 0 : length;
}

/// Whether the character at the front, of so many bytes, is one that terminals act on: C0, DEL, or C1 (U+0080 to
/// U+009F, among them a control sequence's introducer).
bool is_control(std::string_view text, std::size_t length) noexcept {
  const auto first = static_cast<unsigned char>(text[0]);
  if (length == 1) return first < 0x20 || first == 0x7f;
  return length == 2 && first == 0xc2 && static_cast<unsigned char>(text[1]) < 0xa0;
}

/// Splits "1.5s" into 1.5 and "s". Nothing where no number leads.
std::optional<std::pair<double, std::string_view>> number_and_unit(std::string_view text) {
  double number = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (error != std::errc{} || number < 0) return std::nullopt;
  return std::pair{number, text.substr(static_cast<std::size_t>(end - text.data()))};
}

}  // namespace

std::string with_commas(std::uint64_t number) {
  const std::string digits = std::to_string(number);
  std::string out;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) out += ',';
    out += digits[i];
  }
  return out;
}

std::string human_bytes(std::uint64_t bytes) {
  if (bytes < 1024) return fmt::format("{} B", bytes);
  static constexpr std::array units{"KiB", "MiB", "GiB", "TiB"};
  double scaled = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  while (scaled >= 1023.95 && unit + 1 < units.size()) {
    scaled /= 1024;
    ++unit;
  }
  return fmt::format("{:.1f} {}", scaled, units[unit]);
}

std::string exact_bytes(std::uint64_t bytes) {
  const std::string exact = fmt::format("{} byte{}", with_commas(bytes), bytes == 1 ? "" : "s");
  return bytes < 1024 ? exact : fmt::format("{} ({})", exact, human_bytes(bytes));
}

std::string human_time(std::chrono::nanoseconds time) {
  const double ms = std::chrono::duration<double, std::milli>(time).count();
  if (ms < 9.95) return fmt::format("{:.1f} ms", ms);
  if (ms < 999.5) return fmt::format("{:.0f} ms", ms);
  return fmt::format("{:.2f} s", ms / 1000);
}

std::optional<std::chrono::milliseconds> parse_duration(std::string_view text) {
  const auto parts = number_and_unit(text);
  if (!parts) return std::nullopt;
  static constexpr std::array<std::pair<std::string_view, double>, 5> units{
      {{"", 1000}, {"s", 1000}, {"ms", 1}, {"m", 60'000}, {"h", 3'600'000}}};
  for (const auto& [name, ms] : units) {
    const double total = parts->first * ms;
    if (parts->second == name && total < 1e12)
      return std::chrono::milliseconds(static_cast<std::int64_t>(total));
  }
  return std::nullopt;
}

std::optional<std::uint64_t> parse_bytes(std::string_view text) {
  const auto parts = number_and_unit(text);
  if (!parts) return std::nullopt;
  static constexpr std::array<std::pair<std::string_view, double>, 8> units{{{"", 1},
                                                                             {"B", 1},
                                                                             {"K", 1024},
                                                                             {"KiB", 1024},
                                                                             {"M", 1048576},
                                                                             {"MiB", 1048576},
                                                                             {"G", 1073741824},
                                                                             {"GiB", 1073741824}}};
  for (const auto& [name, factor] : units) {
    const double total = parts->first * factor;
    if (parts->second == name && total < 1e15) return static_cast<std::uint64_t>(total);
  }
  return std::nullopt;
}

std::optional<std::uint64_t> parse_number(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::string shortened(std::string_view text) {
  constexpr std::size_t shown = 40;
  return text.size() <= shown ? std::string(text) : std::string(text.substr(0, shown)) + "…";
}

bool is_utf8(std::string_view text) noexcept {
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

bool is_printable(std::string_view payload) noexcept {
  while (!payload.empty()) {
    const char first = payload.front();
    const std::size_t length = utf8_length(payload);
    const bool is_space = first == '\t' || first == '\n' || first == '\r';
    if (length == 0 || (!is_space && is_control(payload, length))) return false;
    payload.remove_prefix(length);
  }
  return true;
}

std::string on_terminal(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const std::string_view character = text.substr(0, std::max<std::size_t>(1, length));
    const bool is_layout = text.front() == '\n' || text.front() == '\t';
    if (length != 0 && (is_layout || !is_control(text, length)))
      out += character;
    else
      for (const char byte : character) out += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
    text.remove_prefix(character.size());
  }
  return out;
}

std::string on_line(std::string_view text) {
  std::string out = on_terminal(text);
  std::replace_if(
      out.begin(), out.end(), [](char c) { return c == '\n' || c == '\t'; }, ' ');
  return out;
}

std::string in_quotes(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const std::string_view character = text.substr(0, std::max<std::size_t>(1, length));
    switch (character.front()) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        out += on_terminal(character);
    }
    text.remove_prefix(character.size());
  }
  return out + "\"";
}

std::string shown_payload(std::string_view payload) {
  if (payload.size() <= shown_bytes_max && is_printable(payload)) return in_quotes(payload);
  return fmt::format("{}, SHA-256 {}", exact_bytes(payload.size()), sha256_hex(payload));
}

std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates) {
  std::string_view best;
  const std::size_t slips_max = word.size() < 3 ? 0 : std::clamp<std::size_t>(word.size() / 3, 1, 3);
  std::size_t best_edits = slips_max + 1;
  for (const std::string_view candidate : candidates) {
    std::vector<std::size_t> row(candidate.size() + 1);
    std::iota(row.begin(), row.end(), 0);
    for (std::size_t i = 1; i <= word.size(); ++i) {
      std::size_t diagonal = std::exchange(row[0], i);
      for (std::size_t j = 1; j <= candidate.size(); ++j) {
        const std::size_t replaced = diagonal + (word[i - 1] == candidate[j - 1] ? 0 : 1);
        diagonal = row[j];
        row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
      }
    }
    if (row.back() < best_edits) {
      best_edits = row.back();
      best = candidate;
    }
  }
  return best;
}

}  // namespace corelay::tools
