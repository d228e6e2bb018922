#include "bench/codec_limits.h"

#include <immintrin.h>

namespace corelay::bench {
namespace {

// Assembly, so that no compiler joins, hoists or drops a step.
inline void affine_pair(__m512i& sum, __m512i a, __m512i b, __m512i by_a, __m512i by_b) {
  asm volatile(
      "vgf2p8affineqb $0, %3, %1, %%zmm30\n\t"
      "vgf2p8affineqb $0, %4, %2, %%zmm31\n\t"
      "vpternlogq $0x96, %%zmm30, %%zmm31, %0"
      : "+v"(sum)
      : "v"(a), "v"(b), "v"(by_a), "v"(by_b)
      : "xmm30", "xmm31");
}

template <std::size_t V>
void xor_strip(const Rows& rows, std::size_t k, std::uint8_t* to, std::size_t offset) {
  __m512i sum[V];
  for (auto& each : sum) each = _mm512_setzero_si512();
  for (std::size_t j = 0; j < k; ++j) {
    for (std::size_t v = 0; v < V; ++v) {
      sum[v] = _mm512_xor_si512(sum[v], _mm512_load_si512(rows[j] + offset + v * 64));
    }
  }
  for (std::size_t v = 0; v < V; ++v) _mm512_store_si512(to + offset + v * 64, sum[v]);
}

}  // namespace

void affine_steps(std::size_t steps) {
  const __m512i a = _mm512_set1_epi8(0x35);
  const __m512i b = _mm512_set1_epi8(0x57);
  const __m512i by = _mm512_set1_epi64(0x0123456789abcdef);
  __m512i sum[16];
#pragma GCC unroll 16
  for (auto& each : sum) each = a;
  for (std::size_t i = 0; i < steps; ++i) {
#pragma GCC unroll 16
    for (auto& each : sum) affine_pair(each, a, b, by, by);
  }
}

void xor_rows(const Rows& rows, std::size_t k, std::uint8_t* to) {
  std::size_t offset = 0;
  for (; offset + 256 <= rows.bytes(); offset += 256) xor_strip<4>(rows, k, to, offset);
  for (; offset < rows.bytes(); offset += 64) xor_strip<1>(rows, k, to, offset);
}

}  // namespace corelay::bench
