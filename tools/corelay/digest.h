/// SHA-256 and base64, as message ids and the sidecar's JSON need them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace corelay::tools {

/// 32 bytes.
[[nodiscard]] std::string sha256(std::string_view payload);
/// 64 lower-case hex digits: the id of a message is this of its payload.
[[nodiscard]] std::string sha256_hex(std::string_view payload);

[[nodiscard]] std::string base64(std::string_view payload);
/// Standard alphabet with padding. Nothing where the text is not base64.
[[nodiscard]] std::optional<std::string> from_base64(std::string_view text);

}  // namespace corelay::tools
