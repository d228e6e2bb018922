/// Bytes as text: base58btc (peer ids), base32 lower case without padding (CIDv1) and base64 with
/// padding (p2p.key). The decoders take the one canonical form and nothing else: no white space, no
/// missing padding, no stray bits.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "codec/bytes.h"

namespace corelay::libp2p {

inline constexpr std::size_t base58_text_max =
    512;  // the decoder is quadratic, so longer text is refused

[[nodiscard]] std::string to_base58(Bytes bytes);
[[nodiscard]] std::optional<std::vector<std::uint8_t>> from_base58(std::string_view text);

[[nodiscard]] std::string to_base32(Bytes bytes);
[[nodiscard]] std::optional<std::vector<std::uint8_t>> from_base32(std::string_view text);

[[nodiscard]] std::string to_base64(Bytes bytes);
[[nodiscard]] std::optional<std::vector<std::uint8_t>> from_base64(std::string_view text);

}  // namespace corelay::libp2p
