/// The single-producer, single-consumer ring: bounds on one thread, order and completeness under two (see tsan).
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <string>
#include <thread>

#include "dataplane/lcore/spsc_ring.h"

namespace corelay::dataplane {
namespace {

TEST(SpscRing, HoldsAtLeastItsDepthAndNoMore) {
  for (const std::size_t depth : {1U, 2U, 3U, 8U, 1000U}) {
    SpscRing<std::uint64_t> ring(depth);
    EXPECT_GE(ring.capacity(), depth);
    EXPECT_TRUE(ring.is_empty());
    for (std::uint64_t i = 0; i < ring.capacity(); ++i) {
      EXPECT_EQ(ring.room(), ring.capacity() - i);
      EXPECT_TRUE(ring.push(i));
    }
    EXPECT_EQ(ring.room(), 0U);
    EXPECT_FALSE(ring.push(7));
    std::uint64_t value = 0;
    for (std::uint64_t i = 0; i < ring.capacity(); ++i) {
      ASSERT_TRUE(ring.pop(value));
      EXPECT_EQ(value, i);
    }
    EXPECT_FALSE(ring.pop(value));
    EXPECT_EQ(ring.front(), nullptr);
    EXPECT_TRUE(ring.is_empty());
  }
}

TEST(SpscRing, FrontStaysUntilPopped) {
  SpscRing<std::string> ring(2);
  ASSERT_TRUE(ring.push("one"));
  ASSERT_TRUE(ring.push("two"));
  ASSERT_NE(ring.front(), nullptr);
  EXPECT_EQ(*ring.front(), "one");
  EXPECT_EQ(*ring.front(), "one");
  EXPECT_FALSE(ring.push("three"));
  ring.pop_front();
  EXPECT_EQ(*ring.front(), "two");
  EXPECT_TRUE(ring.push("three"));
}

TEST(SpscRing, WrapsAroundManyTimes) {
  SpscRing<std::uint32_t> ring(4);
  std::uint32_t next_in = 0;
  std::uint32_t next_out = 0;
  for (std::uint32_t round = 0; round < 10'000; ++round) {
    for (std::uint32_t i = 0; i < 1 + round % 4; ++i) {
      if (ring.push(next_in)) ++next_in;
    }
    std::uint32_t value = 0;
    for (std::uint32_t i = 0; i < 1 + round % 3 && ring.pop(value); ++i) ASSERT_EQ(value, next_out++);
  }
  EXPECT_GT(next_out, 10'000U);
  EXPECT_LE(next_in - next_out, 4U);
}

/// Larger than an atomic, so that a torn or early read would show.
struct Wide {
  std::array<std::uint64_t, 12> words;
};

TEST(SpscRing, TwoThreadsLoseNothingAndKeepOrder) {
  constexpr std::uint64_t items = 200'000;
  for (const std::size_t depth : {2U, 64U, 1024U}) {
    SpscRing<Wide> ring(depth);
    std::thread producer([&ring] {
      for (std::uint64_t i = 0; i < items;) {
        Wide wide;
        wide.words.fill(i * 0x9e3779b97f4a7c15ULL);
        if (ring.push(wide)) {
          ++i;
        } else {
          std::this_thread::yield();
        }
      }
    });
    std::uint64_t wrong = 0;
    for (std::uint64_t i = 0; i < items;) {
      const Wide* const wide = ring.front();
      if (wide == nullptr) {
        std::this_thread::yield();
        continue;
      }
      for (const std::uint64_t word : wide->words) wrong += word != i * 0x9e3779b97f4a7c15ULL;
      ring.pop_front();
      ++i;
    }
    producer.join();
    EXPECT_EQ(wrong, 0U);
    EXPECT_TRUE(ring.is_empty());
  }
}

TEST(SpscRing, RoomSeenByTheProducerNeverShrinks) {
  SpscRing<int> ring(16);
  std::thread consumer([&ring] {
    int value = 0;
    for (int taken = 0; taken < 20'000;) {
      if (ring.pop(value)) {
        ++taken;
      } else {
        std::this_thread::yield();
      }
    }
  });
  int refused = 0;
  for (int sent = 0; sent < 20'000;) {
    const std::size_t room = ring.room();
    if (room == 0) std::this_thread::yield();
    for (std::size_t i = 0; i < room && sent < 20'000; ++i, ++sent) refused += ring.push(sent) ? 0 : 1;
  }
  consumer.join();
  EXPECT_EQ(refused, 0);
}

}  // namespace
}  // namespace corelay::dataplane
