// GFNI with AVX-512: a product by a constant is linear over GF(2), so vgf2p8affineqb does it for
// any polynomial with an 8 x 8 bit matrix, 8 bytes a coefficient. Sixteen accumulators (four
// outputs by four vectors) and two sources a step, joined by one vpternlogq, keep the affine port
// busy; a strip of 256 bytes of every source stays in the first cache while all outputs are made.
#include <algorithm>
#include <cstring>

#include "codec/kernel/gfni.h"
#include "codec/kernel/gfni_vectors.h"

namespace corelay::codec {
namespace {

constexpr std::size_t near_bytes = 384 * 1024;  // well within a second cache of 512 KiB or more

// M outputs, V vectors of each. Fetching, it also brings the line of each row that `ahead` is in.
template <std::size_t M, std::size_t V, bool Masked, bool Fetching>
[[gnu::noinline]] void multiply_block(std::size_t k, const std::uint8_t* coefficients,
                                      std::size_t coefficient_stride,
                                      const std::uint8_t* const* rows, std::uint8_t* const* out,
                                      std::size_t offset, __mmask64 mask,
                                      std::size_t ahead) noexcept {
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
    if constexpr (Fetching) {
      _mm_prefetch(rows[j] + ahead, _MM_HINT_T0);
      _mm_prefetch(rows[j + 1] + ahead, _MM_HINT_T0);
    }
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
#pragma GCC unroll 16
  for (std::size_t i = 0; i < M; ++i) {
#pragma GCC unroll 16
    for (std::size_t v = 0; v < V; ++v) {
      if (j < k) {
        const __m512i last = load<Masked>(rows[j] + offset + v * vector_bytes, v + 1 == V, mask);
        sum[i][v] = _mm512_xor_si512(sum[i][v],
                                     times(last, matrix(coefficients[i * coefficient_stride + j])));
      }
      store<Masked>(out[i] + offset + v * vector_bytes, sum[i][v], v + 1 == V, mask);
    }
  }
}

template <std::size_t V, bool Masked>
void multiply_strip(std::size_t m, std::size_t k, const std::uint8_t* coefficients,
                    std::size_t coefficient_stride, const std::uint8_t* const* rows,
                    std::uint8_t* const* out, const Strip& strip) noexcept {
  const auto group = [&]<std::size_t M, bool Fetching>(std::size_t i, std::size_t ahead) {
    multiply_block<M, V, Masked, Fetching>(k, coefficients + i * coefficient_stride,
                                           coefficient_stride, rows, out + i, strip.offset,
                                           strip.mask, ahead);
  };
  std::size_t i = 0;
  // Where the rows are too many for the near caches, the first groups fetch a line each of their
  // next strip.
  const std::size_t end = strip.offset + V * vector_bytes;
  const bool is_far = m >= 4 * strip_vectors && k * (end + strip.bytes_after) > near_bytes;
  const std::size_t fetched = is_far ? std::min(strip.bytes_after, strip_bytes) : 0;
  for (std::size_t ahead = end; ahead < end + fetched; i += 4, ahead += vector_bytes) {
    group.template operator()<4, true>(i, ahead);
  }
  for (; i + 4 <= m; i += 4) group.template operator()<4, false>(i, 0);
  switch (m - i) {
    case 3:
      group.template operator()<3, false>(i, 0);
      break;
    case 2:
      group.template operator()<2, false>(i, 0);
      break;
    case 1:
      group.template operator()<1, false>(i, 0);
      break;
    default:
      break;
  }
}

void multiply_direct(std::size_t m, std::size_t k, const std::uint8_t* coefficients,
                     std::size_t coefficient_stride, const std::uint8_t* const* rows,
                     std::uint8_t* const* out, std::size_t bytes) noexcept {
  for_each_strip<strip_vectors>(bytes, [&]<std::size_t V>(const Strip& strip) {
    if (strip.mask == ~__mmask64{0}) {
      multiply_strip<V, false>(m, k, coefficients, coefficient_stride, rows, out, strip);
    } else {
      multiply_strip<V, true>(m, k, coefficients, coefficient_stride, rows, out, strip);
    }
  });
}

// One output: strips as wide as there are registers for, since here reading the rows is the limit
// and long runs of a row are read fastest.
template <std::size_t VectorsMax>
void multiply_one(std::size_t k, const std::uint8_t* coefficients, const std::uint8_t* const* rows,
                  std::uint8_t* const* out, std::size_t bytes) noexcept {
  for_each_strip<VectorsMax>(bytes, [&]<std::size_t V>(const Strip& strip) {
    if (strip.mask == ~__mmask64{0}) {
      multiply_block<1, V, false, false>(k, coefficients, 0, rows, out, strip.offset, strip.mask,
                                         0);
    } else {
      multiply_block<1, V, true, false>(k, coefficients, 0, rows, out, strip.offset, strip.mask, 0);
    }
  });
}

void multiply_gfni(std::size_t m, std::size_t k, const std::uint8_t* coefficients,
                   std::size_t coefficient_stride, const std::uint8_t* const* rows,
                   std::uint8_t* const* out, std::size_t bytes) noexcept {
  constexpr std::size_t long_bytes =
      4096;  // from here on the caches fetch ahead within a row by themselves
  if (m == 1 && bytes < long_bytes) {
    multiply_one<11>(k, coefficients, rows, out, bytes);
  } else if (m == 1) {
    multiply_one<8>(k, coefficients, rows, out, bytes);
  } else if (is_worth_pairing(m, k)) {
    multiply_paired(m, k, coefficients, coefficient_stride, rows, out, bytes);
  } else {
    multiply_direct(m, k, coefficients, coefficient_stride, rows, out, bytes);
  }
}

// Sooner than elsewhere: packing spares the copies that a product in place needs.
constexpr std::size_t in_place_paired_min = 16;

void multiply_in_place_gfni(std::size_t m, std::size_t k, const std::uint8_t* coefficients,
                            std::size_t coefficient_stride, std::uint8_t* const* rows,
                            const std::uint8_t* targets, std::size_t bytes) noexcept {
  if (m >= in_place_paired_min) {
    std::uint8_t* out[k_max];
    for (std::size_t i = 0; i < m; ++i) out[i] = rows[targets[i]];
    multiply_paired(m, k, coefficients, coefficient_stride, rows, out, bytes);
    return;
  }
  constexpr std::size_t window_bytes = 1536;
  alignas(64) std::uint8_t scratch[in_place_paired_min * window_bytes];
  multiply_by_windows(multiply_direct, scratch, window_bytes, m, k, coefficients,
                      coefficient_stride, rows, targets, bytes);
}

}  // namespace

const Kernel gfni_kernel = {Backend::gfni, multiply_gfni, multiply_in_place_gfni, reduce_gfni,
                            insert_gfni};

}  // namespace corelay::codec
