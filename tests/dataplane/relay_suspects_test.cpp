// Neighbours that had a part in a wrong generation: what is still taken from them, and how they are cleared or named.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/dataplane/relay_network.h"

namespace corelay::dataplane::test {
namespace {

constexpr std::size_t liar = 3;

std::uint64_t wrong_digests(Network& network, std::size_t node) {
  return network.nodes()[node].counters->value(Counter::drop_digest_total);
}

bool is_named(Network& network, std::size_t by) {
  const auto& faults = network.nodes()[by].faults;
  return std::any_of(faults.begin(), faults.end(),
                     [](const PeerFaulted& one) { return one.fault == PeerFault::polluted && one.peer == liar; });
}

bool is_coded(const std::vector<std::uint8_t>& frame) {
  return frame[0] == static_cast<std::uint8_t>(FrameKind::coded);
}
bool is_vector(const std::vector<std::uint8_t>& frame) {
  return frame[1] == static_cast<std::uint8_t>(CodedForm::vector);
}

/// 0 publishes; 1 and the liar hear it from 0, and 2 from 1 and the liar.
Network two_ways(double uplink_bytes_per_second = 12.5e6) {
  NetworkConfig config;
  config.delay = milliseconds(5);
  config.uplink_bytes_per_second = uplink_bytes_per_second;
  Network network(4, config);
  network.join(0, 1);
  network.join(0, liar);
  network.join(1, 2);
  network.join(liar, 2);
  network.route_all("t");
  return network;
}

bool passes(Network& network) {
  const auto* message = network.publish(0, 600'000);
  const bool is_through = network.run(seconds(20), [&] { return network.has_all(message, 0); });
  network.run(seconds(2));  // what is still to be said between neighbours
  return is_through;
}

TEST(RelaySuspects, ALiarSpoilsOneMessageAndIsNamed) {
  Network network = two_ways();
  network.tamper = [](std::size_t from, std::size_t, std::vector<std::uint8_t>& frame) {
    if (from == liar && is_coded(frame)) frame.back() ^= 0x55;
  };
  ASSERT_TRUE(passes(network));
  const auto before = wrong_digests(network, 2);
  EXPECT_GE(before, 1u);
  EXPECT_TRUE(is_named(network, 2));
  ASSERT_TRUE(passes(network));
  EXPECT_EQ(wrong_digests(network, 2), before) << "nothing more is taken from it";
}

TEST(RelaySuspects, WhoPassedOnWrongPacketsOnceIsClearedByRightOnes) {
  Network network = two_ways();
  int spoilt = 0;
  network.tamper = [&](std::size_t from, std::size_t to, std::vector<std::uint8_t>& frame) {
    if (from != liar || to != 2 || !is_coded(frame) || spoilt >= 3) return;
    frame.back() ^= 0x55;
    ++spoilt;
  };
  ASSERT_TRUE(passes(network));
  ASSERT_EQ(spoilt, 3);
  EXPECT_GE(wrong_digests(network, 2), 1u);
  EXPECT_FALSE(is_named(network, 2));
  const auto refused = network.nodes()[2].counters->value(Counter::drop_unvouched_total);
  ASSERT_TRUE(passes(network));
  EXPECT_EQ(network.nodes()[2].counters->value(Counter::drop_unvouched_total), refused) << "it is trusted again";
}

TEST(RelaySuspects, ALiarThatMarksItsPacketsAsPassedOnIsNotSparedInAMesh) {
  Network network = two_ways();
  network.tamper = [](std::size_t from, std::size_t, std::vector<std::uint8_t>& frame) {
    if (from != liar || !is_coded(frame)) return;
    frame.back() ^= 0x55;
    frame[1] |= 0x20;
  };
  ASSERT_TRUE(passes(network));
  const auto before = wrong_digests(network, 2);
  EXPECT_GE(before, 1u);
  ASSERT_TRUE(passes(network));
  EXPECT_EQ(wrong_digests(network, 2), before) << "nothing more is taken from it";
}

TEST(RelaySuspects, AWrongVectorAloneNamesNobody) {
  Network network = two_ways();
  network.tamper = [](std::size_t from, std::size_t, std::vector<std::uint8_t>& frame) {
    if (from == liar && is_coded(frame) && is_vector(frame)) frame.back() ^= 0x55;
  };
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(passes(network)) << i;
  EXPECT_GE(wrong_digests(network, 2), 1u);
  EXPECT_FALSE(is_named(network, 2)) << "it may have been given what it mixed";
}

TEST(RelaySuspects, AnExaminationThatIsNeverAnsweredHoldsNothingUp) {
  Network network = two_ways();
  bool is_mute = false;
  network.tamper = [&](std::size_t from, std::size_t to, std::vector<std::uint8_t>& frame) {
    if (from != liar || to != 2 || !is_coded(frame)) return;
    if (is_mute) frame[0] = 0xff;  // a frame that is refused
    frame.back() ^= 0x55;
    is_mute = is_mute || wrong_digests(network, 2) != 0;
  };
  ASSERT_TRUE(passes(network));
  EXPECT_GE(wrong_digests(network, 2), 1u);
  EXPECT_FALSE(is_named(network, 2));
  network.tamper = nullptr;
  network.run(seconds(60));
  for (const std::size_t node : {0u, 1u, 2u, 3u}) {
    EXPECT_EQ(network.nodes()[node].counters->value(Counter::gauge_cells_used), 0u) << node;
  }
}

TEST(RelaySuspects, WhatOnlyASuspectHasIsTakenFromItAsFarAsItVouches) {
  Network network = two_ways();
  bool is_mute = false;
  network.tamper = [&](std::size_t from, std::size_t to, std::vector<std::uint8_t>& frame) {
    if (from != liar || to != 2 || !is_coded(frame)) return;
    if (is_mute) frame[0] = 0xff;
    frame.back() ^= 0x55;
    is_mute = is_mute || wrong_digests(network, 2) != 0;
  };
  ASSERT_TRUE(passes(network));
  ASSERT_GE(wrong_digests(network, 2), 1u);
  network.run(seconds(60));  // until the message it might be examined in is forgotten
  network.tamper = nullptr;
  network.nodes()[1].is_dead = true;
  network.command(0, PeerDown{1});
  network.command(2, PeerDown{1});
  const auto* next = network.publish(0, 600'000);
  EXPECT_TRUE(network.run(seconds(2), [&] { return network.nodes()[2].delivered.count(next->header.id) == 1; }));
}

}  // namespace
}  // namespace corelay::dataplane::test
