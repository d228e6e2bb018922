// The portable fast backend: ISA-L's ec_encode_data, which picks SSE, AVX, AVX2 or AVX-512 for
// itself. This is the only file that includes ISA-L, and it pairs ec_init_tables with
// ec_encode_data alone: on GFNI machines some releases give other calls tables in a form they do
// not read. Tables cost 32 bytes and some 5 ns a coefficient on each call.
#include <isa-l/erasure_code.h>

#include <algorithm>
#include <cstring>

#include "codec/kernel/kernel.h"

namespace corelay::codec {
namespace {

constexpr std::size_t table_bytes = 32;  // ISA-L's, for one coefficient
constexpr std::size_t tables_bytes_max = 128 * 1024;
constexpr std::size_t window_bytes_max = std::size_t{1} << 30;  // ISA-L takes lengths as int

// Per thread, so that the stack of a caller stays small; touched only by threads that use this
// backend.
struct Scratch {
  alignas(64) std::uint8_t tables[tables_bytes_max];
  alignas(64) std::uint8_t rows[128 * 1024];
};

Scratch& thread_scratch() noexcept {
  static thread_local Scratch scratch;
  return scratch;
}

void encode_window(std::size_t m, std::size_t k, const std::uint8_t* const* rows,
                   std::uint8_t* const* out, std::size_t offset, std::size_t bytes,
                   std::uint8_t* tables) noexcept {
  std::uint8_t* sources[k_max];
  std::uint8_t* targets[k_max];
  // ISA-L's pointers lack const; it does not write to sources.
  for (std::size_t j = 0; j < k; ++j) sources[j] = const_cast<std::uint8_t*>(rows[j]) + offset;
  for (std::size_t i = 0; i < m; ++i) targets[i] = out[i] + offset;
  ec_encode_data(static_cast<int>(bytes), static_cast<int>(k), static_cast<int>(m), tables, sources,
                 targets);
}

void multiply_isal(std::size_t m, std::size_t k, const std::uint8_t* coefficients,
                   std::size_t coefficient_stride, const std::uint8_t* const* rows,
                   std::uint8_t* const* out, std::size_t bytes) noexcept {
  std::uint8_t* const tables = thread_scratch().tables;
  const std::size_t group = std::min(m, tables_bytes_max / (table_bytes * k));
  for (std::size_t first = 0; first < m; first += group) {
    const std::size_t count = std::min(group, m - first);
    for (std::size_t i = 0; i < count; ++i) {
      // Row by row, because the rows of coefficients need not be adjacent; ISA-L does not write to
      // them.
      ec_init_tables(static_cast<int>(k), 1,
                     const_cast<std::uint8_t*>(coefficients + (first + i) * coefficient_stride),
                     tables + i * k * table_bytes);
    }
    for (std::size_t offset = 0; offset < bytes; offset += window_bytes_max) {
      encode_window(count, k, rows, out + first, offset, std::min(window_bytes_max, bytes - offset),
                    tables);
    }
  }
}

void multiply_in_place_isal(std::size_t m, std::size_t k, const std::uint8_t* coefficients,
                            std::size_t coefficient_stride, std::uint8_t* const* rows,
                            const std::uint8_t* targets, std::size_t bytes) noexcept {
  Scratch& scratch = thread_scratch();
  // As wide as the scratch allows: each window builds the tables anew.
  const std::size_t window_bytes = sizeof scratch.rows / m / 64 * 64;
  multiply_by_windows(multiply_isal, scratch.rows, window_bytes, m, k, coefficients,
                      coefficient_stride, rows, targets, bytes);
}

// ISA-L has no call for rows as short as coefficient vectors that is not all table building.
const Kernel& tracking_kernel() noexcept {
  static const Kernel& kernel = __builtin_cpu_supports("avx2") ? avx2_kernel : scalar_kernel;
  return kernel;
}

std::size_t reduce_isal(const Tracker& tracker, const std::uint8_t* vector,
                        std::size_t k) noexcept {
  return tracking_kernel().reduce(tracker, vector, k);
}

void insert_isal(const Tracker& tracker, std::size_t column) noexcept {
  tracking_kernel().insert(tracker, column);
}

}  // namespace

const Kernel isal_kernel = {Backend::isal, multiply_isal, multiply_in_place_isal, reduce_isal,
                            insert_isal};

}  // namespace corelay::codec
