// Encoding and recoding: E1-E6, R1.
#include <algorithm>
#include <cstring>
#include <memory>

#include "bench/codec_cases.h"
#include "bench/codec_limits.h"
#include "bench/codec_reference.h"
#include "bench/codec_rows.h"
#include "codec/encoder.h"

namespace corelay::bench {
namespace {

using codec::Backend;
using codec::multiply;

constexpr std::size_t fresh_count =
    8;  // coefficient matrices taken in turn where a case says fresh

struct Product {
  Product(std::size_t k_, std::size_t m_, std::size_t shard_bytes)
      : k(k_),
        m(m_),
        rows(k_, shard_bytes, rng),
        ours(m_, shard_bytes),
        theirs(m_, shard_bytes),
        isal(m_, k_) {
    for (auto& matrix : coefficients) {
      matrix.resize(m * k);
      for (std::uint8_t& value : matrix) value = static_cast<std::uint8_t>(1 + rng.below(255));
    }
  }

  [[nodiscard]] double mad_bytes() const { return static_cast<double>(k * m * rows.bytes()); }

  void multiply_ours(std::size_t which) {
    multiply(m, k, coefficients[which].data(), k, rows.list(), ours.list(), rows.bytes());
  }

  // Both sides on the first matrix: equal to each other, and the first and last output equal to the
  // oracle's.
  bool is_right() {
    multiply_ours(0);
    isal.build_tables(coefficients[0].data());
    isal.multiply(rows, theirs);
    for (std::size_t i = 0; i < m; ++i) {
      if (std::memcmp(ours[i], theirs[i], rows.bytes()) != 0) return false;
    }
    Rows oracle(1, rows.bytes());
    for (const std::size_t i : {std::size_t{0}, m - 1}) {
      multiply(Backend::scalar, 1, k, coefficients[0].data() + i * k, k, rows.list(), oracle.list(),
               rows.bytes());
      if (std::memcmp(ours[i], oracle[0], rows.bytes()) != 0) return false;
    }
    return true;
  }

