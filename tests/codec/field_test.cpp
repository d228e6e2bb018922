// The field by its axioms and by known values, and the choice of a backend.
#include "codec/field.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace corelay::codec {
namespace {

// Multiplication written out again, by long division of polynomials rather than by the table under
// test.
std::uint8_t long_product(unsigned a, unsigned b) {
  unsigned wide = 0;
  for (unsigned bit = 0; bit < 8; ++bit) {
    if ((b >> bit & 1) != 0) wide ^= a << bit;
  }
  for (unsigned bit = 15; bit >= 8; --bit) {
    if ((wide >> bit & 1) != 0) wide ^= 0x11dU << (bit - 8);
  }
  return static_cast<std::uint8_t>(wide);
}

TEST(Field, ProductIsThatOfThePolynomial) {
  for (unsigned a = 0; a < 256; ++a) {
    for (unsigned b = 0; b < 256; ++b) {
      ASSERT_EQ(product(static_cast<std::uint8_t>(a), static_cast<std::uint8_t>(b)),
                long_product(a, b));
    }
  }
  EXPECT_EQ(product(2, 0x80), 0x1d);
}

TEST(Field, InverseUndoesEveryElementButZero) {
  EXPECT_EQ(inverse(0), 0);
  for (unsigned a = 1; a < 256; ++a) {
    const auto element = static_cast<std::uint8_t>(a);
    ASSERT_EQ(product(element, inverse(element)), 1) << a;
  }
}

TEST(Field, TwoGeneratesEveryNonZeroElement) {
  std::uint8_t power = 1;
  for (int i = 1; i < 255; ++i) {
    power = product(power, 2);
    ASSERT_NE(power, 1) << i;
  }
  EXPECT_EQ(product(power, 2), 1);
}

TEST(Backends, NamesAreReadBack) {
  for (const Backend backend : {Backend::scalar, Backend::isal, Backend::avx2, Backend::gfni}) {
    EXPECT_EQ(parse_backend(backend_name(backend)), backend);
  }
  EXPECT_EQ(parse_backend("sse"), std::nullopt);
  EXPECT_EQ(parse_backend(""), std::nullopt);
}

TEST(Backends, ScalarAndIsalAreAlwaysThere) {
  const auto list = available_backends();
  EXPECT_NE(std::find(list.begin(), list.end(), Backend::scalar), list.end());
  EXPECT_NE(std::find(list.begin(), list.end(), Backend::isal), list.end());
}

TEST(Backends, ForcingOneMakesItActiveAndAMissingOneChangesNothing) {
  const auto list = available_backends();
  EXPECT_EQ(active_backend(), list.back());  // the fastest, until told otherwise
  for (const Backend backend : {Backend::scalar, Backend::isal, Backend::avx2, Backend::gfni}) {
    const Backend before = active_backend();
    const bool is_there = std::find(list.begin(), list.end(), backend) != list.end();
    EXPECT_EQ(force_backend(backend), is_there);
    EXPECT_EQ(active_backend(), is_there ? backend : before);
  }
  ASSERT_TRUE(force_backend(list.back()));
}

TEST(Multiply, NoBytesTouchNothing) {
  const std::uint8_t coefficient = 7;
  const std::uint8_t* const row = nullptr;
  std::uint8_t* const out = nullptr;
  for (const Backend backend : available_backends())
    multiply(backend, 1, 1, &coefficient, 1, &row, &out, 0);
  multiply(1, 1, &coefficient, 1, &row, &out, 0);
}

TEST(Multiply, KnownBytesOnEveryBackend) {
  // 2 * 0x80 + 3 * 0x01 = 0x1d + 0x03, and 1 * 0x80 + 0 * 0x01.
  const std::uint8_t coefficients[] = {2, 3,   0xee, 1,
                                       0, 0xee};  // stride 3: the third byte is not a coefficient
  for (const Backend backend : available_backends()) {
    for (const std::size_t bytes : {1, 31, 32, 33, 63, 64, 65, 255, 256, 257, 1500}) {
      const std::vector<std::uint8_t> a(bytes, 0x80);
      const std::vector<std::uint8_t> b(bytes, 0x01);
      std::vector<std::uint8_t> x(bytes, 0xaa);
      std::vector<std::uint8_t> y(bytes, 0xaa);
      const std::uint8_t* const rows[] = {a.data(), b.data()};
      std::uint8_t* const out[] = {x.data(), y.data()};
      multiply(backend, 2, 2, coefficients, 3, rows, out, bytes);
      EXPECT_EQ(x, std::vector<std::uint8_t>(bytes, 0x1e)) << backend_name(backend) << " " << bytes;
      EXPECT_EQ(y, std::vector<std::uint8_t>(bytes, 0x80)) << backend_name(backend) << " " << bytes;
    }
  }
}

}  // namespace
}  // namespace corelay::codec
