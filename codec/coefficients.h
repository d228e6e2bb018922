/// Coefficients. All are taken from the 16 elements of GF(2^8) that form a field of their own, so that a vector travels
/// in half a byte each: no sum or product of them leaves the subfield, so a recoded vector is as short. The price: a
/// random vector adds nothing to a rank of k - 1 once in 16 times in place of once in 256, so that a generation needs
/// 0.07 packets more than k in place of 0.004 (the sum of 1 / (q^i - 1)).
///
/// The low half of an element names it: e(n) = n + bits of n, over GF(2): e(1) = 0x01, e(2) = 0x92, e(4) = 0x44,
/// e(8) = 0x98. Source: proto/wire.md, "Coefficients".
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "codec/rng.h"

namespace corelay::codec {

/// Eight elements at once, from the low halves of the eight bytes of `names`, whose high halves are zero.
[[nodiscard]] constexpr std::uint64_t elements_of(std::uint64_t names) noexcept {
  constexpr std::uint64_t lowest = 0x0101010101010101ULL;
  const std::uint64_t odd = (names >> 1 ^ names >> 3) & lowest;
  return names | odd << 7 | odd << 4 | (names >> 2 & lowest) << 6;
}

/// Bytes of a packed vector of k coefficients.
[[nodiscard]] constexpr std::size_t packed_bytes(std::size_t k) noexcept { return (k + 1) / 2; }

/// Fills `coefficients` (k bytes, one each) from `seed`: half byte i mod 16, lowest first, of value i div 16 of
/// Rng(seed) names coefficient i.
void expand_seed(std::uint64_t seed, std::span<std::uint8_t> coefficients) noexcept;

/// Writes packed_bytes(k) bytes at `out`, which is none of `coefficients`: coefficient 2 i in the low half of byte i,
/// 2 i + 1 in the high half, which is zero behind an odd last one.
void pack_coefficients(std::span<const std::uint8_t> coefficients, std::uint8_t* out) noexcept;

/// The reverse: any bytes are k coefficients.
void unpack_coefficients(const std::uint8_t* packed, std::span<std::uint8_t> coefficients) noexcept;

/// Eight elements other than zero, drawn from `rng`.
[[nodiscard]] std::uint64_t draw_weights(Rng& rng) noexcept;

}  // namespace corelay::codec
