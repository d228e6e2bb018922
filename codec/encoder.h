/// Making coded packets. Encoding starts from the k source shards and draws its coefficients from a 64-bit seed, so
/// the packet carries 8 bytes instead of k. Recoding starts from any packets held, decoded or not, and carries the
/// whole coefficient vector: each row is [coefficient vector | payload], one contiguous run of bytes, and both parts
/// go through one product.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "codec/coefficients.h"
#include "codec/field.h"
#include "codec/rng.h"

namespace corelay::codec {

/// out[i] = the coded payload of seeds[i] over `shards` (k source shards of `bytes` bytes). Any number of seeds up to
/// 256; best in fours or more.
void encode(std::span<const std::uint64_t> seeds, std::span<const std::uint8_t* const> shards,
            std::span<std::uint8_t* const> out, std::size_t bytes) noexcept;

/// out[i] = a combination, with non-zero weights drawn from `rng`, of the `rows` (1..256 of them, `bytes` each:
/// coefficient vector, a byte each, and payload together). Best with four outputs or more.
void recode(Rng& rng, std::span<const std::uint8_t* const> rows, std::span<std::uint8_t* const> out,
            std::size_t bytes) noexcept;

}  // namespace corelay::codec
