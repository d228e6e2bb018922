// Coefficients and weights are drawn into a bounded stack array, a group of outputs at a time: a
// group is large enough that the sources are read from the cache for all but its first outputs.
#include "codec/encoder.h"

#include <algorithm>

#include "codec/bytes.h"
#include "codec/check.h"

namespace corelay::codec {
namespace {

constexpr std::size_t group_max =
    64;  // outputs whose coefficients are on the stack at once: 16 KiB

}  // namespace

void encode(std::span<const std::uint64_t> seeds, std::span<const std::uint8_t* const> shards,
            std::span<std::uint8_t* const> out, std::size_t bytes) noexcept {
  const std::size_t k = shards.size();
  CHECK(k >= 1 && k <= k_max && seeds.size() == out.size() && seeds.size() <= 256);
  std::uint8_t coefficients[group_max * k_max];
  for (std::size_t first = 0; first < seeds.size(); first += group_max) {
    const std::size_t count = std::min(group_max, seeds.size() - first);
    for (std::size_t i = 0; i < count; ++i)
      expand_seed(seeds[first + i], {coefficients + i * k, k});
    multiply(count, k, coefficients, k, shards.data(), out.data() + first, bytes);
  }
}

void recode(Rng& rng, std::span<const std::uint8_t* const> rows, std::span<std::uint8_t* const> out,
            std::size_t bytes) noexcept {
  const std::size_t held = rows.size();
  CHECK(held >= 1 && held <= k_max && out.size() <= 256);
  const std::size_t stride = (held + 7) / 8 * 8;
  std::uint8_t weights[group_max * k_max];
  for (std::size_t first = 0; first < out.size(); first += group_max) {
    const std::size_t count = std::min(group_max, out.size() - first);
    for (std::size_t i = 0; i < count * stride; i += 8) store_le(weights + i, draw_weights(rng));
    multiply(count, held, weights, stride, rows.data(), out.data() + first, bytes);
  }
}

}  // namespace corelay::codec
