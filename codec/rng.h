/// Splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014): the one generator of
/// the product. It is non-linear over GF(2), so coefficients drawn from it reach full rank at every k
/// (a xorshift generator stops at rank 64), and a value is a pure function of seed and position, so a simulator
/// run repeats from its seed. Not for keys.
#pragma once

#include <cstdint>

namespace corelay {

class Rng {
  __extension__ using wide = unsigned __int128;

 public:
  explicit constexpr Rng(std::uint64_t seed) noexcept : state_(seed) {}

  /// The next 64 bits, uniform.
  constexpr std::uint64_t next() noexcept {
    state_ += 0x9e3779b97f4a7c15ULL;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }

  /// Uniform in [0, bound); bound 0 gives 0. The bias is below bound / 2^64.
  constexpr std::uint64_t below(std::uint64_t bound) noexcept {
    return static_cast<std::uint64_t>((static_cast<wide>(next()) * bound) >> 64);
  }

  /// Uniform in [0, 1).
  constexpr double unit() noexcept { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

  /// True with probability p.
  constexpr bool chance(double p) noexcept { return unit() < p; }

 private:
  std::uint64_t state_;
};

}  // namespace corelay
