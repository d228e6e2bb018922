/// The vector steps that the GFNI kernels are made of. Included only by files built with AVX-512
/// and GFNI, and everything here has internal linkage, so that no other file can come to share code
/// that its CPU may lack. To any other file the header is empty.
#pragma once

#if defined(__GFNI__) && defined(__AVX512BW__) && defined(__AVX512VBMI__)
#include <immintrin.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "codec/kernel/tables.h"

namespace corelay::codec {
namespace {

constexpr std::size_t vector_bytes = 64;

/// The operand of vgf2p8affineqb that is linear map `image`: output bit i is row 7 - i of the eight
/// bytes, and its bit j is bit i of the image of 2^j.
template <class Image>
constexpr std::uint64_t matrix_of(Image image) {
  std::uint64_t matrix = 0;
  for (unsigned j = 0; j < 8; ++j) {
    const std::uint64_t column = image(1U << j);
    for (unsigned i = 0; i < 8; ++i) matrix |= (column >> i & 1) << (8 * (7 - i) + j);
  }
  return matrix;
}

constexpr std::array<std::uint64_t, 256> make_matrices() {
  std::array<std::uint64_t, 256> matrices{};
  for (unsigned c = 0; c < 256; ++c) {
    matrices[c] = matrix_of([c](unsigned value) { return product_by_definition(c, value); });
  }
  return matrices;
}

/// "Times c" as a matrix, for each c.
alignas(64) constexpr std::array<std::uint64_t, 256> matrices = make_matrices();

inline __m512i broadcast(std::uint64_t word) noexcept {
  return _mm512_set1_epi64(static_cast<long long>(word));
}

inline __m512i matrix(std::uint8_t factor) noexcept { return broadcast(matrices[factor]); }

inline __m512i times(__m512i value, __m512i by) noexcept {
  return _mm512_gf2p8affine_epi64_epi8(value, by, 0);
}

/// a + b + c
inline __m512i add(__m512i a, __m512i b, __m512i c) noexcept {
  return _mm512_ternarylogic_epi64(a, b, c, 0x96);
}

/// The mask of the first `count` bytes of a vector.
inline __mmask64 first_bytes(std::size_t count) noexcept {
  return count >= vector_bytes ? ~__mmask64{0} : (__mmask64{1} << count) - 1;
}

/// The last vector of a block reads and writes the bytes of `mask` alone when the block is Masked.
template <bool Masked>
inline __m512i load(const std::uint8_t* from, bool is_last, __mmask64 mask) noexcept {
  if (Masked && is_last) return _mm512_maskz_loadu_epi8(mask, from);
  return _mm512_loadu_si512(from);
}

template <bool Masked>
inline void store(std::uint8_t* to, __m512i value, bool is_last, __mmask64 mask) noexcept {
  if (Masked && is_last) {
    _mm512_mask_storeu_epi8(to, mask, value);
  } else {
    _mm512_storeu_si512(to, value);
  }
}

constexpr std::size_t strip_vectors = 4;
constexpr std::size_t strip_bytes = strip_vectors * vector_bytes;

/// Some columns of a product: where they lie in every row and output, and which bytes of the last
/// vector are among them.
struct Strip {
  std::size_t offset;
  std::size_t bytes_after;  // columns that come after these
  __mmask64 mask;
};

template <std::size_t V, class Visit>
inline void visit_strip(std::size_t vectors, const Strip& strip, const Visit& visit) noexcept {
  if constexpr (V == 1) {
    visit.template operator()<1>(strip);
  } else if (vectors == V) {
    visit.template operator()<V>(strip);
  } else {
    visit_strip<V - 1>(vectors, strip, visit);
  }
}

/// Cuts `bytes` columns into strips of VectorsMax at most, as even as they can be, and calls
/// visit.operator()<V>(strip) for each, V being its vectors.
template <std::size_t VectorsMax, class Visit>
inline void for_each_strip(std::size_t bytes, const Visit& visit) noexcept {
  std::size_t offset = 0;
  for (std::size_t left = (bytes + vector_bytes - 1) / vector_bytes; left != 0;) {
    const std::size_t strips = (left + VectorsMax - 1) / VectorsMax;
    const std::size_t vectors = (left + strips - 1) / strips;
    left -= vectors;
    const std::size_t end =
        offset + vectors * vector_bytes < bytes ? offset + vectors * vector_bytes : bytes;
    const Strip strip{offset, bytes - end,
                      first_bytes(end - offset - (vectors - 1) * vector_bytes)};
    visit_strip<VectorsMax>(vectors, strip, visit);
    offset = end;
  }
}

}  // namespace
}  // namespace corelay::codec
#endif
