// Rank tracking with GFNI: a row of coefficients is one to four vectors, and since rows are
// reduced, all factors of an incoming packet are known before the first row is added.
#include <algorithm>

#include "codec/bytes.h"
#include "codec/kernel/gfni.h"
#include "codec/kernel/gfni_vectors.h"

namespace corelay::codec {
namespace {

// W vectors are one row of coefficients; N rows are added to `sum`.
template <std::size_t W, std::size_t N>
void add_rows(__m512i (&sum)[W], const std::uint8_t* row, std::uint64_t factors) noexcept {
#pragma GCC unroll 8
  for (std::size_t r = 0; r < N; r += 2, row += 2 * W * vector_bytes) {
    const __m512i by_a = matrix(static_cast<std::uint8_t>(factors >> (8 * r)));
    const __m512i by_b = matrix(static_cast<std::uint8_t>(factors >> (8 * r + 8)));
#pragma GCC unroll 4
    for (std::size_t w = 0; w < W; ++w) {
      const __m512i a = _mm512_load_si512(row + w * vector_bytes);
      const __m512i b = _mm512_load_si512(row + (W + w) * vector_bytes);
      sum[w] = add(sum[w], times(a, by_a), times(b, by_b));
    }
  }
}

// factors[r] = vector[slots[r]], zero from tracker.coded on.
template <std::size_t W>
void pick_factors(const Tracker& tracker, const __m512i (&incoming)[W],
                  std::uint8_t* factors) noexcept {
  for (std::size_t w = 0; w < W; ++w) {
    const __m512i slots = _mm512_load_si512(tracker.slots + w * vector_bytes);
    __m512i picked = _mm512_permutexvar_epi8(slots, incoming[0]);
    if constexpr (W > 1) picked = _mm512_permutex2var_epi8(incoming[0], slots, incoming[1]);
    if constexpr (W > 2) {
      const __m512i upper = _mm512_permutex2var_epi8(incoming[2], slots, incoming[W - 1]);
      picked = _mm512_mask_blend_epi8(_mm512_movepi8_mask(slots), picked, upper);
    }
    const std::size_t first = w * vector_bytes;
    const std::size_t count = tracker.coded > first ? tracker.coded - first : 0;
    _mm512_store_si512(factors + first, _mm512_maskz_mov_epi8(first_bytes(count), picked));
  }
}

template <std::size_t W>
std::size_t reduce_rows(const Tracker& tracker, const std::uint8_t* vector,
                        std::size_t k) noexcept {
  alignas(64) std::uint8_t factors[W * vector_bytes];
  __m512i sum[W];
  __m512i incoming[W];
  for (std::size_t w = 0; w < W; ++w) {
    const __mmask64 mask = first_bytes(k - w * vector_bytes);
    incoming[w] = _mm512_maskz_loadu_epi8(mask, vector + w * vector_bytes);
    sum[w] = _mm512_maskz_mov_epi8(~tracker.coded_mask[w], incoming[w]);
  }
  pick_factors(tracker, incoming, factors);
  // Rows past the last are those of earlier generations or never written: their factors are zero.
  const std::uint8_t* row = tracker.rows;
  std::size_t r = 0;
  for (; r + 8 <= tracker.coded; r += 8, row += 8 * W * vector_bytes) {
    add_rows<W, 8>(sum, row, load_le<std::uint64_t>(factors + r));
  }
  const std::uint64_t rest = load_le<std::uint64_t>(factors + std::min(r, W * vector_bytes - 8));
  for (; r < tracker.coded; r += 2, row += 2 * W * vector_bytes) {
    add_rows<W, 2>(sum, row, rest >> (8 * (r % 8)));
  }
  std::size_t column = tracker.stride;
  for (std::size_t w = W; w-- > 0;) {
    _mm512_store_si512(tracker.work + w * vector_bytes, sum[w]);
    const __mmask64 found = _mm512_test_epi8_mask(sum[w], sum[w]) & ~tracker.held_mask[w];
    if (found != 0) column = w * vector_bytes + static_cast<std::size_t>(__builtin_ctzll(found));
  }
  return column;
}

// The vector with one byte replaced; `at` may lie in another vector of the row.
__m512i with_byte(__m512i vector, std::size_t first, std::size_t at, std::uint8_t value) noexcept {
  const __mmask64 mask =
      at / vector_bytes == first / vector_bytes ? __mmask64{1} << at % vector_bytes : 0;
  return _mm512_mask_mov_epi8(vector, mask, _mm512_set1_epi8(static_cast<char>(value)));
}

template <std::size_t W>
void insert_row(const Tracker& tracker, std::size_t column) noexcept {
  std::uint8_t* const row = tracker.rows + tracker.coded * W * vector_bytes;
  const std::uint8_t scale = inverses[tracker.work[column]];
  const __m512i by_scale = matrix(scale);
  __m512i added[W];
  for (std::size_t w = 0; w < W; ++w) {
    const std::size_t first = w * vector_bytes;
    const __m512i scaled = times(_mm512_load_si512(tracker.work + first), by_scale);
    _mm512_store_si512(row + first, with_byte(scaled, first, column, scale));
    // f + f * (scale + 1) = f * scale, for the column itself.
    added[w] = with_byte(scaled, first, column, static_cast<std::uint8_t>(scale ^ 1));
    const __m512i slots = _mm512_load_si512(tracker.slots + first);
    _mm512_store_si512(tracker.slots + first,
                       with_byte(slots, first, tracker.coded, static_cast<std::uint8_t>(column)));
  }
#pragma GCC unroll 4
  for (std::uint8_t* other = tracker.rows; other != row; other += W * vector_bytes) {
    const __m512i by = matrix(other[column]);
    for (std::size_t w = 0; w < W; ++w) {
      const __m512i value = _mm512_load_si512(other + w * vector_bytes);
      _mm512_store_si512(other + w * vector_bytes, _mm512_xor_si512(value, times(added[w], by)));
    }
  }
}

}  // namespace

std::size_t reduce_gfni(const Tracker& tracker, const std::uint8_t* vector,
                        std::size_t k) noexcept {
  switch (tracker.stride / vector_bytes) {
    case 1:
      return reduce_rows<1>(tracker, vector, k);
    case 2:
      return reduce_rows<2>(tracker, vector, k);
    case 3:
      return reduce_rows<3>(tracker, vector, k);
    default:
      return reduce_rows<4>(tracker, vector, k);
  }
}

void insert_gfni(const Tracker& tracker, std::size_t column) noexcept {
  switch (tracker.stride / vector_bytes) {
    case 1:
      insert_row<1>(tracker, column);
      break;
    case 2:
      insert_row<2>(tracker, column);
      break;
    case 3:
      insert_row<3>(tracker, column);
      break;
    default:
      insert_row<4>(tracker, column);
      break;
  }
}

}  // namespace corelay::codec
