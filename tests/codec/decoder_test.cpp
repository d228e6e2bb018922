// Verdicts, rank beyond 64, what decoding touches, and what it allocates (nothing).
#include "codec/decoder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <numeric>

#include "tests/codec/counted_new.h"
#include "tests/codec/generation.h"
#include "tests/codec/on_each_backend.h"

namespace corelay::codec {
namespace {

using DecoderTest = OnEachBackend;
CORELAY_ON_EACH_BACKEND(DecoderTest);

Buffer unit_vector(std::size_t k, std::size_t index, std::uint8_t value = 1) {
  Buffer vector(k);
  vector[index] = value;
  return vector;
}

TEST(DecoderUnused, IsMalformedForEverything) {
  Decoder decoder;
  EXPECT_FALSE(decoder.is_complete());
  EXPECT_EQ(decoder.absorb({}), Absorbed::malformed);
  EXPECT_EQ(decoder.absorb_systematic(0), Absorbed::malformed);
}

TEST_P(DecoderTest, VerdictsOfAGenerationOfThree) {
  Receiver receiver(3);
  const Buffer payload = {9};
  EXPECT_EQ(receiver.take({3, {0, 0, 0, 9}}),
            Absorbed::redundant);  // zeros are a combination of nothing
  EXPECT_EQ(receiver.take({3, {1, 2, 3, 9}}), Absorbed::innovative);
  EXPECT_EQ(receiver.take({3, {1, 2, 3, 9}}), Absorbed::redundant);
  EXPECT_EQ(receiver.take({3, {2, 4, 6, 9}}), Absorbed::redundant);
  EXPECT_EQ(receiver.take({2, {1, 2, 9}}), Absorbed::malformed);
  EXPECT_EQ(receiver.take({4, {1, 2, 3, 4, 9}}), Absorbed::malformed);
  EXPECT_EQ(receiver.take_systematic(3, payload), Absorbed::malformed);
  EXPECT_EQ(receiver.take_systematic(1, payload), Absorbed::innovative);
  EXPECT_EQ(receiver.take_systematic(1, payload), Absorbed::redundant);
  EXPECT_EQ(receiver.take({3, {1, 7, 3, 9}}), Absorbed::redundant);
  EXPECT_EQ(receiver.decoder().rank(), 2U);
  EXPECT_FALSE(receiver.decoder().is_complete());
  EXPECT_EQ(receiver.take_systematic(0, payload), Absorbed::innovative);
  EXPECT_TRUE(receiver.decoder().is_complete());
  EXPECT_EQ(receiver.take({3, {1, 2, 3, 9}}), Absorbed::complete);
  EXPECT_EQ(receiver.take_systematic(2, payload), Absorbed::complete);
  EXPECT_EQ(receiver.take({2, {1, 2, 9}}), Absorbed::malformed);
  EXPECT_EQ(receiver.take_systematic(3, payload), Absorbed::malformed);
}

TEST_P(DecoderTest, AShardHeldOnlyThroughCodedPacketsIsStillInnovativeOnlyIfItIs) {
  // x0 + x1 and x0 + 2 x1 hold both shards, so the shards themselves add nothing.
  Receiver receiver(4);
  EXPECT_EQ(receiver.take({4, {1, 1, 0, 0, 0}}), Absorbed::innovative);
  EXPECT_EQ(receiver.take({4, {1, 2, 0, 0, 0}}), Absorbed::innovative);
  const Buffer payload = {0};
  EXPECT_EQ(receiver.take_systematic(0, payload), Absorbed::redundant);
  EXPECT_EQ(receiver.take_systematic(1, payload), Absorbed::redundant);
  EXPECT_EQ(receiver.take_systematic(2, payload), Absorbed::innovative);
}

// A GF(2)-linear expansion of 64-bit seeds would stop at rank 64.
TEST_P(DecoderTest, SeedsReachFullRankBeyond64WithFewPacketsMore) {
  Rng rng(0xc0de);
  for (std::size_t k = 1; k <= 256; k += (k < 64 ? 7 : 1)) {
    const std::unique_ptr<std::uint8_t[], void (*)(std::uint8_t*)> storage(
        static_cast<std::uint8_t*>(std::aligned_alloc(64, Decoder::storage_bytes(k))),
        [](std::uint8_t* memory) { std::free(memory); });
    Decoder decoder;
    decoder.reset(k, {storage.get(), Decoder::storage_bytes(k)});
    Buffer coefficients(k);
    std::size_t packets = 0;
    while (!decoder.is_complete() && packets < k + 8) {
      expand_seed(rng.next(), coefficients);
      const std::size_t rank = decoder.rank();
      const Absorbed absorbed = decoder.absorb(coefficients);
      ++packets;
      ASSERT_EQ(decoder.rank(), rank + (absorbed == Absorbed::innovative ? 1 : 0));
    }
    ASSERT_TRUE(decoder.is_complete()) << "k " << k << " rank " << decoder.rank();
    ASSERT_LE(packets, k + 5) << "k " << k;  // each missing dimension is missed once in 16 times at most
  }
}

TEST_P(DecoderTest, OnlySystematicPacketsAreMovedAndNeverWritten) {
  constexpr std::size_t k = 20;
  Rng rng(9);
  const std::vector<Buffer> shards = random_shards(rng, k, 100);
  Receiver receiver(k);
  std::vector<std::size_t> order(k);
  std::iota(order.begin(), order.end(), 0);
  for (std::size_t i = k; i > 1; --i) std::swap(order[i - 1], order[rng.below(i)]);
  for (const std::size_t index : order) {
    ASSERT_EQ(receiver.take_systematic(index, shards[index]), Absorbed::innovative);
  }
  EXPECT_EQ(receiver.decode(), shards);

  // The same with null payloads: nothing is read or written.
  std::vector<std::uint8_t*> nothing(k, nullptr);
  Decoder decoder = receiver.decoder();
  decoder.decode(nothing, 100);
}

TEST_P(DecoderTest, SystematicPayloadsAmongCodedOnesKeepTheirMemory) {
  constexpr std::size_t k = 30;
  constexpr std::size_t bytes = 333;
  Rng rng(10);
  for (int round = 0; round < 20; ++round) {
    const std::vector<Buffer> shards = random_shards(rng, k, bytes);
    Receiver receiver(k);
    std::vector<Buffer> payloads;
    std::vector<std::size_t> index_of;  // of each payload, or k for a coded one
    while (!receiver.decoder().is_complete()) {
      const std::size_t index = rng.below(2 * k);
      // Coded packets come before, between and after the systematic ones.
      const Packet packet =
          index < k ? systematic_packet(shards, index) : coded_packet(shards, rng.next());
      const Bytes payload = packet.payload();
      const Absorbed absorbed = index < k && rng.chance(0.7)
                                    ? receiver.take_systematic(index, payload)
                                    : receiver.take(packet);
      if (absorbed != Absorbed::innovative) continue;
      payloads.emplace_back(payload.begin(), payload.end());
      index_of.push_back(std::min(index, k));
    }
    const std::vector<std::uint8_t*> before = mutable_pointers(payloads);
    std::vector<std::uint8_t*> list = before;
    Decoder decoder = receiver.decoder();
    decoder.decode(list, bytes);
    for (std::size_t i = 0; i < k; ++i) {
      ASSERT_TRUE(std::equal(shards[i].begin(), shards[i].end(), list[i])) << i;
      if (index_of[i] == k) continue;
      ASSERT_EQ(list[index_of[i]], before[i]);
    }
  }
}

TEST_P(DecoderTest, DecodingTwiceDecodesAnotherSetOfPayloads) {
  constexpr std::size_t k = 12;
  Rng rng(11);
  const std::vector<Buffer> first = random_shards(rng, k, 50);
  const std::vector<Buffer> second = random_shards(rng, k, 77);
  Receiver receiver(k);
  std::vector<Buffer> others;
  while (!receiver.decoder().is_complete()) {
    const std::uint64_t seed = rng.next();
    if (receiver.take(coded_packet(first, seed)) != Absorbed::innovative) continue;
    const Packet packet = coded_packet(second, seed);
    others.emplace_back(packet.payload().begin(), packet.payload().end());
  }
  EXPECT_EQ(receiver.decode(), first);
  std::vector<std::uint8_t*> list = mutable_pointers(others);
  Decoder decoder = receiver.decoder();
  decoder.decode(list, 77);
  for (std::size_t i = 0; i < k; ++i)
    ASSERT_TRUE(std::equal(second[i].begin(), second[i].end(), list[i]));
}

TEST_P(DecoderTest, ResetForgetsEverything) {
  Receiver receiver(8);
  alignas(64) std::uint8_t storage[Decoder::storage_bytes(70)];
  std::fill_n(storage, sizeof storage, 0xff);
  Decoder decoder;
  for (const std::size_t k : {70, 3, 64, 1, 65}) {
    decoder.reset(k, storage);
    EXPECT_EQ(decoder.k(), k);
    EXPECT_EQ(decoder.rank(), 0U);
    for (std::size_t i = 0; i < k; ++i) {
      ASSERT_EQ(decoder.absorb(unit_vector(k, i, static_cast<std::uint8_t>(i + 1))),
                Absorbed::innovative);
    }
    EXPECT_TRUE(decoder.is_complete());
  }
}

TEST_P(DecoderTest, DoesNotAllocate) {
  constexpr std::size_t k = 70;
  constexpr std::size_t bytes = 1400;
  Rng rng(12);
  const std::vector<Buffer> shards = random_shards(rng, k, bytes);
  const std::vector<const std::uint8_t*> sources = pointers(shards);
  std::vector<Buffer> payloads(k + 8, Buffer(bytes));
  std::vector<std::uint8_t*> list = mutable_pointers(payloads);
  std::vector<std::uint64_t> seeds(k + 8);
  for (std::uint64_t& seed : seeds) seed = rng.next();
  Receiver receiver(k);
  Decoder decoder = receiver.decoder();
  Buffer coefficients(k);
  std::size_t taken = 0;

  const std::size_t before = allocation_count();
  encode(seeds, sources, list, bytes);
  for (std::size_t i = 0; !decoder.is_complete() && i < seeds.size(); ++i) {
    expand_seed(seeds[i], coefficients);
    if (decoder.absorb(coefficients) == Absorbed::innovative) list[taken++] = list[i];
  }
  std::uint8_t* spare = payloads.back().data();
  recode(rng, sources, {&spare, 1}, bytes);
  decoder.decode(std::span(list).first(k), bytes);
  EXPECT_EQ(allocation_count(), before);

  for (std::size_t i = 0; i < k; ++i)
    ASSERT_TRUE(std::equal(shards[i].begin(), shards[i].end(), list[i]));
}

}  // namespace
}  // namespace corelay::codec
