/// Bytes as text and back: base64, JSON strings, UTF-8, and the digest that names a message.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace corelay::gateway {

/// SHA-256 as 64 lower-case hex digits: a message's id.
[[nodiscard]] std::string sha256_hex(std::string_view bytes);

void append_base64(std::string_view bytes, std::string& out);
/// Standard alphabet, or the URL-safe one; padding may be missing. Nothing for anything else.
[[nodiscard]] std::optional<std::string> decode_base64(std::string_view text);
[[nodiscard]] std::optional<std::string> decode_base64url(std::string_view text);

/// Appends a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD.
void append_json(std::string_view text, std::string& out);
[[nodiscard]] std::string json_text(std::string_view text);

[[nodiscard]] bool is_utf8(std::string_view text) noexcept;

/// What may stand between the quotes of a JSON string as it is: UTF-8 without control characters and backslashes.
[[nodiscard]] bool is_plain_text(std::string_view text) noexcept;

}  // namespace corelay::gateway
