// The product for many outputs, with half the multiplications (Winograd, "A new algorithm for inner
// product", 1968):
//     c*a + d*b = (c + b)*(d + a) + c*d + a*b
// where a and b are sources and c and d their coefficients. One product of vectors, vgf2p8mulb,
// takes the place of two products by constants, at the price of two more additions, for which
// processors have ports to spare. Of the other terms a*b is the same for all outputs and c*d the
// same for all bytes.
//
// vgf2p8mulb is of the field with polynomial 0x11b. The two fields are isomorphic by a linear map,
// so sources are mapped as they are packed, once for all outputs, coefficients by table, and
// results mapped back: the same bytes as any other way. Packing also brings a strip of 256 bytes of
// every source side by side into the first cache.
#include <algorithm>

#include "codec/kernel/gfni.h"
#include "codec/kernel/gfni_vectors.h"

namespace corelay::codec {
namespace {

// a * b in the field of vgf2p8mulb.
constexpr std::uint8_t inner_product(unsigned a, unsigned b) noexcept {
  unsigned sum = 0;
  for (; b != 0; b >>= 1) {
    if ((b & 1) != 0) sum ^= a;
    a <<= 1;
    if ((a & 0x100) != 0) a ^= 0x11b;
  }
  return static_cast<std::uint8_t>(sum);
}

// An element of that field with the equation x^8 + x^4 + x^3 + x^2 + 1 = 0, which is what 2 is in
// ours: it stands for 2.
constexpr std::uint8_t find_image_of_two() {
  for (unsigned x = 2; x < 256; ++x) {
    std::uint8_t power[9] = {1};
    for (unsigned i = 1; i < 9; ++i) power[i] = inner_product(power[i - 1], x);
    if ((power[8] ^ power[4] ^ power[3] ^ power[2] ^ 1) == 0) return static_cast<std::uint8_t>(x);
  }
  return 0;
}

constexpr std::array<std::uint8_t, 256> make_inward() {
  std::array<std::uint8_t, 256> inward{};
  std::uint8_t image = 1;
  for (unsigned bit = 1; bit < 256; bit <<= 1) {
    for (unsigned low = 0; low < bit; ++low)
      inward[bit + low] = static_cast<std::uint8_t>(inward[low] ^ image);
    image = inner_product(image, find_image_of_two());
  }
  return inward;
}

constexpr std::array<std::uint8_t, 256> inward = make_inward();

constexpr std::uint8_t outward(unsigned value) {
  for (unsigned x = 0; x < 256; ++x) {
    if (inward[x] == value) return static_cast<std::uint8_t>(x);
  }
  return 0;
}

constexpr std::uint64_t inward_matrix = matrix_of([](unsigned value) { return inward[value]; });
constexpr std::uint64_t outward_matrix = matrix_of([](unsigned value) { return outward(value); });

// Each coefficient mapped, in all bytes of a word.
constexpr std::array<std::uint64_t, 256> make_spread() {
  std::array<std::uint64_t, 256> spread{};
  for (unsigned c = 0; c < 256; ++c) spread[c] = inward[c] * std::uint64_t{0x0101010101010101};
  return spread;
}

alignas(64) constexpr std::array<std::uint64_t, 256> spread = make_spread();

__m512i inner(__m512i a, __m512i b) noexcept { return _mm512_gf2p8mul_epi8(a, b); }

// The bytes of a vector added up.
std::uint8_t sum_of_bytes(__m512i value) noexcept {
  __m256i half =
      _mm256_xor_si256(_mm512_castsi512_si256(value), _mm512_extracti64x4_epi64(value, 1));
  const __m128i quarter =
      _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
  auto word =
      static_cast<std::uint64_t>(_mm_cvtsi128_si64(quarter) ^ _mm_extract_epi64(quarter, 1));
  word ^= word >> 32;
  word ^= word >> 16;
  word ^= word >> 8;
  return static_cast<std::uint8_t>(word);
}

// The sum of c*d over the pairs of one row of coefficients; the last coefficient of an odd row has
// no pair.
std::uint8_t sum_of_pairs(const std::uint8_t* coefficients, std::size_t k) noexcept {
  const __m512i map = broadcast(inward_matrix);
  __m512i sum = _mm512_setzero_si512();
  for (std::size_t j = 0; j < k; j += vector_bytes) {
    const __m512i row = times(_mm512_maskz_loadu_epi8(first_bytes(k - j), coefficients + j), map);
    sum = _mm512_xor_si512(sum, inner(row, _mm512_srli_epi16(row, 8)));
  }
  return sum_of_bytes(sum);
}

// Maps V vectors of every row to `packed`, and writes the sum of a*b over the pairs to `sums`.
template <std::size_t V>
[[gnu::noinline]] void pack_strip(std::size_t k, const std::uint8_t* const* rows, Strip strip,
                                  std::uint8_t* packed, std::uint8_t* sums) noexcept {
  const __m512i map = broadcast(inward_matrix);
  __m512i sum[V];
#pragma GCC unroll 4
  for (auto& each : sum) each = _mm512_setzero_si512();
  const auto pack = [=](const std::uint8_t* row, std::uint8_t* to, std::size_t v) {
    const std::uint8_t* const from = row + strip.offset + v * vector_bytes;
    const __m512i value = times(load<true>(from, v + 1 == V, strip.mask), map);
    _mm512_store_si512(to + v * vector_bytes, value);
    return value;
  };
  std::size_t j = 0;
  for (; j + 2 <= k; j += 2, packed += 2 * V * vector_bytes) {
    const std::uint8_t* const first = rows[j];
    const std::uint8_t* const second = rows[j + 1];
#pragma GCC unroll 4
    for (std::size_t v = 0; v < V; ++v) {
      const __m512i a = pack(first, packed, v);
      const __m512i b = pack(second, packed + V * vector_bytes, v);
      sum[v] = _mm512_xor_si512(sum[v], inner(a, b));
    }
  }
  for (std::size_t v = 0; v < V && j < k; ++v) pack(rows[j], packed, v);
#pragma GCC unroll 4
  for (std::size_t v = 0; v < V; ++v) _mm512_store_si512(sums + v * vector_bytes, sum[v]);
}

// The coefficients of two sources.
struct Pair {
  explicit Pair(const std::uint8_t* coefficients) noexcept
      : c(broadcast(spread[coefficients[0]])), d(broadcast(spread[coefficients[1]])) {}

