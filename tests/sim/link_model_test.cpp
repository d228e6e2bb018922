// The network of the simulator against arithmetic: serialisation and delay exact, loss shares as
// asked, the same seed the same fates.
#include "sim/link_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace corelay::sim {
namespace {

using dataplane::milliseconds;
using dataplane::seconds;

LinkParams quiet() {
  LinkParams params;
  params.up_bytes_per_second = params.down_bytes_per_second = 1'000'000;
  params.delay_min = params.delay_max = milliseconds(10);
  return params;
}

TEST(Serializer, IsExactOverManyDatagrams) {
  // 7 bytes a second never divide a second evenly: an error of a nanosecond a datagram would show.
  Serializer line(7);
  Instant out{};
  for (int i = 0; i < 700; ++i) out = line.take({}, 1);
  EXPECT_EQ(out, Instant{} + seconds(100));
  EXPECT_EQ(line.backlog_bytes({}), 700u);
  EXPECT_EQ(line.backlog_bytes(Instant{} + seconds(50)), 350u);
  EXPECT_EQ(line.backlog_bytes(Instant{} + seconds(100)), 0u);
  EXPECT_EQ(line.take(Instant{} + seconds(200), 7), Instant{} + seconds(201))
      << "an idle line starts at once";
  Serializer unlimited(0);
  EXPECT_EQ(unlimited.take(Instant{5}, 1 << 30), Instant{5});
}

TEST(LinkModel, DatagramsQueueOnTheUplinkAndCrossWithTheDelay) {
  LinkModel link(quiet(), 3, 1);
  Rng rng(1);
  for (int i = 1; i <= 100; ++i) {
    const Passage passage = link.send({}, 0, i % 2 == 0 ? 1 : 2, 1000, rng);
    EXPECT_EQ(passage.fate, Fate::passes);
    EXPECT_EQ(passage.arrives, Instant{} + milliseconds(i) + milliseconds(10))
        << "one uplink for all receivers";
  }
  Instant through{};
  for (int i = 1; i <= 10; ++i) {
    EXPECT_TRUE(link.receive(Instant{} + milliseconds(5), 1, 500, through));
    EXPECT_EQ(through, Instant{} + milliseconds(5) + dataplane::microseconds(500 * i));
  }
}

TEST(LinkModel, FullQueuesDropTheNewest) {
  LinkParams params = quiet();
  params.up_queue_bytes = 5000;
  params.down_queue_bytes = 2000;
  LinkModel link(params, 2, 1);
  Rng rng(1);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(link.send({}, 0, 1, 1000, rng).fate, Fate::passes);
  EXPECT_EQ(link.send({}, 0, 1, 1000, rng).fate, Fate::up_queue_full);
  EXPECT_EQ(link.send(Instant{} + milliseconds(1), 0, 1, 1000, rng).fate, Fate::passes)
      << "one is out";
  EXPECT_EQ(link.send(Instant{} + milliseconds(1), 0, 1, 1000, rng).fate, Fate::up_queue_full);
  Instant through{};
  EXPECT_TRUE(link.receive({}, 1, 2000, through));
  EXPECT_FALSE(link.receive({}, 1, 1, through));
  EXPECT_TRUE(link.receive(Instant{} + milliseconds(1), 1, 1000, through));
}

TEST(LinkModel, DelayIsDrawnOnceAPairWithinItsRange) {
  LinkParams params = quiet();
  params.delay_min = milliseconds(5);
  params.delay_max = milliseconds(50);
  const LinkModel link(params, 100, 3);
  Duration least = seconds(1);
  Duration most{};
  for (std::size_t a = 0; a < 100; ++a) {
    for (std::size_t b = 0; b < a; ++b) {
      EXPECT_EQ(link.delay(a, b), link.delay(b, a));
      least = std::min(least, link.delay(a, b));
      most = std::max(most, link.delay(a, b));
    }
  }
  EXPECT_GE(least, milliseconds(5));
  EXPECT_LE(least, milliseconds(6));
  EXPECT_LE(most, milliseconds(50));
  EXPECT_GE(most, milliseconds(49));
}

TEST(LinkModel, JitterKeepsOrderAndReorderBreaksIt) {
  LinkParams params = quiet();
  params.jitter = milliseconds(20);
  params.reorder = 0.1;
  LinkModel link(params, 2, 1);
  Rng rng(5);
  const auto overtaken = [&](Instant from) {
    int count = 0;
    Instant latest{};
    for (int i = 0; i < 2000; ++i) {
      const Passage passage = link.send(from + milliseconds(i), 0, 1, 1000, rng);
      EXPECT_GE(passage.arrives, from + milliseconds(i + 11));
      EXPECT_LE(passage.arrives, from + milliseconds(i + 11 + 20 + 10));
      count += passage.arrives < latest ? 1 : 0;
      latest = std::max(latest, passage.arrives);
    }
    return count;
  };
  EXPECT_EQ(overtaken({}), 0);
  link.set_faults(true);
  EXPECT_GT(overtaken(Instant{} + seconds(10)), 100);
}

TEST(LinkModel, LossDuplicatesAndCorruptionComeInTheSharesAskedFor) {
  LinkParams params = quiet();
  params.up_bytes_per_second = 0;
  params.loss = 0.2;
  params.duplicate = 0.1;
  params.corrupt = 0.05;
  LinkModel link(params, 2, 1);
  Rng rng(9);
  constexpr int count = 100'000;
  int lost = 0;
  int twice = 0;
  int corrupt = 0;
  for (int i = 0; i < count; ++i) {
    EXPECT_EQ(link.send({}, 0, 1, 1000, rng).fate, Fate::passes)
        << "no faults before they are switched on";
    if (i == 100) break;
  }
  link.set_faults(true);
  for (int i = 0; i < count; ++i) {
    const Passage passage = link.send({}, 0, 1, 1000, rng);
    lost += passage.fate == Fate::lost ? 1 : 0;
    twice += passage.is_twice ? 1 : 0;
    corrupt += passage.is_corrupt ? 1 : 0;
  }
  // Five standard deviations.
  EXPECT_NEAR(lost, count * 0.2, 5 * 126);
  EXPECT_NEAR(twice, count * 0.8 * 0.1, 5 * 86);
  EXPECT_NEAR(corrupt, count * 0.8 * 0.05, 5 * 62);
}

TEST(LinkModel, BurstsHaveTheShareAndTheLengthOfTheirChain) {
  LinkParams params = quiet();
  params.up_bytes_per_second = 0;
  params.burst_start = 0.01;
  params.burst_end = 0.2;
  params.burst_loss = 1;
  LinkModel link(params, 2, 1);
  link.set_faults(true);
  Rng rng(11);
  constexpr int count = 200'000;
  int lost = 0;
  int bursts = 0;
  bool was_lost = false;
  for (int i = 0; i < count; ++i) {
    const bool is_lost = link.send({}, 0, 1, 1000, rng).fate == Fate::lost_in_burst;
    lost += is_lost ? 1 : 0;
    bursts += is_lost && !was_lost ? 1 : 0;
    was_lost = is_lost;
  }
  EXPECT_NEAR(static_cast<double>(lost) / count, 0.01 / (0.01 + 0.2), 0.005);
  EXPECT_NEAR(static_cast<double>(lost) / bursts, 1 / 0.2, 0.5);
}

TEST(LinkModel, TheSameSeedGivesTheSameFates) {
  LinkParams params = quiet();
  params.loss = 0.1;
  params.burst_start = 0.01;
  params.jitter = milliseconds(3);
  params.reorder = params.duplicate = params.corrupt = 0.1;
  const auto run = [&](std::uint64_t seed) {
    LinkModel link(params, 4, seed);
    link.set_faults(true);
    Rng rng(seed);
    std::vector<std::int64_t> fates;
    for (std::size_t i = 0; i < 1000; ++i) {
      const Passage passage = link.send(Instant{} + milliseconds(static_cast<std::int64_t>(i)),
                                        i % 4, (i + 1) % 4, 1000, rng);
      fates.insert(fates.end(), {static_cast<std::int64_t>(passage.fate), passage.arrives.ns,
                                 passage.arrives_again.ns, passage.is_corrupt, passage.is_twice});
    }
    return fates;
  };
  EXPECT_EQ(run(1), run(1));
  EXPECT_NE(run(1), run(2));
}

}  // namespace
}  // namespace corelay::sim
