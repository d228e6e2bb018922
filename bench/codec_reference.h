/// What the codec is measured against: ISA-L called as one would without a kernel of one's own, and
/// the decoders that are usually built on it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "bench/codec_rows.h"

namespace corelay::bench {

/// A product through ec_encode_data, with its tables built on each call or once.
class IsalProduct {
 public:
  IsalProduct(std::size_t m, std::size_t k);

  /// ec_init_tables: `coefficients` has m rows of k bytes.
  void build_tables(const std::uint8_t* coefficients);
  /// ec_encode_data with the tables built last.
  void multiply(const Rows& rows, const Rows& out);

 private:
  std::size_t m_;
  std::size_t k_;
  std::vector<std::uint8_t> tables_;
};

/// Gaussian elimination to reduced form over coefficients and payloads together, a row at a time by
/// gf_vect_mad, as packets arrive.
class RowByRowDecoder {
 public:
  RowByRowDecoder(std::size_t k, std::size_t shard_bytes);

  /// Decodes k innovative packets; payloads are overwritten. Returns where shard i is for each i.
  const std::vector<std::uint8_t*>& decode(const std::uint8_t* coefficients, const Rows& payloads);

 private:
  void add_scaled(std::uint8_t factor, std::size_t from, std::size_t to);
  void scale(std::uint8_t factor, std::size_t row);
  void reduce(std::size_t row);
  std::size_t pivot_of(std::size_t row) const;

  std::size_t k_;
  Rows coefficients_;
  Rows scaled_;  // room for one row that is being scaled
  std::vector<std::uint8_t*> payloads_;
  std::vector<std::size_t> pivots_;
  std::vector<std::uint8_t*> shards_;
};

/// gf_invert_matrix, then ec_init_tables and ec_encode_data.
class InvertingDecoder {
 public:
  InvertingDecoder(std::size_t k, std::size_t shard_bytes);

  /// Decodes k innovative packets into rows of its own.
  const Rows& decode(const std::uint8_t* coefficients, const Rows& payloads);

 private:
  std::size_t k_;
  std::vector<std::uint8_t> matrix_;
  std::vector<std::uint8_t> inverse_;
  IsalProduct product_;
  Rows shards_;
};

/// to = the sum of k rows, through xor_gen of ISA-L. `to` is row k of `rows`.
void xor_by_isal(const Rows& rows, std::size_t k);

}  // namespace corelay::bench
