/// Numbers, sizes, times and payloads as a person reads them, and back.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace corelay::tools {

/// 4194304 → "4,194,304".
[[nodiscard]] std::string with_commas(std::uint64_t number);

/// Bytes in the largest binary unit that keeps the number at 1 or more: "0 B", "512 B", "1.0 KiB",
/// "4.0 MiB".
[[nodiscard]] std::string human_bytes(std::uint64_t bytes);

/// Exactly, and roughly where that helps: "1 byte", "512 bytes", "102,400 bytes (100.0 KiB)".
[[nodiscard]] std::string exact_bytes(std::uint64_t bytes);

/// "4.2 ms", "612 ms", "1.61 s": three significant figures, as few units as needed.
[[nodiscard]] std::string human_time(std::chrono::nanoseconds time);

/// "250ms", "1.5s", "2m", "3" (seconds) → time. Nothing where the text is none of these or is
/// negative.
[[nodiscard]] std::optional<std::chrono::milliseconds> parse_duration(std::string_view text);

/// "1024", "64KiB", "64K", "4MiB", "4M" → bytes (binary units). Nothing where the text is none of
/// these.
[[nodiscard]] std::optional<std::uint64_t> parse_bytes(std::string_view text);

/// A whole number in decimal digits alone: no sign, unit or space. Nothing for other text or above 2^64 − 1.
[[nodiscard]] std::optional<std::uint64_t> parse_number(std::string_view text);

/// The text for an error about it: at most 40 bytes, then "…".
[[nodiscard]] std::string shortened(std::string_view text);

[[nodiscard]] bool is_utf8(std::string_view text) noexcept;

/// Valid UTF-8 without control characters, C0 or C1, other than tab, line feed and carriage return.
[[nodiscard]] bool is_printable(std::string_view payload) noexcept;

/// What others said, safe to show: control characters but line feed and tab, and bytes that are not UTF-8, as \xNN.
[[nodiscard]] std::string on_terminal(std::string_view text);
/// The same on one line.
[[nodiscard]] std::string on_line(std::string_view text);

/// The text in double quotes; quotes, backslashes, control characters and bytes that are not UTF-8 escaped.
[[nodiscard]] std::string in_quotes(std::string_view text);

/// How a payload is shown on one line: short text in quotes, anything else as size and SHA-256.
[[nodiscard]] std::string shown_payload(std::string_view payload);

/// The candidate nearest to `word` by edits, where near enough to be a slip of the hand (a third of
/// its letters, one to three; none of a word of two); empty otherwise.
[[nodiscard]] std::string_view nearest(std::string_view word,
                                       std::span<const std::string_view> candidates);

}  // namespace corelay::tools
