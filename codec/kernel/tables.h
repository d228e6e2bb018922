/// Field arithmetic by definition, at compile time: what every table of every backend is made from.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace corelay::codec {

inline constexpr unsigned polynomial = 0x11d;

/// a * b by shifting and adding.
[[nodiscard]] constexpr std::uint8_t product_by_definition(unsigned a, unsigned b) noexcept {
  unsigned sum = 0;
  for (; b != 0; b >>= 1) {
    if ((b & 1) != 0) sum ^= a;
    a <<= 1;
    if ((a & 0x100) != 0) a ^= polynomial;
  }
  return static_cast<std::uint8_t>(sum);
}

/// products[a][b] = a * b: 64 KiB.
extern const std::array<std::array<std::uint8_t, 256>, 256> products;

/// inverses[a] * a = 1; inverses[0] = 0.
extern const std::array<std::uint8_t, 256> inverses;

}  // namespace corelay::codec
