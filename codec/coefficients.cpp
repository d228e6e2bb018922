#include "codec/coefficients.h"

#include <algorithm>
#include <cstring>

#include "codec/bytes.h"

namespace corelay::codec {
namespace {

constexpr std::uint64_t low_halves = 0x0f0f0f0f0f0f0f0fULL;

/// Eight half bytes, lowest first, to the low halves of eight bytes.
constexpr std::uint64_t spread(std::uint32_t halves) noexcept {
  std::uint64_t x = halves;
  x = (x | x << 16) & 0x0000ffff0000ffffULL;
  x = (x | x << 8) & 0x00ff00ff00ff00ffULL;
  return (x | x << 4) & low_halves;
}

constexpr std::uint32_t gather(std::uint64_t elements) noexcept {
  std::uint64_t x = elements & low_halves;
  x = (x | x >> 4) & 0x00ff00ff00ff00ffULL;
  x = (x | x >> 8) & 0x0000ffff0000ffffULL;
  return static_cast<std::uint32_t>(x | x >> 16);
}

static_assert(elements_of(0x0f0e0d0c0b0a0908ULL) == 0x4f4edddc0b0a9998ULL);
static_assert(gather(elements_of(spread(0xfedcba98U))) == 0xfedcba98U);

}  // namespace

void expand_seed(std::uint64_t seed, std::span<std::uint8_t> coefficients) noexcept {
  constexpr std::size_t each_value = 16;
  Rng rng(seed);
  for (std::size_t first = 0; first < coefficients.size(); first += each_value) {
    std::uint8_t packed[packed_bytes(each_value)];
    store_le(packed, rng.next());
    unpack_coefficients(packed, coefficients.subspan(first, std::min(each_value, coefficients.size() - first)));
  }
}

void pack_coefficients(std::span<const std::uint8_t> coefficients, std::uint8_t* out) noexcept {
  const std::uint8_t* from = coefficients.data();
  std::size_t left = coefficients.size();
  for (; left >= 8; left -= 8, from += 8, out += 4) store_le(out, gather(load_le<std::uint64_t>(from)));
  if (left == 0) return;
  std::uint64_t last = 0;
  std::memcpy(&last, from, left);
  const std::uint32_t halves = gather(last);
  std::memcpy(out, &halves, packed_bytes(left));
}

void unpack_coefficients(const std::uint8_t* packed, std::span<std::uint8_t> coefficients) noexcept {
  std::uint8_t* to = coefficients.data();
  std::size_t left = coefficients.size();
  for (; left >= 8; left -= 8, to += 8, packed += 4) store_le(to, elements_of(spread(load_le<std::uint32_t>(packed))));
  if (left == 0) return;
  std::uint32_t halves = 0;
  std::memcpy(&halves, packed, packed_bytes(left));
  const std::uint64_t last = elements_of(spread(halves));
  std::memcpy(to, &last, left);
}

std::uint64_t draw_weights(Rng& rng) noexcept {
  constexpr std::uint64_t lowest = 0x0101010101010101ULL;
  for (;;) {
    const std::uint64_t value = rng.next();
    for (const unsigned shift : {0u, 32u}) {
      const std::uint64_t names = spread(static_cast<std::uint32_t>(value >> shift));
      const std::uint64_t any = (names | names >> 1 | names >> 2 | names >> 3) & lowest;
      if (any == lowest) return elements_of(names);
    }
  }
}

}  // namespace corelay::codec
