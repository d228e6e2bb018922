// AVX2: a product by a constant is two 16-entry table look-ups (vpshufb), one for each half of the
// byte, since the product is linear over GF(2). Three outputs by two vectors fill the sixteen
// registers.
#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "codec/kernel/kernel.h"
#include "codec/kernel/tables.h"

namespace corelay::codec {
namespace {

constexpr std::size_t vector_bytes = 32;

struct NibbleTables {
  alignas(32) std::uint8_t low[16];
  std::uint8_t high[16];
};

constexpr std::array<NibbleTables, 256> make_nibble_tables() {
  std::array<NibbleTables, 256> tables{};
  for (unsigned c = 0; c < 256; ++c) {
    for (unsigned i = 0; i < 16; ++i) {
      tables[c].low[i] = product_by_definition(c, i);
      tables[c].high[i] = product_by_definition(c, i << 4);
    }
  }
  return tables;
}

alignas(64) constexpr std::array<NibbleTables, 256> nibble_tables = make_nibble_tables();

// A factor's two tables, each in both halves of a register.
struct Factor {
  __m256i low;
  __m256i high;

  explicit Factor(std::uint8_t value) noexcept
      : low(_mm256_broadcastsi128_si256(
            _mm_load_si128(reinterpret_cast<const __m128i*>(nibble_tables[value].low)))),
        high(_mm256_broadcastsi128_si256(
            _mm_load_si128(reinterpret_cast<const __m128i*>(nibble_tables[value].high)))) {}
};

__m256i load(const std::uint8_t* from) noexcept {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}

void store(std::uint8_t* to, __m256i value) noexcept {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), value);
}

// The halves of each byte, as look-up indices.
struct Nibbles {
  __m256i low;
  __m256i high;

  explicit Nibbles(__m256i bytes) noexcept {
    const __m256i mask = _mm256_set1_epi8(0x0f);
    low = _mm256_and_si256(bytes, mask);
    high = _mm256_and_si256(_mm256_srli_epi64(bytes, 4), mask);
  }
};

__m256i times(const Factor& factor, const Nibbles& value) noexcept {
  return _mm256_xor_si256(_mm256_shuffle_epi8(factor.low, value.low),
                          _mm256_shuffle_epi8(factor.high, value.high));
}

// M outputs, V vectors of each, from byte `offset` on.
template <std::size_t M, std::size_t V>
void multiply_block(std::size_t k, const std::uint8_t* coefficients, std::size_t coefficient_stride,
                    const std::uint8_t* const* rows, std::uint8_t* const* out,
                    std::size_t offset) noexcept {
  __m256i sum[M][V];
  for (std::size_t i = 0; i < M; ++i) {
    for (std::size_t v = 0; v < V; ++v) sum[i][v] = _mm256_setzero_si256();
  }
  for (std::size_t j = 0; j < k; ++j) {
    for (std::size_t v = 0; v < V; ++v) {
      const Nibbles value(load(rows[j] + offset + v * vector_bytes));
      for (std::size_t i = 0; i < M; ++i) {
        const Factor factor(coefficients[i * coefficient_stride + j]);
        sum[i][v] = _mm256_xor_si256(sum[i][v], times(factor, value));
      }
    }
  }
  for (std::size_t i = 0; i < M; ++i) {
    for (std::size_t v = 0; v < V; ++v) store(out[i] + offset + v * vector_bytes, sum[i][v]);
  }
}

// Columns offset..end of all outputs, V vectors at a time; end - offset is a multiple of that.
template <std::size_t V>
void multiply_strip(std::size_t m, std::size_t k, const std::uint8_t* coefficients,
                    std::size_t coefficient_stride, const std::uint8_t* const* rows,
                    std::uint8_t* const* out, std::size_t offset, std::size_t end) noexcept {
  const auto group = [&]<std::size_t M>(std::size_t i) {
    for (std::size_t at = offset; at < end; at += V * vector_bytes) {
      multiply_block<M, V>(k, coefficients + i * coefficient_stride, coefficient_stride, rows,
                           out + i, at);
    }
  };
  std::size_t i = 0;
  // Four are two and two: one output alone is the slowest.
  for (; m - i >= 3 && m - i != 4; i += 3) group.template operator()<3>(i);
  for (; m - i >= 2; i += 2) group.template operator()<2>(i);
  if (m - i == 1) group.template operator()<1>(i);
}

// Rows shorter than a vector, by way of padded copies: AVX2 has no byte mask.
void multiply_short(std::size_t m, std::size_t k, const std::uint8_t* coefficients,
                    std::size_t coefficient_stride, const std::uint8_t* const* rows,
                    std::uint8_t* const* out, std::size_t bytes) noexcept {
  alignas(32) std::uint8_t copies[k_max][vector_bytes];
  alignas(32) std::uint8_t result[vector_bytes];
  const std::uint8_t* sources[k_max];
  for (std::size_t j = 0; j < k; ++j) {
    std::memset(copies[j], 0, vector_bytes);
    std::memcpy(copies[j], rows[j], bytes);
    sources[j] = copies[j];
  }
  for (std::size_t i = 0; i < m; ++i) {
    std::uint8_t* const to = result;
    multiply_block<1, 1>(k, coefficients + i * coefficient_stride, coefficient_stride, sources, &to,
                         0);
    std::memcpy(out[i], result, bytes);
  }
}

