// Seeds, encoding and recoding, by definition and by published values.
#include "codec/encoder.h"

#include <gtest/gtest.h>

#include <array>
#include <set>

#include "tests/codec/generation.h"
#include "tests/codec/on_each_backend.h"

namespace corelay::codec {
namespace {

using EncoderTest = OnEachBackend;
CORELAY_ON_EACH_BACKEND(EncoderTest);

// The payload that a coefficient vector stands for, a byte at a time.
Buffer combination(Bytes coefficients, const std::vector<Buffer>& shards) {
  Buffer sum(shards[0].size());
  for (std::size_t j = 0; j < shards.size(); ++j) {
    for (std::size_t i = 0; i < sum.size(); ++i) {
      sum[i] = static_cast<std::uint8_t>(sum[i] ^ product(coefficients[j], shards[j][i]));
    }
  }
  return sum;
}

// The subfield by its definition: 16 elements, closed, each named by its low half.
TEST(Coefficients, AreTheSubfieldOfSixteenElements) {
  std::set<std::uint8_t> elements;
  for (unsigned a = 0; a < 256; ++a) {
    std::uint8_t power = 1;
    for (int i = 0; i < 16; ++i) power = product(power, static_cast<std::uint8_t>(a));
    if (power == a) elements.insert(power);
  }
  ASSERT_EQ(elements.size(), 16U);
  for (const std::uint8_t a : elements) {
    EXPECT_EQ(elements_of(a & 15) & 0xff, a);
    for (const std::uint8_t b : elements) {
      EXPECT_TRUE(elements.contains(product(a, b)));
      EXPECT_TRUE(elements.contains(a ^ b));
    }
  }
}

TEST(Coefficients, UnpackingTakesBackPackingAtEveryLength) {
  Rng rng(11);
  for (std::size_t k = 0; k <= k_max; ++k) {
    Buffer coefficients(k);
    expand_seed(rng.next(), coefficients);
    Buffer packed(packed_bytes(k) + 1, 0xaa);  // one byte more, to see that it stays
    pack_coefficients(coefficients, packed.data());
    ASSERT_EQ(packed.back(), 0xaa) << k;
    ASSERT_TRUE(k % 2 == 0 || packed[k / 2] >> 4 == 0) << k;
    for (std::size_t i = 0; i < k; ++i) ASSERT_EQ(packed[i / 2] >> (4 * (i % 2)) & 15, coefficients[i] & 15) << k;
    Buffer unpacked(k + 1, 0xaa);
    unpack_coefficients(packed.data(), MutableBytes(unpacked).first(k));
    ASSERT_TRUE(std::equal(coefficients.begin(), coefficients.end(), unpacked.begin())) << k;
    ASSERT_EQ(unpacked[k], 0xaa) << k;
  }
}

// No combination of packets leaves the subfield, or a vector could not be packed.
TEST_P(EncoderTest, RecodedVectorsStayInTheSubfield) {
  Rng rng(12);
  const std::vector<Buffer> shards = random_shards(rng, 37, 8);
  std::vector<Packet> held;
  for (std::size_t i = 0; i < 20; ++i) held.push_back(coded_packet(shards, rng.next()));
  for (int hop = 0; hop < 4; ++hop) held = recoded_packets(rng, held, 20);
  for (const Packet& packet : held) {
    for (const std::uint8_t c : packet.coefficients()) ASSERT_EQ(elements_of(c & 15) & 0xff, c);
  }
}

TEST(Seeds, ExpandToHalfBytesOfSplitmix64) {
  // The first values of splitmix64 from state 0, as published with the generator.
  const std::array<std::uint64_t, 3> values = {0xe220a8397b1dcdafULL, 0x6e789e6aa1b965f4ULL,
                                               0x06c45d188009454fULL};
  Buffer coefficients(48);
  expand_seed(0, coefficients);
  for (std::size_t i = 0; i < 48; ++i) {
    EXPECT_EQ(coefficients[i], elements_of(values[i / 16] >> (4 * (i % 16)) & 15) & 0xff) << i;
  }
}

TEST(Seeds, AShorterVectorIsAPrefix) {
  Buffer whole(k_max);
  expand_seed(0x0123456789abcdefULL, whole);
  for (std::size_t k = 0; k <= k_max; ++k) {
    Buffer shorter(k + 1, 0xaa);  // one byte more, to see that it stays
    expand_seed(0x0123456789abcdefULL, MutableBytes(shorter).first(k));
    ASSERT_TRUE(std::equal(shorter.begin(), shorter.end() - 1, whole.begin())) << k;
    ASSERT_EQ(shorter[k], 0xaa) << k;
  }
}

TEST_P(EncoderTest, PacketsAreTheCombinationsOfTheirSeeds) {
  Rng rng(1);
  for (const std::size_t k : {1, 2, 7, 16, 64, 65, 200, 256}) {
    for (const std::size_t count : {1, 3, 4, 63, 64, 65, 130}) {
      const std::vector<Buffer> shards = random_shards(rng, k, 37);
      std::vector<std::uint64_t> seeds(count);
      for (std::uint64_t& seed : seeds) seed = rng.next();
      std::vector<Buffer> out(count, Buffer(37));
      encode(seeds, pointers(shards), mutable_pointers(out), 37);
      Buffer coefficients(k);
      for (std::size_t i = 0; i < count; i += (i + 9 < count ? 9 : 1)) {
        expand_seed(seeds[i], coefficients);
        ASSERT_EQ(out[i], combination(coefficients, shards)) << "k " << k << " packet " << i;
      }
    }
  }
}

TEST_P(EncoderTest, NoSeedsAndNoBytesDoNothing) {
  const std::vector<Buffer> shards(3);
  encode({}, pointers(shards), {}, 100);
  const std::uint64_t seed = 1;
  std::uint8_t* out = nullptr;
  encode({&seed, 1}, pointers(shards), {&out, 1}, 0);
}

TEST_P(EncoderTest, RecodedPayloadsAgreeWithTheirVectors) {
  Rng rng(2);
  for (const std::size_t k : {1, 5, 64, 128, 256}) {
    const std::vector<Buffer> shards = random_shards(rng, k, 75);
    for (const std::size_t count_held : {1, 2, 9, 40}) {
      std::vector<Packet> held;
      for (std::size_t i = 0; i < count_held; ++i) held.push_back(coded_packet(shards, rng.next()));
      for (const Packet& packet : recoded_packets(rng, held, 5)) {
        const Bytes payload = packet.payload();
        ASSERT_EQ(Buffer(payload.begin(), payload.end()),
                  combination(packet.coefficients(), shards));
      }
    }
  }
}

// Recoding unit rows shows the weights themselves.
TEST_P(EncoderTest, WeightsAreNeverZeroAndTakeEveryOtherValueEvenly) {
  constexpr std::size_t rows = 61;
  constexpr std::size_t rounds = 1000;
  std::vector<Buffer> unit(rows, Buffer(rows));
  for (std::size_t i = 0; i < rows; ++i) unit[i][i] = 1;
  Rng rng(3);
  std::array<std::size_t, 256> seen{};
  for (std::size_t round = 0; round < rounds; ++round) {
    Buffer out(rows);
    std::uint8_t* const to = out.data();
    recode(rng, pointers(unit), {&to, 1}, rows);
    for (const std::uint8_t weight : out) ++seen[weight];
  }
  EXPECT_EQ(seen[0], 0U);
  const double expected = rows * rounds / 15.0;
  double chi_squared = 0;
  std::size_t taken = 0;
  for (unsigned name = 1; name < 16; ++name) {
    const std::size_t count = seen[elements_of(name) & 0xff];
    const double difference = static_cast<double>(count) - expected;
    chi_squared += difference * difference / expected;
    taken += count;
  }
  EXPECT_EQ(taken, rows * rounds);
  EXPECT_LT(chi_squared, 48);  // 14 degrees of freedom: exceeded by chance once in some 100,000
}

TEST_P(EncoderTest, OutputsOfOneCallDiffer) {
  Rng rng(4);
  const std::vector<Buffer> shards = random_shards(rng, 16, 40);
  std::vector<Packet> held;
  for (std::size_t i = 0; i < 16; ++i) held.push_back(systematic_packet(shards, i));
  std::set<Buffer> different;
  for (const Packet& packet : recoded_packets(rng, held, 200)) different.insert(packet.row);
  EXPECT_EQ(different.size(), 200U);
}

TEST_P(EncoderTest, TheSameGeneratorGivesTheSamePackets) {
  Rng first(7);
  Rng second(7);
  const std::vector<Buffer> rows = random_shards(first, 9, 50);
  ASSERT_EQ(rows, random_shards(second, 9, 50));
  std::vector<Buffer> a(6, Buffer(50));
  std::vector<Buffer> b(6, Buffer(50));
  recode(first, pointers(rows), mutable_pointers(a), 50);
  recode(second, pointers(rows), mutable_pointers(b), 50);
  EXPECT_EQ(a, b);
  EXPECT_EQ(first.next(), second.next());
}

}  // namespace
}  // namespace corelay::codec
