/// The parts of the gfni kernel, one file each. Only for CPUs that have it.
#pragma once

#include "codec/kernel/kernel.h"

namespace corelay::codec {

/// multiply() for many outputs: two coefficients cost one product of vectors (gfni_paired.cpp). An
/// output may be a row, at the same address: each 256 bytes of all rows are read before any of
/// these bytes of an output are written.
void multiply_paired(std::size_t m, std::size_t k, const std::uint8_t* coefficients,
                     std::size_t coefficient_stride, const std::uint8_t* const* rows,
                     std::uint8_t* const* out, std::size_t bytes) noexcept;

/// Whether multiply_paired() is faster than four outputs at a time: its preparation is worth while
/// for many outputs of many rows (measured by tools/bench codec on E1).
[[nodiscard]] constexpr bool is_worth_pairing(std::size_t m, std::size_t k) noexcept {
  return m >= 32 && k >= 32;
}

/// Kernel::reduce and Kernel::insert: gfni_tracker.cpp.
std::size_t reduce_gfni(const Tracker& tracker, const std::uint8_t* vector, std::size_t k) noexcept;
void insert_gfni(const Tracker& tracker, std::size_t column) noexcept;

}  // namespace corelay::codec
