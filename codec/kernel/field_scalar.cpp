// The oracle: one byte at a time by a table made from the definition of the field. Correct, and
// nothing else.
#include <cstring>

#include "codec/kernel/kernel.h"
#include "codec/kernel/tables.h"

namespace corelay::codec {
namespace {

// a * b = a * (b without its lowest bit) + a * (that bit).
constexpr std::array<std::array<std::uint8_t, 256>, 256> make_products() {
  std::array<std::array<std::uint8_t, 256>, 256> table{};
  for (unsigned a = 0; a < 256; ++a) {
    for (unsigned bit = 1; bit < 256; bit <<= 1) table[a][bit] = product_by_definition(a, bit);
    for (unsigned b = 3; b < 256; ++b) {
      if ((b & (b - 1)) == 0) continue;
      table[a][b] = static_cast<std::uint8_t>(table[a][b & (b - 1)] ^ table[a][b & ~(b - 1)]);
    }
  }
  return table;
}

// a^255 = 1, so the inverse is a^254 = a^2 * a^4 * ... * a^128.
constexpr std::array<std::uint8_t, 256> make_inverses() {
  std::array<std::uint8_t, 256> table{};
  for (unsigned a = 1; a < 256; ++a) {
    unsigned inverse_of_a = 1;
    unsigned power = a;
    for (int i = 0; i < 7; ++i) {
      power = product_by_definition(power, power);
      inverse_of_a = product_by_definition(inverse_of_a, power);
    }
    table[a] = static_cast<std::uint8_t>(inverse_of_a);
  }
  return table;
}

void add_scaled(std::uint8_t* to, const std::uint8_t* from, std::uint8_t factor,
                std::size_t bytes) noexcept {
  const std::array<std::uint8_t, 256>& times = products[factor];
  for (std::size_t i = 0; i < bytes; ++i) to[i] = static_cast<std::uint8_t>(to[i] ^ times[from[i]]);
}

void multiply_scalar(std::size_t m, std::size_t k, const std::uint8_t* coefficients,
                     std::size_t coefficient_stride, const std::uint8_t* const* rows,
                     std::uint8_t* const* out, std::size_t bytes) noexcept {
  for (std::size_t i = 0; i < m; ++i) {
    std::memset(out[i], 0, bytes);
    for (std::size_t j = 0; j < k; ++j) {
      add_scaled(out[i], rows[j], coefficients[i * coefficient_stride + j], bytes);
    }
  }
}

void multiply_in_place_scalar(std::size_t m, std::size_t k, const std::uint8_t* coefficients,
                              std::size_t coefficient_stride, std::uint8_t* const* rows,
                              const std::uint8_t* targets, std::size_t bytes) noexcept {
  constexpr std::size_t window_bytes = 256;
  alignas(64) std::uint8_t scratch[k_max * window_bytes];
  multiply_by_windows(multiply_scalar, scratch, window_bytes, m, k, coefficients,
                      coefficient_stride, rows, targets, bytes);
}

std::size_t reduce_scalar(const Tracker& tracker, const std::uint8_t* vector,
                          std::size_t k) noexcept {
  std::memset(tracker.work, 0, tracker.stride);
  for (std::size_t c = 0; c < k; ++c) {
    tracker.work[c] = has_column(tracker.coded_mask, c) ? std::uint8_t{0} : vector[c];
  }
  for (std::size_t r = 0; r < tracker.coded; ++r) {
    add_scaled(tracker.work, tracker.rows + r * tracker.stride, vector[tracker.slots[r]],
               tracker.stride);
  }
  for (std::size_t c = 0; c < k; ++c) {
    if (tracker.work[c] != 0 && !has_column(tracker.held_mask, c)) return c;
  }
  return tracker.stride;
}

void insert_scalar(const Tracker& tracker, std::size_t column) noexcept {
  std::uint8_t* const row = tracker.rows + tracker.coded * tracker.stride;
  tracker.slots[tracker.coded] = static_cast<std::uint8_t>(column);
  const std::uint8_t scale = inverses[tracker.work[column]];
  std::memset(row, 0, tracker.stride);
  add_scaled(row, tracker.work, scale, tracker.stride);
  row[column] = scale;
  for (std::size_t r = 0; r < tracker.coded; ++r) {
    std::uint8_t* const other = tracker.rows + r * tracker.stride;
    const std::uint8_t factor = other[column];
    other[column] = 0;
    add_scaled(other, row, factor, tracker.stride);
  }
}

}  // namespace

constexpr std::array<std::array<std::uint8_t, 256>, 256> products = make_products();
constexpr std::array<std::uint8_t, 256> inverses = make_inverses();

const Kernel scalar_kernel = {Backend::scalar, multiply_scalar, multiply_in_place_scalar,
                              reduce_scalar, insert_scalar};

}  // namespace corelay::codec
