// Every backend against the scalar oracle: any m, k, size, alignment and coefficients, with
// unreadable pages at the edges of every row, output and coefficient matrix.
#include <algorithm>
#include <memory>
#include <vector>

#include "codec/field.h"
#include "tests/codec/generation.h"
#include "tests/codec/guarded.h"
#include "tests/codec/property.h"

namespace corelay::codec {
namespace {

struct Shape {
  std::size_t m;
  std::size_t k;
  std::size_t bytes;
  std::size_t stride;  // between rows of coefficients
};

// Fills coefficients as packets do: mostly anything, but with runs of the special values 0 and 1.
void fill_coefficients(Rng& rng, std::span<std::uint8_t> coefficients) {
  const std::uint64_t kind = rng.below(4);
  for (std::uint8_t& value : coefficients) {
    value = static_cast<std::uint8_t>(rng.next());
    if (kind == 0) value &= 1;
    if (kind == 1 && rng.chance(0.5)) value = 0;
  }
}

// Each buffer is tight against one of its two guard pages, drawn at random.
std::vector<std::unique_ptr<Guarded>> guarded_buffers(Rng& rng, std::size_t count,
                                                      std::size_t bytes) {
  std::vector<std::unique_ptr<Guarded>> buffers;
  for (std::size_t i = 0; i < count; ++i)
    buffers.push_back(std::make_unique<Guarded>(bytes, rng.chance(0.5)));
  return buffers;
}

void expect_oracle(const Shape& shape, std::uint64_t seed) {
  Rng rng(seed);
  const Guarded coefficients((shape.m - 1) * shape.stride + shape.k, rng.chance(0.5));
  fill_coefficients(rng, coefficients.span());
  const auto rows = guarded_buffers(rng, shape.k, shape.bytes);
  std::vector<const std::uint8_t*> row_list;
  for (const auto& row : rows) {
    for (std::uint8_t& byte : row->span()) byte = static_cast<std::uint8_t>(rng.next());
    row_list.push_back(row->data());
  }
  std::vector<Buffer> expected(shape.m, Buffer(shape.bytes));
  multiply(Backend::scalar, shape.m, shape.k, coefficients.data(), shape.stride, row_list.data(),
           mutable_pointers(expected).data(), shape.bytes);

  for (const Backend backend : available_backends()) {
    const auto out = guarded_buffers(rng, shape.m, shape.bytes);
    std::vector<std::uint8_t*> out_list;
    for (const auto& buffer : out) {
      std::fill_n(buffer->data(), shape.bytes, 0xaa);
      out_list.push_back(buffer->data());
    }
    multiply(backend, shape.m, shape.k, coefficients.data(), shape.stride, row_list.data(),
             out_list.data(), shape.bytes);
    for (std::size_t i = 0; i < shape.m; ++i) {
      RC_ASSERT(std::equal(expected[i].begin(), expected[i].end(), out_list[i]));
    }
  }
}

RC_GTEST_PROP(Kernels, EqualTheOracleOnSmallShapes, ()) {
  const Shape shape{*rc::gen::inRange<std::size_t>(1, 20), *rc::gen::inRange<std::size_t>(1, 40),
                    *rc::gen::inRange<std::size_t>(0, 1100), 0};
  const std::size_t gap = *rc::gen::inRange<std::size_t>(0, 5);
  expect_oracle({shape.m, shape.k, shape.bytes, shape.k + gap},
                *rc::gen::arbitrary<std::uint64_t>());
}

RC_GTEST_PROP(Kernels, EqualTheOracleOnVectorBorders, ()) {
  const std::size_t vectors = *rc::gen::inRange<std::size_t>(0, 40);
  const std::size_t off = *rc::gen::inRange<std::size_t>(0, 3);
  const std::size_t bytes = vectors * 32 + 1 - std::min<std::size_t>(off, vectors * 32 + 1);
  const std::size_t k = *rc::gen::inRange<std::size_t>(1, 20);
  expect_oracle({*rc::gen::inRange<std::size_t>(1, 10), k, bytes, k},
                *rc::gen::arbitrary<std::uint64_t>());
}

// Enough outputs and rows for the forms of a kernel that are made for many.
RC_GTEST_PROP(Kernels, EqualTheOracleOnManyOutputs, ()) {
  const std::size_t k = *rc::gen::inRange<std::size_t>(30, 70);
  const std::size_t m = *rc::gen::inRange<std::size_t>(30, 45);
  expect_oracle({m, k, *rc::gen::inRange<std::size_t>(0, 800), k},
                *rc::gen::arbitrary<std::uint64_t>());
}

// Few cases of each, because the oracle is slow.
TEST(Kernels, EqualTheOracleOnLargeShapes) {
  const bool held = rc::check("large shapes", [] {
    const std::size_t k = *rc::gen::inRange<std::size_t>(1, 257);
    const std::size_t m = *rc::gen::inRange<std::size_t>(1, 257);
    const std::size_t bytes =
        *rc::gen::inRange<std::size_t>(0, 1 + (std::size_t{1} << 19) / (k * m));
    expect_oracle({m, k, bytes, k + 3}, *rc::gen::arbitrary<std::uint64_t>());
  });
  EXPECT_TRUE(held);
}

TEST(Kernels, EqualTheOracleAtTheBounds) {
  Rng rng(5);
  for (const std::size_t bytes : {shard_bytes_max - 65, shard_bytes_max - 1, shard_bytes_max}) {
    expect_oracle({1, 9, bytes, 9}, rng.next());
    expect_oracle({2, 16, bytes, 16}, rng.next());
    expect_oracle({5, 3, bytes, 4}, rng.next());
  }
  expect_oracle({256, 256, 70, 256}, rng.next());
  expect_oracle({33, 35, shard_bytes_max / 4 + 7, 35}, rng.next());
  expect_oracle({17, 30, shard_bytes_max / 2 - 1, 30}, rng.next());
  expect_oracle({1, 256, 5000, 256}, rng.next());
  expect_oracle({256, 1, 300, 1}, rng.next());
}

// All offsets of sources and outputs within a vector: rows are cut out of one region, next to each
// other.
TEST(Kernels, EqualTheOracleAtEveryAlignment) {
  constexpr std::size_t m = 5;
  constexpr std::size_t k = 7;
  constexpr std::size_t bytes = 331;
  constexpr std::size_t pitch = bytes + 2 * 64;
  Rng rng(6);
  const Buffer coefficients = random_bytes(rng, m * k);
  const Buffer source = random_bytes(rng, k * pitch);
  for (std::size_t shift = 0; shift < 64; ++shift) {
    std::vector<const std::uint8_t*> rows;
    for (std::size_t j = 0; j < k; ++j)
      rows.push_back(source.data() + j * pitch + (shift * (j + 1)) % 64);
    std::vector<Buffer> expected(m, Buffer(bytes));
    multiply(Backend::scalar, m, k, coefficients.data(), k, rows.data(),
             mutable_pointers(expected).data(), bytes);
    for (const Backend backend : available_backends()) {
      Buffer out(m * pitch, 0x55);
      std::vector<std::uint8_t*> list;
      for (std::size_t i = 0; i < m; ++i)
        list.push_back(out.data() + i * pitch + 1 + (shift + 13 * i) % 64);
      multiply(backend, m, k, coefficients.data(), k, rows.data(), list.data(), bytes);
      for (std::size_t i = 0; i < m; ++i) {
        ASSERT_TRUE(std::equal(expected[i].begin(), expected[i].end(), list[i]))
            << backend_name(backend) << shift;
        ASSERT_EQ(list[i][-1], 0x55);
        ASSERT_EQ(list[i][bytes], 0x55);
      }
    }
  }
}

}  // namespace
}  // namespace corelay::codec
