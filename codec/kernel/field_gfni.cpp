// GFNI with AVX-512: a product by a constant is linear over GF(2), so vgf2p8affineqb does it for any polynomial with an
// 8 x 8 bit matrix, 8 bytes a coefficient. Sixteen accumulators (four outputs by four vectors) and two sources a step,
// joined by one vpternlogq, keep the affine port busy; a strip of 256 bytes of every source stays in the first cache
// while all outputs are made.
#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "codec/kernel/kernel.h"
#include "codec/kernel/tables.h"

namespace corelay::codec {
namespace {

constexpr std::size_t vector_bytes = 64;

// The matrix of "times c": output bit i is row 7 - i of eight bytes, whose bit j is bit i of c * 2^j.
constexpr std::array<std::uint64_t, 256> make_matrices() {
  std::array<std::uint64_t, 256> matrices{};
  for (unsigned c = 0; c < 256; ++c) {
    for (unsigned j = 0; j < 8; ++j) {
      const std::uint64_t column = product_by_definition(c, 1U << j);
      for (unsigned i = 0; i < 8; ++i) matrices[c] |= (column >> i & 1) << (8 * (7 - i) + j);
    }
  }
  return matrices;
}

alignas(64) constexpr std::array<std::uint64_t, 256> matrices = make_matrices();

__m512i matrix(std::uint8_t factor) noexcept {
  return _mm512_set1_epi64(static_cast<long long>(matrices[factor]));
}

__m512i times(__m512i value, __m512i by) noexcept { return _mm512_gf2p8affine_epi64_epi8(value, by, 0); }

__m512i add(__m512i a, __m512i b, __m512i c) noexcept { return _mm512_ternarylogic_epi64(a, b, c, 0x96); }

// The last vector of a block reads and writes the bytes of `mask` alone when the block is Masked.
template <bool Masked>
__m512i load(const std::uint8_t* from, bool is_last, __mmask64 mask) noexcept {
  if (Masked && is_last) return _mm512_maskz_loadu_epi8(mask, from);
  return _mm512_loadu_si512(from);
}

// M outputs, V vectors of each, from byte `offset` on.
template <std::size_t M, std::size_t V, bool Masked>
void multiply_block(std::size_t k, const std::uint8_t* coefficients, std::size_t coefficient_stride,
                    const std::uint8_t* const* rows, std::uint8_t* const* out, std::size_t offset,
                    __mmask64 mask) noexcept {
  __m512i sum[M][V];
#pragma GCC unroll 16
  for (std::size_t i = 0; i < M; ++i) {
#pragma GCC unroll 16
    for (std::size_t v = 0; v < V; ++v) sum[i][v] = _mm512_setzero_si512();
  }
  std::size_t j = 0;
  for (; j + 2 <= k; j += 2) {
    __m512i a[V];
    __m512i b[V];
#pragma GCC unroll 16
    for (std::size_t v = 0; v < V; ++v) {
      a[v] = load<Masked>(rows[j] + offset + v * vector_bytes, v + 1 == V, mask);
      b[v] = load<Masked>(rows[j + 1] + offset + v * vector_bytes, v + 1 == V, mask);
    }
#pragma GCC unroll 16
    for (std::size_t i = 0; i < M; ++i) {
      const __m512i by_a = matrix(coefficients[i * coefficient_stride + j]);
      const __m512i by_b = matrix(coefficients[i * coefficient_stride + j + 1]);
#pragma GCC unroll 16
      for (std::size_t v = 0; v < V; ++v) {
        sum[i][v] = add(sum[i][v], times(a[v], by_a), times(b[v], by_b));
      }
    }
  }
  if (j < k) {
#pragma GCC unroll 16
    for (std::size_t v = 0; v < V; ++v) {
      const __m512i a = load<Masked>(rows[j] + offset + v * vector_bytes, v + 1 == V, mask);
#pragma GCC unroll 16
      for (std::size_t i = 0; i < M; ++i) {
        const __m512i by_a = matrix(coefficients[i * coefficient_stride + j]);
        sum[i][v] = _mm512_xor_si512(sum[i][v], times(a, by_a));
      }
    }
  }
#pragma GCC unroll 16
  for (std::size_t i = 0; i < M; ++i) {
#pragma GCC unroll 16
    for (std::size_t v = 0; v < V; ++v) {
      std::uint8_t* const to = out[i] + offset + v * vector_bytes;
      if (Masked && v + 1 == V) {
        _mm512_mask_storeu_epi8(to, mask, sum[i][v]);
      } else {
        _mm512_storeu_si512(to, sum[i][v]);
      }
    }
  }
}

template <std::size_t V, bool Masked>
void multiply_strip(std::size_t m, std::size_t k, const std::uint8_t* coefficients,
                    std::size_t coefficient_stride, const std::uint8_t* const* rows,
                    std::uint8_t* const* out, std::size_t offset, __mmask64 mask) noexcept {
  std::size_t i = 0;
  for (; i + 4 <= m; i += 4) {
    multiply_block<4, V, Masked>(k, coefficients + i * coefficient_stride, coefficient_stride, rows,
                                 out + i, offset, mask);
  }
  const std::uint8_t* const rest = coefficients + i * coefficient_stride;
  switch (m - i) {
    case 3: multiply_block<3, V, Masked>(k, rest, coefficient_stride, rows, out + i, offset, mask); break;
    case 2: multiply_block<2, V, Masked>(k, rest, coefficient_stride, rows, out + i, offset, mask); break;
    case 1: multiply_block<1, V, Masked>(k, rest, coefficient_stride, rows, out + i, offset, mask); break;
    default: break;
  }
}

void multiply_gfni(std::size_t m, std::size_t k, const std::uint8_t* coefficients,
                   std::size_t coefficient_stride, const std::uint8_t* const* rows,
                   std::uint8_t* const* out, std::size_t bytes) noexcept {
  std::size_t offset = 0;
  for (; offset + 4 * vector_bytes <= bytes; offset += 4 * vector_bytes) {
    multiply_strip<4, false>(m, k, coefficients, coefficient_stride, rows, out, offset, 0);
  }
  const std::size_t left = bytes - offset;
  if (left == 0) return;
  const __mmask64 mask = left % vector_bytes == 0 ? ~__mmask64{0} : (__mmask64{1} << left % vector_bytes) - 1;
  const auto strip = [&]<std::size_t V>() {
    multiply_strip<V, true>(m, k, coefficients, coefficient_stride, rows, out, offset, mask);
  };
  switch ((left + vector_bytes - 1) / vector_bytes) {
    case 4: strip.template operator()<4>(); break;
    case 3: strip.template operator()<3>(); break;
    case 2: strip.template operator()<2>(); break;
    default: strip.template operator()<1>(); break;
  }
}

void multiply_in_place_gfni(std::size_t m, std::size_t k, const std::uint8_t* coefficients,
                            std::size_t coefficient_stride, std::uint8_t* const* rows,
                            const std::uint8_t* targets, std::size_t bytes) noexcept {
  constexpr std::size_t window_bytes = 256;
  alignas(64) std::uint8_t scratch[k_max * window_bytes];
  multiply_by_windows(multiply_gfni, scratch, window_bytes, m, k, coefficients, coefficient_stride,
                      rows, targets, bytes);
}

// W vectors are one row of coefficients.
template <std::size_t W>
std::size_t reduce_rows(const Tracker& tracker, const std::uint8_t* vector, std::size_t k) noexcept {
  alignas(64) std::uint8_t factors[W * vector_bytes];
  __m512i sum[W];
  __m512i incoming[W];
  for (std::size_t w = 0; w < W; ++w) {
    const std::size_t left = k - w * vector_bytes;
    const __mmask64 mask = left >= vector_bytes ? ~__mmask64{0} : (__mmask64{1} << left) - 1;
    incoming[w] = _mm512_maskz_loadu_epi8(mask, vector + w * vector_bytes);
    sum[w] = _mm512_andnot_si512(_mm512_load_si512(tracker.coded_mask + w * vector_bytes), incoming[w]);
  }
  // factors[r] = vector[slots[r]]
  for (std::size_t w = 0; w < W; ++w) {
    const __m512i slots = _mm512_load_si512(tracker.slots + w * vector_bytes);
    __m512i picked = _mm512_permutexvar_epi8(slots, incoming[0]);
    if constexpr (W > 1) picked = _mm512_permutex2var_epi8(incoming[0], slots, incoming[1]);
    if constexpr (W > 2) {
      const __m512i upper = _mm512_permutex2var_epi8(incoming[2], slots, incoming[W - 1]);
      picked = _mm512_mask_blend_epi8(_mm512_movepi8_mask(slots), picked, upper);
    }
    _mm512_store_si512(factors + w * vector_bytes, picked);
  }
  const std::uint8_t* row = tracker.rows;
  std::size_t r = 0;
  for (; r + 2 <= tracker.coded; r += 2, row += 2 * W * vector_bytes) {
    const __m512i by_a = matrix(factors[r]);
    const __m512i by_b = matrix(factors[r + 1]);
    for (std::size_t w = 0; w < W; ++w) {
      const __m512i a = _mm512_load_si512(row + w * vector_bytes);
      const __m512i b = _mm512_load_si512(row + (W + w) * vector_bytes);
      sum[w] = add(sum[w], times(a, by_a), times(b, by_b));
    }
  }
  if (r < tracker.coded) {
    for (std::size_t w = 0; w < W; ++w) {
      const __m512i a = _mm512_load_si512(row + w * vector_bytes);
      sum[w] = _mm512_xor_si512(sum[w], times(a, matrix(factors[r])));
    }
  }
  std::size_t column = tracker.stride;
  for (std::size_t w = W; w-- > 0;) {
    _mm512_store_si512(tracker.work + w * vector_bytes, sum[w]);
    const __m512i held = _mm512_load_si512(tracker.held_mask + w * vector_bytes);
    const __m512i open = _mm512_andnot_si512(held, sum[w]);
    const __mmask64 found = _mm512_test_epi8_mask(open, open);
    if (found != 0) column = w * vector_bytes + static_cast<std::size_t>(__builtin_ctzll(found));
  }
  return column;
}

template <std::size_t W>
void insert_row(const Tracker& tracker, std::size_t column) noexcept {
  std::uint8_t* const row = tracker.rows + tracker.coded * W * vector_bytes;
  const std::uint8_t scale = inverses[tracker.work[column]];
  const __m512i by_scale = matrix(scale);
  for (std::size_t w = 0; w < W; ++w) {
    const __m512i work = _mm512_load_si512(tracker.work + w * vector_bytes);
    _mm512_store_si512(row + w * vector_bytes, times(work, by_scale));
  }
  row[column] = static_cast<std::uint8_t>(scale ^ 1);  // f + f * (scale + 1) = f * scale, below
  __m512i added[W];
  for (std::size_t w = 0; w < W; ++w) added[w] = _mm512_load_si512(row + w * vector_bytes);
  for (std::uint8_t* other = tracker.rows; other != row; other += W * vector_bytes) {
    const __m512i by = matrix(other[column]);
    for (std::size_t w = 0; w < W; ++w) {
      const __m512i value = _mm512_load_si512(other + w * vector_bytes);
      _mm512_store_si512(other + w * vector_bytes, _mm512_xor_si512(value, times(added[w], by)));
    }
  }
  row[column] = scale;
}

std::size_t reduce_gfni(const Tracker& tracker, const std::uint8_t* vector, std::size_t k) noexcept {
  switch (tracker.stride / vector_bytes) {
    case 1: return reduce_rows<1>(tracker, vector, k);
    case 2: return reduce_rows<2>(tracker, vector, k);
    case 3: return reduce_rows<3>(tracker, vector, k);
    default: return reduce_rows<4>(tracker, vector, k);
  }
}

void insert_gfni(const Tracker& tracker, std::size_t column) noexcept {
  switch (tracker.stride / vector_bytes) {
    case 1: insert_row<1>(tracker, column); break;
    case 2: insert_row<2>(tracker, column); break;
    case 3: insert_row<3>(tracker, column); break;
    default: insert_row<4>(tracker, column); break;
  }
}

}  // namespace

const Kernel gfni_kernel = {Backend::gfni, multiply_gfni, multiply_in_place_gfni, reduce_gfni,
                            insert_gfni};

}  // namespace corelay::codec