  // (c + b) * (d + a) for vector v of two sources of V vectors.
  template <std::size_t V>
  [[nodiscard]] __m512i product(const std::uint8_t* packed, std::size_t v) const noexcept {
    const __m512i a = _mm512_load_si512(packed + v * vector_bytes);
    const __m512i b = _mm512_load_si512(packed + (V + v) * vector_bytes);
    return inner(_mm512_xor_si512(c, b), _mm512_xor_si512(d, a));
  }

  __m512i c;
  __m512i d;
};

// M outputs of V vectors from packed sources. Fetching, it also brings the line of each row that
// `ahead` is in.
template <std::size_t M, std::size_t V, bool Fetching>
[[gnu::noinline]] void multiply_packed(std::size_t k, const std::uint8_t* coefficients,
                                       std::size_t coefficient_stride,
                                       const std::uint8_t* pair_sums, const std::uint8_t* packed,
                                       const std::uint8_t* sums, std::uint8_t* const* out,
                                       Strip strip, const std::uint8_t* const* rows,
                                       std::size_t ahead) noexcept {
  __m512i sum[M][V];
#pragma GCC unroll 4
  for (std::size_t i = 0; i < M; ++i) {
    const __m512i pair_sum = _mm512_set1_epi8(static_cast<char>(pair_sums[i]));
#pragma GCC unroll 4
    for (std::size_t v = 0; v < V; ++v) {
      sum[i][v] = _mm512_xor_si512(_mm512_load_si512(sums + v * vector_bytes), pair_sum);
    }
  }
  // Sources stay in memory: with two pairs a step, registers are for the sums.
  std::size_t j = 0;
  for (; j + 4 <= k; j += 4, packed += 4 * V * vector_bytes) {
#pragma GCC unroll 4
    for (std::size_t i = 0; Fetching && i < 4; ++i) _mm_prefetch(rows[j + i] + ahead, _MM_HINT_T0);
#pragma GCC unroll 4
    for (std::size_t i = 0; i < M; ++i) {
      const Pair first(coefficients + i * coefficient_stride + j);
      const Pair second(coefficients + i * coefficient_stride + j + 2);
#pragma GCC unroll 4
      for (std::size_t v = 0; v < V; ++v) {
        sum[i][v] = add(sum[i][v], first.product<V>(packed, v),
                        second.product<V>(packed + 2 * V * vector_bytes, v));
      }
    }
  }
  if (j + 2 <= k) {
#pragma GCC unroll 4
    for (std::size_t i = 0; i < M; ++i) {
      const Pair pair(coefficients + i * coefficient_stride + j);
#pragma GCC unroll 4
      for (std::size_t v = 0; v < V; ++v)
        sum[i][v] = _mm512_xor_si512(sum[i][v], pair.product<V>(packed, v));
    }
    j += 2;
    packed += 2 * V * vector_bytes;
  }
  const __m512i map = broadcast(outward_matrix);
#pragma GCC unroll 4
  for (std::size_t i = 0; i < M; ++i) {
#pragma GCC unroll 4
    for (std::size_t v = 0; v < V; ++v) {
      if (j < k) {
        const __m512i c = broadcast(spread[coefficients[i * coefficient_stride + j]]);
        sum[i][v] =
            _mm512_xor_si512(sum[i][v], inner(c, _mm512_load_si512(packed + v * vector_bytes)));
      }
      store<true>(out[i] + strip.offset + v * vector_bytes, times(sum[i][v], map), v + 1 == V,
                  strip.mask);
    }
  }
}

// Everything but the place in the rows that the strips of a product have in common.
struct Job {
  std::size_t m;
  std::size_t k;
  const std::uint8_t* coefficients;
  std::size_t coefficient_stride;
  const std::uint8_t* pair_sums;
  const std::uint8_t* const* rows;
  std::uint8_t* const* out;
  std::uint8_t* packed;
};

template <std::size_t M, std::size_t V, bool Fetching>
void multiply_group(const Job& job, std::size_t i, const std::uint8_t* sums, const Strip& strip,
                    std::size_t ahead) noexcept {
  multiply_packed<M, V, Fetching>(job.k, job.coefficients + i * job.coefficient_stride,
                                  job.coefficient_stride, job.pair_sums + i, job.packed, sums,
                                  job.out + i, strip, job.rows, ahead);
}

template <std::size_t V>
void multiply_strip(const Job& job, const Strip& strip) noexcept {
  alignas(64) std::uint8_t sums[strip_bytes];
  pack_strip<V>(job.k, job.rows, strip, job.packed, sums);
  std::size_t i = 0;
  // The first groups fetch a line each of the next strip of the rows.
  const std::size_t end = strip.offset + V * vector_bytes;
  for (std::size_t ahead = end;
       i + 4 <= job.m && ahead < end + std::min(strip.bytes_after, strip_bytes); i += 4) {
    multiply_group<4, V, true>(job, i, sums, strip, ahead);
    ahead += vector_bytes;
  }
  for (; i + 4 <= job.m; i += 4) multiply_group<4, V, false>(job, i, sums, strip, 0);
  switch (job.m - i) {
    case 3:
      multiply_group<3, V, false>(job, i, sums, strip, 0);
      break;
    case 2:
      multiply_group<2, V, false>(job, i, sums, strip, 0);
      break;
    case 1:
      multiply_group<1, V, false>(job, i, sums, strip, 0);
      break;
    default:
      break;
  }
}

}  // namespace

void multiply_paired(std::size_t m, std::size_t k, const std::uint8_t* coefficients,
                     std::size_t coefficient_stride, const std::uint8_t* const* rows,
                     std::uint8_t* const* out, std::size_t bytes) noexcept {
  alignas(64) std::uint8_t packed[k_max * strip_bytes];
  std::uint8_t pair_sums[k_max];
  for (std::size_t i = 0; i < m; ++i)
    pair_sums[i] = sum_of_pairs(coefficients + i * coefficient_stride, k);
  const Job job{m, k, coefficients, coefficient_stride, pair_sums, rows, out, packed};
  for_each_strip<strip_vectors>(
      bytes, [&]<std::size_t V>(const Strip& strip) { multiply_strip<V>(job, strip); });
}

}  // namespace corelay::codec