  std::size_t k;
  std::size_t m;
  Rng rng{1};
  Rows rows;
  Rows ours;
  Rows theirs;
  IsalProduct isal;
  std::vector<std::uint8_t> coefficients[fresh_count];
};

Comparison compare(const std::shared_ptr<Product>& product, Repeat reference,
                   double reference_bytes) {
  return {product->mad_bytes(), reference_bytes,
          [product](std::size_t times) {
            for (std::size_t i = 0; i < times; ++i) product->multiply_ours(i % fresh_count);
          },
          std::move(reference), [product] { return product->is_right(); }};
}

// Our kernel has no tables to build, so fresh coefficients and old ones are the same to it.
Case fresh(std::string id, std::size_t k, std::size_t m, std::size_t shard_bytes, double goal) {
  return {std::move(id), k, m, shard_bytes, "ec_init_tables+ec_encode_data", goal, [=] {
            const auto product = std::make_shared<Product>(k, m, shard_bytes);
            return compare(
                product,
                [product](std::size_t times) {
                  for (std::size_t i = 0; i < times; ++i) {
                    product->isal.build_tables(product->coefficients[i % fresh_count].data());
                    product->isal.multiply(product->rows, product->theirs);
                  }
                },
                product->mad_bytes());
          }};
}

Case prebuilt(std::size_t k, std::size_t m, std::size_t shard_bytes, double goal) {
  return {"E3", k, m, shard_bytes, "ec_encode_data, tables built before", goal, [=] {
            const auto product = std::make_shared<Product>(k, m, shard_bytes);
            product->isal.build_tables(product->coefficients[0].data());
            return compare(
                product,
                [product](std::size_t times) {
                  for (std::size_t i = 0; i < times; ++i)
                    product->isal.multiply(product->rows, product->theirs);
                },
                product->mad_bytes());
          }};
}

Case against_xor(std::size_t k, std::size_t shard_bytes, bool by_isal, double goal) {
  return {"E5",
          k,
          1,
          shard_bytes,
          by_isal ? "xor_gen of the same rows" : "AVX-512 xor of the same rows",
          goal,
          [=] {
            const auto product = std::make_shared<Product>(k, 1, shard_bytes);
            const auto with_sum = std::make_shared<Rows>(k + 1, shard_bytes, product->rng);
            return compare(
                product,
                [=](std::size_t times) {
                  for (std::size_t i = 0; i < times; ++i) {
                    if (by_isal) {
                      xor_by_isal(*with_sum, k);
                    } else {
                      xor_rows(*with_sum, k, (*with_sum)[k]);
                    }
                  }
                },
                product->mad_bytes());
          }};
}

Case against_registers(std::size_t k, std::size_t shard_bytes, double goal) {
  return {"E6", k, k, shard_bytes, "register-only affine+ternlog loop", goal, [=] {
            const auto product = std::make_shared<Product>(k, k, shard_bytes);
            // As many steps in a run of either side, so that both feel the same disturbances.
            const auto steps = static_cast<std::size_t>(product->mad_bytes()) / affine_step_bytes;
            return compare(
                product, [steps](std::size_t times) { affine_steps(times * steps); },
                static_cast<double>(steps * affine_step_bytes));
          }};
}

// Held packets are [coefficient vector | payload] in one row. Ours draws its weights; the reference
// finds them ready.
Case recoding(std::size_t held, std::size_t m, std::size_t k, std::size_t shard_bytes,
              double goal) {
  return {
      "R1", held, m, shard_bytes, "ec_init_tables+ec_encode_data, weights drawn before", goal, [=] {
        const auto product = std::make_shared<Product>(held, m, k + shard_bytes);
        const auto rows =
            std::make_shared<std::vector<const std::uint8_t*>>(product->rows.const_pointers());
        const auto rng = std::make_shared<Rng>(7);
        Comparison comparison = fresh("R1", held, m, k + shard_bytes, goal).prepare();
        comparison.ours = [=](std::size_t times) {
          for (std::size_t i = 0; i < times; ++i) {
            codec::recode(*rng, *rows, product->ours.pointers(), product->rows.bytes());
          }
        };
        comparison.is_right = [=, both = comparison.is_right] {
          // Unit vectors at the head of each row make the recoded head the weights.
          for (std::size_t j = 0; j < held; ++j) {
            std::memset(product->rows[j], 0, k);
            if (j < k) product->rows[j][j] = 1;
          }
          comparison.ours(1);
          Rows oracle(1, product->rows.bytes());
          for (std::size_t i = 0; i < m; ++i) {
            multiply(Backend::scalar, 1, held, product->ours[i], held, product->rows.list(),
                     oracle.list(), product->rows.bytes());
            if (std::memcmp(product->ours[i], oracle[0], product->rows.bytes()) != 0) return false;
          }
          return both();
        };
        return comparison;
      }};
}

}  // namespace

std::vector<Case> product_cases() {
  std::vector<Case> cases;
  for (const std::size_t k : {16, 32, 64, 128}) {
    for (const std::size_t bytes : {1024, 1408}) cases.push_back(fresh("E1", k, k, bytes, 4.5));
  }
  for (const std::size_t k : {16, 32, 64, 128}) {
    for (const std::size_t bytes : {16384, 65536})
      cases.push_back(fresh("E2", k, k, bytes, k == 16 ? 3.3 : 3.6));
  }
  for (const std::size_t k : {16, 32, 64, 128}) cases.push_back(prebuilt(k, k, 1408, 3.7));
  for (const std::size_t k : {16, 32, 64, 128}) cases.push_back(fresh("E4", k, 4, 1408, 4.3));
  for (const std::size_t k : {16, 32, 64, 128})
    cases.push_back(fresh("E5", k, 1, 1408, k <= 32 ? 2.7 : 1.7));
  const auto available = codec::available_backends();
  if (std::find(available.begin(), available.end(), Backend::gfni) != available.end()) {
    for (const std::size_t k : {64, 128}) {
      cases.push_back(against_xor(k, 1408, true, 0.95));
      cases.push_back(against_xor(k, 1408, false, 0.95));
    }
    for (const std::size_t k : {16, 32, 64, 128}) cases.push_back(against_registers(k, 1408, 0.9));
    cases.push_back(against_registers(64, 4096, 0.9));
    cases.push_back(against_registers(64, 16384, 0.9));
  }
  for (const std::size_t held : {16, 32, 64}) cases.push_back(recoding(held, 4, 64, 1408, 4.2));
  cases.push_back(recoding(16, 1, 64, 1408, 2.6));
  return cases;
}

Case custom_case(std::size_t k, std::size_t m, std::size_t shard_bytes) {
  return fresh("custom", k, m, shard_bytes, 0);
}

}  // namespace corelay::bench
