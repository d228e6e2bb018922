// What a link believes of a path before it has measured anything.
#include "dataplane/core/link.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <set>

namespace corelay::dataplane {
namespace {

constexpr std::uint16_t frame_bytes = 1200;

/// Sends as much as window and pacing allow until `until`; returns the frames.
std::size_t send_all(Link& link, Instant from, Instant until) {
  std::size_t sent = 0;
  for (Instant now = from; now < until; now = now + microseconds(100)) {
    for (std::size_t room = link.room(now, 48); room-- > 0; ++sent) {
      static_cast<void>(link.on_sent(now, {0, 0, 0, frame_bytes, 0, 0}));
    }
  }
  return sent;
}

struct Ends {
  std::size_t acknowledged = 0;
  std::size_t lost = 0;
};

/// Runs the link's timer as its owner does, until `until`.
Ends run_timer(Link& link, Instant until) {
  Ends ends;
  while (link.timer_at() < until) {
    const Instant now = link.timer_at();
    static_cast<void>(link.on_timer(now, [&](const SentFrame&, bool is_acknowledged) {
      ++(is_acknowledged ? ends.acknowledged : ends.lost);
    }));
  }
  return ends;
}

TEST(Link, FramesAreNotLostBeforeTheToldRoundTripIsOver) {
  Link link(1024);
  link.reset({}, milliseconds(250));
  ASSERT_EQ(send_all(link, {}, Instant{} + milliseconds(1)) > 0, true);
  const Ends ends = run_timer(link, Instant{} + milliseconds(250));
  EXPECT_EQ(ends.lost, 0U);
  EXPECT_GT(link.room(Instant{} + milliseconds(250), 1), 0U) << "it sends on while the first answer is on its way";
}

TEST(Link, WithoutOneTheyAreTakenForLostEarly) {
  Link link(1024);
  link.reset({});
  const std::size_t sent = send_all(link, {}, Instant{} + milliseconds(1));
  EXPECT_EQ(run_timer(link, Instant{} + milliseconds(400)).lost, sent);
}

TEST(Link, ALongPathMayHoldMoreBeforeTheFirstAnswer) {
  Link near(1024);
  near.reset({}, milliseconds(20));
  Link far(1024);
  far.reset({}, milliseconds(250));
  EXPECT_EQ(send_all(near, {}, Instant{} + milliseconds(20)), 64U);
  EXPECT_EQ(send_all(far, {}, Instant{} + milliseconds(240)), 320U);
}

TEST(Link, TheFirstMeasuredRoundTripReplacesTheToldOne) {
  Link link(1024);
  link.reset({}, milliseconds(250));
  static_cast<void>(link.on_sent({}, {0, 0, 0, frame_bytes, 0, 0}));
  const std::array<std::uint8_t, 8> word{1};
  Ends ends;
  const Acknowledgement answer{1, milliseconds(1), 1, 5000, word};
  ASSERT_TRUE(link.on_feedback(Instant{} + milliseconds(31), answer, [&](const SentFrame&, bool is_acknowledged) {
    ++(is_acknowledged ? ends.acknowledged : ends.lost);
  }));
  EXPECT_EQ(ends.acknowledged, 1U);
  EXPECT_EQ(link.rtt(), milliseconds(30));
}

TEST(Link, AToldRoundTripThatIsFarTooLongStopsNothing) {
  Link link(1024);
  link.reset({}, milliseconds(500));
  static_cast<void>(link.on_sent({}, {0, 0, 0, frame_bytes, 0, 0}));  // lost on the way
  std::size_t lost = 0;
  const auto ended = [&](const SentFrame&, bool is_acknowledged) { lost += is_acknowledged ? 0 : 1; };
  std::uint32_t number = 0;
  Instant now{};
  // Each probe is answered after 2 ms: nothing has come.
  for (int probe = 0; probe < 3 && lost == 0; ++probe) {
    now = link.timer_at();
    ASSERT_TRUE(link.on_timer(now, ended));
    now = now + milliseconds(2);
    ASSERT_TRUE(link.on_feedback(now, {0, {}, ++number, 0, {}}, ended));
  }
  EXPECT_EQ(lost, 1U);
  EXPECT_LT(now, Instant{} + seconds(3));
}

/// Jumps to and over the ends of words and of the window, with late arrivals between, against a plain set.
TEST(Link, WhatArrivedIsRememberedBitByBit) {
  constexpr std::uint32_t span = 1024;
  Link link(128);
  link.reset({});
  std::set<std::uint32_t> arrived;
  std::uint32_t highest = 0;
  const auto arrive = [&](std::uint32_t sequence) {
    const bool is_fresh = sequence + span > highest && arrived.insert(sequence).second;
    EXPECT_EQ(link.on_received({}, sequence), is_fresh) << sequence;
    highest = std::max(highest, sequence);
  };
  for (std::uint32_t sequence = 1; sequence <= 1100; ++sequence) arrive(sequence);
  for (const std::uint32_t jump : {1u, 2u, 63u, 64u, 65u, 127u, 128u, 129u, 500u, 960u, 1023u, 1024u, 1025u, 5000u}) {
    arrive(highest + jump);
    for (const std::uint32_t back : {0u, 1u, 62u, 63u, 64u, 65u, 200u, 1022u, 1023u, 1024u}) arrive(highest - back);
    for (std::uint32_t in_order = 0; in_order < jump % 150; ++in_order) arrive(highest + 1);
    const auto words = link.ack_words();
    ASSERT_EQ(words.size(), span / 64);
    for (std::uint32_t back = 0; back < span; ++back) {
      EXPECT_EQ((words[back / 64] >> (back % 64) & 1) != 0, arrived.contains(highest - back)) << jump << ' ' << back;
    }
  }
  EXPECT_TRUE(link.on_received({}, highest + 0x7fffffff));
  EXPECT_EQ(link.ack_words()[0], 1u);
  EXPECT_EQ(link.ack_words()[1], 0u);
}

}  // namespace
}  // namespace corelay::dataplane
