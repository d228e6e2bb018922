#include "bench/codec_reference.h"

#include <isa-l/erasure_code.h>
#include <isa-l/raid.h>

#include <algorithm>
#include <cstring>

#include "codec/check.h"

namespace corelay::bench {
namespace {

constexpr std::size_t table_bytes = 32;

int as_int(std::size_t value) { return static_cast<int>(value); }

}  // namespace

IsalProduct::IsalProduct(std::size_t m, std::size_t k)
    : m_(m), k_(k), tables_(m * k * table_bytes) {}

void IsalProduct::build_tables(const std::uint8_t* coefficients) {
  ec_init_tables(as_int(k_), as_int(m_), const_cast<std::uint8_t*>(coefficients), tables_.data());
}

void IsalProduct::multiply(const Rows& rows, const Rows& out) {
  ec_encode_data(as_int(rows.bytes()), as_int(k_), as_int(m_), tables_.data(),
                 const_cast<std::uint8_t**>(rows.list()), const_cast<std::uint8_t**>(out.list()));
}

RowByRowDecoder::RowByRowDecoder(std::size_t k, std::size_t shard_bytes)
    : k_(k),
      coefficients_(k, k),
      scaled_(1, std::max(k, shard_bytes)),
      payloads_(k),
      pivots_(k),
      shards_(k) {}

const std::vector<std::uint8_t*>& RowByRowDecoder::decode(const std::uint8_t* coefficients,
                                                          const Rows& payloads) {
  for (std::size_t row = 0; row < k_; ++row) {
    std::memcpy(coefficients_[row], coefficients + row * k_, k_);
    payloads_[row] = payloads[row];
    reduce(row);
    pivots_[row] = pivot_of(row);
    scale(gf_inv(coefficients_[row][pivots_[row]]), row);
    for (std::size_t other = 0; other < row; ++other) {
      add_scaled(coefficients_[other][pivots_[row]], row, other);
    }
    shards_[pivots_[row]] = payloads_[row];
  }
  return shards_;
}

// Takes the pivots of earlier rows out of this one: its factors are known at once, the others being
// reduced.
void RowByRowDecoder::reduce(std::size_t row) {
  for (std::size_t other = 0; other < row; ++other) {
    add_scaled(coefficients_[row][pivots_[other]], other, row);
  }
}

std::size_t RowByRowDecoder::pivot_of(std::size_t row) const {
  const std::uint8_t* const first = coefficients_[row];
  const std::uint8_t* const found =
      std::find_if(first, first + k_, [](std::uint8_t value) { return value != 0; });
  CHECK(found != first + k_);
  return static_cast<std::size_t>(found - first);
}

// Debian's release 2.30 writes 32-byte tables on every CPU, which gf_vect_mad reads.
void RowByRowDecoder::add_scaled(std::uint8_t factor, std::size_t from, std::size_t to) {
  if (factor == 0) return;
  std::uint8_t table[table_bytes];
  gf_vect_mul_init(factor, table);
  gf_vect_mad(as_int(k_), 1, 0, table, coefficients_[from], coefficients_[to]);
  gf_vect_mad(as_int(scaled_.bytes()), 1, 0, table, payloads_[from], payloads_[to]);
}

// x + (factor + 1) x: gf_vect_mul would want lengths in multiples of 32.
void RowByRowDecoder::scale(std::uint8_t factor, std::size_t row) {
  const auto rest = static_cast<std::uint8_t>(factor ^ 1);
  if (rest == 0) return;
  std::uint8_t table[table_bytes];
  gf_vect_mul_init(rest, table);
  std::memcpy(scaled_[0], coefficients_[row], k_);
  gf_vect_mad(as_int(k_), 1, 0, table, scaled_[0], coefficients_[row]);
  std::memcpy(scaled_[0], payloads_[row], scaled_.bytes());
  gf_vect_mad(as_int(scaled_.bytes()), 1, 0, table, scaled_[0], payloads_[row]);
}

InvertingDecoder::InvertingDecoder(std::size_t k, std::size_t shard_bytes)
    : k_(k), matrix_(k * k), inverse_(k * k), product_(k, k), shards_(k, shard_bytes) {}

const Rows& InvertingDecoder::decode(const std::uint8_t* coefficients, const Rows& payloads) {
  std::memcpy(matrix_.data(), coefficients, matrix_.size());  // gf_invert_matrix destroys its input
  CHECK(gf_invert_matrix(matrix_.data(), inverse_.data(), as_int(k_)) == 0);
  product_.build_tables(inverse_.data());
  product_.multiply(payloads, shards_);
  return shards_;
}

void xor_by_isal(const Rows& rows, std::size_t k) {
  CHECK(xor_gen(as_int(k + 1), as_int(rows.bytes()),
                reinterpret_cast<void**>(const_cast<std::uint8_t**>(rows.list()))) == 0);
}

}  // namespace corelay::bench
