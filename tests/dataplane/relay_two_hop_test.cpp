// Messages to a known membership: each member passes its part on, and the mesh brings what that leaves missing.
#include <gtest/gtest.h>

#include <cstring>

#include "tests/dataplane/relay_network.h"

namespace corelay::dataplane::test {
namespace {

constexpr std::size_t message_bytes = 200'000;

NetworkConfig known_members(double loss = 0, Router router = Router::two_hop) {
  NetworkConfig config;
  config.loss = loss;
  config.delay = milliseconds(5);
  config.uplink_bytes_per_second = 25e6;
  config.params.router = router;
  config.params.start_mult = two_hop_start_mult;
  config.params.rate_bytes_per_second_max = 24'000'000;
  config.params.cells_max = 4096;
  config.params.generations_max = 128;
  return config;
}

/// All have sessions with all, and the mesh is a ring where everybody has the two before and the two behind.
void join_members(Network& network) {
  network.join_all();
  const std::size_t count = network.nodes().size();
  for (std::size_t n = 0; n < count; ++n) {
    RouteSet route{topic_hash("t"), true, 0, {}};
    for (const std::size_t step : {std::size_t{1}, std::size_t{2}, count - 2, count - 1}) {
      route.next_hops[route.count++] = static_cast<PeerIndex>((n + step) % count);
    }
    network.command(n, route);
    for (std::size_t other = 0; other < count; ++other) {
      if (other != n) network.command(n, MemberSet{topic_hash("t"), static_cast<PeerIndex>(other), true});
    }
  }
}

std::uint64_t count(Network& network, std::size_t node, Counter which) {
  return network.nodes()[node].counters->value(which);
}

std::uint64_t sum(Network& network, Counter which) {
  std::uint64_t all = 0;
  for (std::size_t n = 0; n < network.nodes().size(); ++n) all += count(network, n, which);
  return all;
}

TEST(RelayTwoHop, EveryMemberPassesItsPartOnAndNobodyHasToAsk) {
  Network network(20, known_members());
  join_members(network);
  const PreparedMessage* message = network.publish(0, message_bytes);
  ASSERT_TRUE(network.run(milliseconds(500), [&] { return network.has_all(message, 0); }));
  const std::size_t shards = std::size_t{message->header.k} * message->header.generations;
  const auto given = count(network, 0, Counter::tx_first_hop_total);
  EXPECT_GE(given, shards);
  EXPECT_LE(given, static_cast<std::size_t>(static_cast<double>(shards) * two_hop_start_mult) + 1);
  for (std::size_t n = 1; n < network.nodes().size(); ++n) {
    SCOPED_TRACE(n);
    EXPECT_GT(count(network, n, Counter::tx_second_hop_total), 0u);
    // A twentieth of the packets each, to all others.
    EXPECT_LE(count(network, n, Counter::tx_second_hop_total), 18 * (given / 19 + 1));
    EXPECT_EQ(count(network, n, Counter::tx_coded_total), count(network, n, Counter::tx_second_hop_total));
  }
  EXPECT_EQ(sum(network, Counter::tx_recoded_total), 0u);
  EXPECT_EQ(sum(network, Counter::drop_pass_on_total), 0u);
  EXPECT_EQ(sum(network, Counter::drop_flow_limit_total), 0u);
  // Two ways of 5 ms, and the time of one message and a quarter on the publisher's uplink.
  EXPECT_LT(network.now.ns, milliseconds(30).ns);
}

TEST(RelayTwoHop, WhatIsLostIsFilledInByTheMesh) {
  for (const std::uint64_t seed : {1u, 2u, 3u}) {
    NetworkConfig config = known_members(0.15);
    config.seed = seed;
    Network network(20, config);
    join_members(network);
    const PreparedMessage* message = network.publish(0, message_bytes);
    EXPECT_TRUE(network.run(seconds(5), [&] { return network.has_all(message, 0); })) << "seed " << seed;
    EXPECT_GT(sum(network, Counter::tx_second_hop_total), 0u);
  }
}

/// With a third that keep what they are given, less than the whole message is passed on.
TEST(RelayTwoHop, MembersThatPassNothingOnAreMadeGood) {
  Network network(18, known_members());
  join_members(network);
  network.drops = [](std::size_t from, std::size_t, const std::vector<std::uint8_t>& frame) {
    return from % 3 == 1 && frame[0] == static_cast<std::uint8_t>(FrameKind::coded);
  };
  const PreparedMessage* message = network.publish(0, message_bytes);
  EXPECT_TRUE(network.run(seconds(5), [&] { return network.has_all(message, 0); }));
  EXPECT_GT(sum(network, Counter::tx_recoded_total), 0u);
}

TEST(RelayTwoHop, APublisherThatLeavesAfterItsSpreadIsNotMissed) {
  Network network(20, known_members());
  join_members(network);
  const PreparedMessage* message = network.publish(0, message_bytes);
  const std::size_t shards = std::size_t{message->header.k} * message->header.generations;
  ASSERT_TRUE(network.run(seconds(1), [&] { return count(network, 0, Counter::tx_first_hop_total) > shards; }));
  network.nodes()[0].is_dead = true;
  network.set_loss(0.1);
  EXPECT_TRUE(network.run(seconds(5), [&] { return network.has_all(message, 0); }));
}

TEST(RelayTwoHop, AMemberPassesOnItsPartAndNoMore) {
  Network network(12, known_members());
  join_members(network);
  std::vector<std::vector<std::uint8_t>> taken;
  network.tamper = [&](std::size_t from, std::size_t, std::vector<std::uint8_t>& frame) {
    if (from == 0 && frame[0] == static_cast<std::uint8_t>(FrameKind::coded)) taken.push_back(frame);
  };
  const PreparedMessage* message = network.publish(0, message_bytes);
  ASSERT_TRUE(network.run(seconds(2), [&] { return network.has_all(message, 0); }));
  EXPECT_EQ(count(network, 5, Counter::drop_pass_on_total), 0u);
  // All of it for one member: under sequences of its link that are not used yet.
  Network other(12, known_members());
  join_members(other);
  const PreparedMessage* again = other.publish(0, message_bytes);
  ASSERT_TRUE(other.run(milliseconds(7), [&] { return count(other, 5, Counter::rx_announce_total) != 0; }));
  std::uint32_t sequence = 5000;
  std::size_t given = 0;
  for (std::vector<std::uint8_t> frame : taken) {
    if (std::memcmp(&frame[8], again->tag.data(), again->tag.size()) != 0) continue;
    set_sequence(frame.data(), ++sequence);
    other.inject(0, 5, frame);
    ++given;
  }
  ASSERT_GT(given, 100u);
  const double shards = static_cast<double>(again->header.k) * again->header.generations;
  const double part = shards * two_hop_start_mult / 11;
  EXPECT_LE(count(other, 5, Counter::tx_second_hop_total), static_cast<std::size_t>(part * 1.5 + 3) * 11);
  EXPECT_GT(count(other, 5, Counter::drop_pass_on_total), given / 2);
  EXPECT_TRUE(other.run(seconds(5), [&] { return other.has_all(again, 0); }));
}

TEST(RelayTwoHop, OfASpoiltMessageNothingIsPassedOn) {
  Network network(12, known_members());
  join_members(network);
  network.tamper = [](std::size_t from, std::size_t, std::vector<std::uint8_t>& frame) {
    if (from == 4 && frame[0] == static_cast<std::uint8_t>(FrameKind::coded)) frame.back() ^= 0x5a;
  };
  const PreparedMessage* message = network.publish(0, message_bytes);
  EXPECT_TRUE(network.run(seconds(10), [&] {
    for (std::size_t n = 1; n < 12; ++n) {
      if (n != 4 && network.nodes()[n].delivered[message->header.id] != 1) return false;
    }
    return true;
  }));
  EXPECT_GT(sum(network, Counter::drop_digest_total), 0u);
  EXPECT_GT(sum(network, Counter::drop_unvouched_total), 0u);
}

/// A node that is set to the mesh takes what members send it, passes nothing on, and gets all.
TEST(RelayTwoHop, AMemberOfTheOtherKindIsServedToo) {
  NetworkConfig config = known_members();
  Network network(12, config);
  network.replace(3, [](RelayParams& params) { params.router = Router::mesh; });
  join_members(network);
  const PreparedMessage* message = network.publish(0, message_bytes);
  EXPECT_TRUE(network.run(seconds(2), [&] { return network.has_all(message, 0); }));
  EXPECT_EQ(count(network, 3, Counter::tx_second_hop_total), 0u);
  EXPECT_GT(count(network, 5, Counter::tx_second_hop_total), 0u);
  EXPECT_EQ(sum(network, Counter::drop_malformed_frame_total), 0u);
}

/// What is small beside the announces to all members, or travels whole, goes by the mesh.
TEST(RelayTwoHop, SmallMessagesGoByTheMesh) {
  Network network(20, known_members());
  join_members(network);
  for (const std::size_t bytes : {std::size_t{500}, std::size_t{5000}}) {
    const PreparedMessage* message = network.publish(0, bytes);
    EXPECT_TRUE(network.run(seconds(2), [&] { return network.has_all(message, 0); })) << bytes;
  }
  EXPECT_EQ(sum(network, Counter::tx_first_hop_total), 0u);
}

TEST(RelayTwoHop, WhoLeavesIsNoMemberAnyMore) {
  Network network(12, known_members());
  join_members(network);
  for (std::size_t n = 0; n < 12; ++n) {
    if (n != 7) network.command(n, PeerDown{7});
  }
  network.nodes()[7].is_dead = true;
  const PreparedMessage* message = network.publish(0, message_bytes);
  EXPECT_TRUE(network.run(milliseconds(500), [&] { return network.has_all(message, 0); }));
  network.command(0, MemberSet{topic_hash("t"), 5, false});
  const auto before = count(network, 5, Counter::tx_second_hop_total);
  const PreparedMessage* second = network.publish(0, message_bytes);
  EXPECT_TRUE(network.run(milliseconds(500), [&] { return network.has_all(second, 0); }));
  EXPECT_EQ(count(network, 5, Counter::tx_second_hop_total), before);
}

TEST(RelayTwoHop, ADeadMemberKeepsNoSpreadOpenAndWakesNobody) {
  Network network(12, known_members());
  join_members(network);
  network.nodes()[6].is_dead = true;  // its sessions stand: nobody has noticed
  const PreparedMessage* message = network.publish(0, message_bytes);
  const auto have_it = [&] {
    for (std::size_t n = 1; n < network.nodes().size(); ++n) {
      if (n != 6 && network.nodes()[n].delivered[message->header.id] == 0) return false;
    }
    return true;
  };
  ASSERT_TRUE(network.run(seconds(5), have_it));
  network.run(seconds(8));
  // What is left is housekeeping, every 5 ms.
  std::size_t wakes = 0;
  Instant last{};
  network.run(seconds(1), [&] {
    const Instant due = network.nodes()[0].relay->next_deadline();
    if (due != last) ++wakes;
    last = due;
    return false;
  });
  EXPECT_LT(wakes, 500u);
}

TEST(RelayTwoHop, AnAnnounceOfAnotherCutDoesNotEndWhatAMemberBrought) {
  Network network(6, known_members());
  join_members(network);
  const PreparedMessage* message = network.publish(0, message_bytes);
  // Until node 3, no next hop of the publisher's, has heard of it and no neighbour of the mesh has said so.
  ASSERT_TRUE(network.run(seconds(1), [&] { return count(network, 3, Counter::rx_announce_total) != 0; }));
  PreparedMessage decoy = *message;
  decoy.header.shard_bytes = 64;
  decoy.header.k = 100;
  decoy.header.generations = static_cast<std::uint16_t>((message_bytes + 6399) / 6400);
  std::vector<std::uint8_t> header(encoded_header_bytes(decoy.header));
  write_header(decoy.header, header.data());  // nobody signed it
  AnnounceFrame announce;
  announce.sequence = 1'000;
  announce.header = header;
  std::vector<std::uint8_t> frame(frame_prefix_bytes + header.size());
  frame.resize(write_announce(announce, frame.data()));
  network.inject(4, 3, frame);
  EXPECT_EQ(count(network, 3, Counter::drop_rival_total), 0u);
  EXPECT_TRUE(network.run(seconds(2), [&] { return network.has_all(message, 0); }));
}

}  // namespace
}  // namespace corelay::dataplane::test
