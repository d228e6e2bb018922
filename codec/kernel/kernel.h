/// What a backend is made of: the product over payloads and the two steps of rank tracking over
/// coefficients. Private to codec; field.cpp picks one Kernel, encoder.cpp and decoder.cpp use it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "codec/field.h"

namespace corelay::codec {

/// The rows of a generation that arrived coded, reduced and held in place: `rows` has `coded` rows
/// of `stride` bytes. Row r stands for column slots[r]. Where column c is held by some packet, byte
/// c of a row says how much of that packet's payload is in it; where it is not, byte c is the row's
/// coefficient. Bit c of a mask is bit c % 64 of word c / 64: a word is written and read whole,
/// because a vector read would wait for the bytes written just before. Rows, work and slots are
/// 64-byte aligned, `stride` is a multiple of 64 up to 256, and bytes from k to stride are zero in
/// rows and work.
struct Tracker {
  std::uint8_t* rows;
  std::uint8_t* work;               // one row: the packet being absorbed
  std::uint8_t* slots;              // `coded` columns; room for stride
  const std::uint64_t* coded_mask;  // columns that a coded row stands for
  const std::uint64_t* held_mask;   // columns that any packet stands for
  std::size_t coded;
  std::size_t stride;
};

[[nodiscard]] inline bool has_column(const std::uint64_t* mask, std::size_t column) noexcept {
  return (mask[column / 64] >> (column % 64) & 1) != 0;
}

struct Kernel {
  Backend backend;

  /// field.h, multiply(); m, k and bytes are at least 1.
  void (*multiply)(std::size_t m, std::size_t k, const std::uint8_t* coefficients,
                   std::size_t coefficient_stride, const std::uint8_t* const* rows,
                   std::uint8_t* const* out, std::size_t bytes) noexcept;

  /// As multiply(), where output i takes the place of row targets[i]; other rows are only read.
  void (*multiply_in_place)(std::size_t m, std::size_t k, const std::uint8_t* coefficients,
                            std::size_t coefficient_stride, std::uint8_t* const* rows,
                            const std::uint8_t* targets, std::size_t bytes) noexcept;

  /// Writes to tracker.work the reduced form of `vector` (k bytes) and returns the first column
  /// that is not held and not zero in it, or tracker.stride where the vector is redundant. Reads
  /// every coded row once.
  std::size_t (*reduce)(const Tracker& tracker, const std::uint8_t* vector, std::size_t k) noexcept;

  /// Makes tracker.work the next coded row, standing for `column` (slots too), and takes that
  /// column out of the others.
  void (*insert)(const Tracker& tracker, std::size_t column) noexcept;
};

extern const Kernel scalar_kernel;
extern const Kernel isal_kernel;
extern const Kernel avx2_kernel;
extern const Kernel gfni_kernel;

/// The kernel that force_backend() or the CPU chose.
[[nodiscard]] const Kernel& active_kernel() noexcept;

/// For a Kernel's multiply_in_place: takes `window_bytes` of every row at a time, copies what will
/// be overwritten to `scratch` (m * window_bytes, 64-byte aligned) and runs `multiply` from there.
void multiply_by_windows(decltype(Kernel::multiply) multiply, std::uint8_t* scratch,
                         std::size_t window_bytes, std::size_t m, std::size_t k,
                         const std::uint8_t* coefficients, std::size_t coefficient_stride,
                         std::uint8_t* const* rows, const std::uint8_t* targets,
                         std::size_t bytes) noexcept;

}  // namespace corelay::codec