void multiply_avx2(std::size_t m, std::size_t k, const std::uint8_t* coefficients,
                   std::size_t coefficient_stride, const std::uint8_t* const* rows,
                   std::uint8_t* const* out, std::size_t bytes) noexcept {
  if (bytes < vector_bytes) {
    multiply_short(m, k, coefficients, coefficient_stride, rows, out, bytes);
    return;
  }
  // Strips of 256 bytes of every source stay in the first cache while all outputs are made.
  constexpr std::size_t strip_bytes = 256;
  const std::size_t pairs_end = bytes / (2 * vector_bytes) * (2 * vector_bytes);
  const std::size_t vectors_end = bytes / vector_bytes * vector_bytes;
  for (std::size_t offset = 0; offset < pairs_end; offset += strip_bytes) {
    multiply_strip<2>(m, k, coefficients, coefficient_stride, rows, out, offset,
                      std::min(offset + strip_bytes, pairs_end));
  }
  multiply_strip<1>(m, k, coefficients, coefficient_stride, rows, out, pairs_end, vectors_end);
  // The last bytes once more as part of a whole vector: the same values land in the same places.
  if (vectors_end < bytes) {
    multiply_strip<1>(m, k, coefficients, coefficient_stride, rows, out, bytes - vector_bytes,
                      bytes);
  }
}

void multiply_in_place_avx2(std::size_t m, std::size_t k, const std::uint8_t* coefficients,
                            std::size_t coefficient_stride, std::uint8_t* const* rows,
                            const std::uint8_t* targets, std::size_t bytes) noexcept {
  constexpr std::size_t window_bytes = 256;
  alignas(64) std::uint8_t scratch[k_max * window_bytes];
  multiply_by_windows(multiply_avx2, scratch, window_bytes, m, k, coefficients, coefficient_stride,
                      rows, targets, bytes);
}

// 0xff in the bytes whose bit of a column mask is set, for the 32 columns from `column` on.
__m256i byte_mask(const std::uint64_t* mask, std::size_t column) noexcept {
  const auto bits = static_cast<std::uint32_t>(mask[column / 64] >> (column % 64));
  const __m256i in_lane =
      _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
  const __m256i spread = _mm256_shuffle_epi8(_mm256_set1_epi32(static_cast<int>(bits)), in_lane);
  const __m256i own_bit = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201));
  return _mm256_cmpeq_epi8(_mm256_and_si256(spread, own_bit), own_bit);
}

void add_scaled(std::uint8_t* to, const std::uint8_t* from, std::uint8_t value,
                std::size_t stride) noexcept {
  const Factor factor(value);
  for (std::size_t c = 0; c < stride; c += vector_bytes) {
    store(to + c, _mm256_xor_si256(load(to + c), times(factor, Nibbles(load(from + c)))));
  }
}

std::size_t reduce_avx2(const Tracker& tracker, const std::uint8_t* vector,
                        std::size_t k) noexcept {
  const std::size_t stride = tracker.stride;
  alignas(32) std::uint8_t incoming[k_max];
  std::memset(incoming, 0, stride);
  std::memcpy(incoming, vector, k);
  for (std::size_t c = 0; c < stride; c += 2 * vector_bytes) {
    __m256i low = _mm256_andnot_si256(byte_mask(tracker.coded_mask, c), load(incoming + c));
    __m256i high = _mm256_andnot_si256(byte_mask(tracker.coded_mask, c + vector_bytes),
                                       load(incoming + c + vector_bytes));
    for (std::size_t r = 0; r < tracker.coded; ++r) {
      const Factor factor(incoming[tracker.slots[r]]);
      const std::uint8_t* const row = tracker.rows + r * stride + c;
      low = _mm256_xor_si256(low, times(factor, Nibbles(load(row))));
      high = _mm256_xor_si256(high, times(factor, Nibbles(load(row + vector_bytes))));
    }
    store(tracker.work + c, low);
    store(tracker.work + c + vector_bytes, high);
  }
  for (std::size_t c = 0; c < stride; c += vector_bytes) {
    const __m256i open =
        _mm256_andnot_si256(byte_mask(tracker.held_mask, c), load(tracker.work + c));
    const auto zero = static_cast<unsigned>(
        _mm256_movemask_epi8(_mm256_cmpeq_epi8(open, _mm256_setzero_si256())));
    if (~zero != 0) return c + static_cast<std::size_t>(__builtin_ctz(~zero));
  }
  return stride;
}

void insert_avx2(const Tracker& tracker, std::size_t column) noexcept {
  const std::size_t stride = tracker.stride;
  std::uint8_t* const row = tracker.rows + tracker.coded * stride;
  tracker.slots[tracker.coded] = static_cast<std::uint8_t>(column);
  const std::uint8_t scale = inverses[tracker.work[column]];
  std::memset(row, 0, stride);
  add_scaled(row, tracker.work, scale, stride);
  row[column] = static_cast<std::uint8_t>(scale ^ 1);  // f + f * (scale + 1) = f * scale, below
  for (std::size_t r = 0; r < tracker.coded; ++r) {
    std::uint8_t* const other = tracker.rows + r * stride;
    if (other[column] != 0) add_scaled(other, row, other[column], stride);
  }
  row[column] = scale;
}

}  // namespace

const Kernel avx2_kernel = {Backend::avx2, multiply_avx2, multiply_in_place_avx2, reduce_avx2,
                            insert_avx2};

}  // namespace corelay::codec
