// The relay core on a toy network: what is delivered, to whom, how often, and what happens when something is missing.
#include <gtest/gtest.h>

#include <set>

#include "tests/dataplane/relay_network.h"

namespace corelay::dataplane::test {
namespace {

NetworkConfig lossy(double loss, std::uint64_t seed = 1) {
  NetworkConfig config;
  config.loss = loss;
  config.seed = seed;
  return config;
}

class RelaySizes : public testing::TestWithParam<std::tuple<std::size_t, double>> {};

TEST_P(RelaySizes, EveryNodeGetsItOnce) {
  const auto [size, loss] = GetParam();
  Network network(4, lossy(loss));
  network.join_all();
  network.route_all("t");
  const auto* message = network.publish(1, size);
  ASSERT_NE(message, nullptr);
  EXPECT_TRUE(network.run(seconds(20), [&] { return network.has_all(message, 1); }));
  network.run(seconds(3));
  EXPECT_TRUE(network.has_all(message, 1)) << "delivered twice";
  EXPECT_EQ(network.nodes()[1].published.size(), 1u);
  EXPECT_TRUE(network.nodes()[1].delivered.empty());
}

INSTANTIATE_TEST_SUITE_P(Sizes, RelaySizes,
                         testing::Combine(testing::Values(0, 1, 1000, 1100, 1300, 5000, 100 << 10, 1 << 20),
                                          testing::Values(0.0, 0.2)));

TEST(Relay, CarriesAcrossALineOfNodes) {
  Network network(6, lossy(0.1));
  for (std::size_t i = 0; i + 1 < 6; ++i) network.join(i, i + 1);
  network.route_all("t");
  const auto* large = network.publish(0, 300000);
  const auto* small = network.publish(5, 200);
  EXPECT_TRUE(network.run(seconds(20), [&] { return network.has_all(large, 0) && network.has_all(small, 5); }));
}

/// A line of three of which node 1 only passes on.
Network past_a_relay_without_readers() {
  Network network(3, lossy(0));
  network.join(0, 1);
  network.join(1, 2);
  network.route(0, "t");
  network.route(1, "t", false);
  network.route(2, "t");
  return network;
}

// What node 1 carries is checked all the same, once nothing else is to be done.
TEST(Relay, ChecksWhatNobodyHereReadsWhenItIsIdle) {
  Network network = past_a_relay_without_readers();
  const auto* message = network.publish(0, 300'000);
  EXPECT_TRUE(network.run(seconds(5), [&] { return network.nodes()[2].delivered[message->header.id] == 1; }));
  network.run(milliseconds(10));
  EXPECT_TRUE(network.nodes()[1].delivered.empty());
  const Counters& counters = *network.nodes()[1].counters;
  EXPECT_EQ(counters.value(Counter::messages_completed_total), 1u);
  EXPECT_EQ(counters.value(Counter::generations_decoded_total), message->header.generations);
}

TEST(Relay, FindsWrongBytesInWhatNobodyHereReads) {
  Network network = past_a_relay_without_readers();
  bool is_spoiled = false;
  network.tamper = [&](std::size_t from, std::size_t, std::vector<std::uint8_t>& frame) {
    if (from != 0 || is_spoiled || !parse_coded(frame)) return;
    is_spoiled = true;
    frame.back() ^= 1;
  };
  const auto* message = network.publish(0, 300'000);
  EXPECT_TRUE(network.run(seconds(20), [&] { return network.nodes()[2].delivered[message->header.id] == 1; }));
  network.run(seconds(1));
  EXPECT_TRUE(is_spoiled);
  EXPECT_EQ(network.nodes()[1].counters->value(Counter::drop_digest_total), 1u);
  EXPECT_EQ(network.nodes()[1].counters->value(Counter::messages_completed_total), 1u);
  ASSERT_EQ(network.nodes()[1].faults.size(), 1u);
  EXPECT_EQ(network.nodes()[1].faults[0].peer, 0);
}

TEST(Relay, DeliversWhatIsStillComingWhenAReaderAppears) {
  Network network(2, lossy(0));
  network.join(0, 1);
  network.route(0, "t");
  network.route(1, "t", false);
  const auto* message = network.publish(0, 300'000);
  const Counters& counters = *network.nodes()[1].counters;
  network.run(seconds(5), [&] { return counters.value(Counter::rx_coded_total) > 5; });
  network.route(1, "t", true);
  EXPECT_TRUE(network.run(seconds(5), [&] { return network.has_all(message, 0); }));
}

TEST(Relay, HoldsAMessageUntilAPeerComes) {
  Network network(2, lossy(0));
  network.route(0, "t");
  const auto* large = network.publish(0, 50000);
  const auto* small = network.publish(0, 50);
  network.run(seconds(2));
  EXPECT_TRUE(network.nodes()[0].failed.empty());
  network.join(0, 1);
  network.route_all("t");
  EXPECT_TRUE(network.run(seconds(5), [&] { return network.has_all(large, 0) && network.has_all(small, 0); }));
  network.run(milliseconds(100));
  EXPECT_EQ(network.nodes()[0].published.size(), 2u);
}

TEST(Relay, SaysSoWhenNoPeerComes) {
  Network network(1, lossy(0));
  network.route(0, "t");
  const auto* message = network.publish(0, 50000);
  network.run(seconds(31));
  ASSERT_EQ(network.nodes()[0].failed.size(), 1u);
  EXPECT_EQ(network.nodes()[0].failed[0], std::pair(message, PublishFailure::no_peers));
  EXPECT_EQ(network.nodes()[0].counters->value(Counter::gauge_cells_used), 0u);
}

TEST(Relay, SaysSoWhenNoDatagramReachesTheOnlyPeer) {
  Network network(2, lossy(1));
  network.join(0, 1);
  network.route_all("t");
  const auto* large = network.publish(0, 50000);
  const auto* small = network.publish(0, 50);
  network.run(seconds(60));
  ASSERT_EQ(network.nodes()[0].failed.size(), 2u);
  for (const auto& [message, reason] : network.nodes()[0].failed) {
    EXPECT_TRUE(message == large || message == small);
    EXPECT_EQ(reason, PublishFailure::no_peers);
  }
}

TEST(Relay, OffersAgainWhatWasRefused) {
  Network network(3, lossy(0));
  network.join_all();
  network.route(0, "t");
  network.route(1, "t");  // node 2 takes no part yet
  const auto* large = network.publish(0, 50000);
  const auto* small = network.publish(0, 50);
  network.run(seconds(5));
  EXPECT_TRUE(network.nodes()[2].delivered.empty());
  network.route(2, "t");
  EXPECT_TRUE(network.run(seconds(5), [&] { return network.has_all(large, 0) && network.has_all(small, 0); }));
}

TEST(Relay, RefusesAnAnnounceOfWhatTravelsWhole) {
  Network network(3, lossy(0));
  network.join_all();
  network.route_all("t");
  std::vector<std::uint8_t> frame(frame_bytes_max);
  const auto prepared =
      prepare_message({}, "t", network.publisher(), 9, 0, RelayParams{}, network.signer());
  ASSERT_TRUE(prepared);
  AnnounceFrame announce;
  announce.sequence = 1;
  announce.header = prepared->encoded_header;
  frame.resize(write_announce(announce, frame.data()));
  network.inject(0, 1, frame);
  EXPECT_EQ(network.nodes()[1].counters->value(Counter::drop_header_invalid_total), 1u);
  network.run(seconds(1));
  EXPECT_TRUE(network.nodes()[2].faults.empty());  // nobody takes node 1 for the culprit
  EXPECT_EQ(network.nodes()[2].counters->value(Counter::drop_malformed_frame_total), 0u);
}

TEST(Relay, TakesASingleThatWasAnnouncedInAnotherShape) {
  Network network(2, lossy(0));
  network.join(0, 1);
  network.route_all("t");
  const std::vector<std::uint8_t> payload(200, 7);
  auto decoy = prepare_message(payload, "t", network.publisher(), 9, 0, RelayParams{}, network.signer());
  ASSERT_TRUE(decoy);
  decoy->header.k = 2;
  decoy->header.shard_bytes = 128;
  write_header(decoy->header, decoy->encoded_header.data());
  std::array<std::uint8_t, signed_bytes_max> to_sign;
  decoy->header.signature = network.signer()({to_sign.data(), signed_bytes(decoy->encoded_header, to_sign)});
  write_header(decoy->header, decoy->encoded_header.data());
  std::vector<std::uint8_t> frame(frame_bytes_max);
  AnnounceFrame announce;
  announce.sequence = 1000;
  announce.header = decoy->encoded_header;
  frame.resize(write_announce(announce, frame.data()));
  network.inject(0, 1, frame);
  EXPECT_EQ(network.nodes()[1].counters->value(Counter::rx_announce_total), 1u);
  const auto* message = network.publish(0, payload);
  EXPECT_TRUE(network.run(seconds(2), [&] { return network.has_all(message, 0); }));
}

TEST(Relay, AMessageThatTakesLongerThanTheHoldIsNotOneWithoutPeers) {
  NetworkConfig config = lossy(0);
  config.uplink_bytes_per_second = 100e3;
  config.params.publish_hold = milliseconds(500);
  Network network(2, config);
  network.join_all();
  network.route_all("t");
  std::vector<const PreparedMessage*> messages;
  for (std::size_t i = 0; i < 5; ++i) messages.push_back(network.publish(0, 60000 + i));
  const auto all_arrived = [&] {
    for (const auto* message : messages) {
      if (!network.has_all(message, 0)) return false;
    }
    return true;
  };
  EXPECT_TRUE(network.run(seconds(30), all_arrived));
  network.run(seconds(1));
  EXPECT_TRUE(network.nodes()[0].failed.empty());
  EXPECT_EQ(network.nodes()[0].published.size(), 5u);
}

TEST(Relay, RefusesTheSameBytesTwice) {
  Network network(2, lossy(0));
  network.join_all();
  network.route_all("t");
  network.publish(0, std::vector<std::uint8_t>{1, 2, 3});
  network.run(seconds(1));
  network.publish(0, std::vector<std::uint8_t>{1, 2, 3});
  network.publish(1, std::vector<std::uint8_t>{1, 2, 3});
  network.run(seconds(1));
  ASSERT_EQ(network.nodes()[0].failed.size(), 1u);
  EXPECT_EQ(network.nodes()[0].failed[0].second, PublishFailure::duplicate);
  ASSERT_EQ(network.nodes()[1].failed.size(), 1u);
}

TEST(Relay, LosesNobodyWhenANodeDiesInTransfer) {
  NetworkConfig config = lossy(0.05);
  config.uplink_bytes_per_second = 12.5e6;
  Network network(5, config);
  network.join_all();
  network.route_all("t");
  const auto* message = network.publish(0, 2 << 20);
  network.run(milliseconds(60));
  network.nodes()[3].is_dead = true;
  for (const std::size_t i : {0u, 1u, 2u, 4u}) network.command(i, PeerDown{3});
  EXPECT_TRUE(network.run(seconds(20), [&] { return network.has_all(message, 0); }));
}

TEST(Relay, MendsAGenerationThatWasPolluted) {
  Network network(3, lossy(0));
  network.join(0, 1);
  network.join(1, 2);
  network.route_all("t");
  int spoilt = 0;
  network.tamper = [&](std::size_t from, std::size_t to, std::vector<std::uint8_t>& frame) {
    if (from == 0 && to == 1 && frame[0] == 2 && spoilt < 3) {
      frame.back() ^= 0x55;
      ++spoilt;
    }
  };
  const auto* message = network.publish(0, 400000);
  EXPECT_TRUE(network.run(seconds(20), [&] { return network.has_all(message, 0); }));
  EXPECT_EQ(spoilt, 3);
  EXPECT_GE(network.nodes()[1].counters->value(Counter::drop_digest_total), 1u);
  ASSERT_FALSE(network.nodes()[1].faults.empty());
  EXPECT_EQ(network.nodes()[1].faults[0].fault, PeerFault::spoilt);
}

TEST(Relay, APublisherStillLoadingTakesNothingFromItsPeers) {
  Network network(2, lossy(0));
  network.join_all();
  network.route_all("t");
  const auto* message = network.publish(0, 1 << 20);
  ASSERT_GT(message->header.generations, 1);
  // Peer 1 has recoded already and sends its own mix of the last generation, of which nothing is loaded yet.
  for (std::uint32_t sequence = 1; sequence <= 5; ++sequence) {
    CodedFrame coded;
    coded.form = CodedForm::seed;
    coded.generation = static_cast<std::uint16_t>(message->header.generations - 1);
    coded.sequence = sequence;
    coded.tag = message->tag;
    coded.seed = sequence;
    std::vector<std::uint8_t> frame(24 + 8 + message->header.shard_bytes, 0xa5);
    write_coded_prefix(coded, frame.data());
    std::fill(frame.begin() + 24, frame.begin() + 32, static_cast<std::uint8_t>(sequence));
    network.inject(1, 0, frame);
  }
  EXPECT_EQ(network.nodes()[0].counters->value(Counter::rx_coded_innovative_total), 0u);
  EXPECT_TRUE(network.run(seconds(20), [&] { return network.has_all(message, 0); }));
  EXPECT_EQ(network.nodes()[1].counters->value(Counter::drop_digest_total), 0u);
}

TEST(Relay, ADeliveryAfterPeerGoneDoesNotNameThePeer) {
  Network network(2, lossy(0));
  network.join_all();
  network.route_all("t");
  const auto& frames = network.capture(0, 1);
  const auto* message = network.publish(0, 5000);
  network.run(milliseconds(20));
  for (const auto& frame : frames) network.inject(0, 1, frame);
  // All of it is there, nothing is decoded yet; the peer goes, and its index may name another from then on.
  ASSERT_EQ(network.nodes()[1].delivered.size(), 0u);
  network.command(1, PeerDown{0});
  ASSERT_EQ(network.nodes()[1].gone, std::vector<PeerIndex>{0});
  network.run(milliseconds(20));
  ASSERT_EQ(network.nodes()[1].delivered[message->header.id], 1);
  EXPECT_EQ(network.nodes()[1].delivered_from[message->header.id], peer_none);
}

TEST(Relay, FaultsOfAPeerAreToldBeforePeerGone) {
  Counters counters;
  RelayParams params;
  params.messages_max = 16;
  params.large_messages_max = 4;
  params.cells_max = 256;
  params.generations_max = 16;
  params.seen_max = 64;
  params.peers_max = 4;
  Relay relay(params, 1, counters);
  Outbox out(16, 4);
  relay.on_command({}, PeerUp{0, {}, {}, 1400}, out);
  const std::vector<std::uint8_t> rubbish{99};
  for (int i = 0; i < 6; ++i) {
    const RxFrame frame{0, rubbish};
    relay.on_burst({}, {&frame, 1}, out);
  }
  relay.on_command({}, PeerDown{0}, out);
  std::vector<std::size_t> kinds;
  for (int i = 0; i < 3; ++i) {
    for (const Event& event : out.events()) kinds.push_back(event.index());
    out.clear();
    relay.on_tick({}, out);
  }
  const auto fault = Event(PeerFaulted{}).index();
  EXPECT_EQ(kinds, (std::vector<std::size_t>{fault, fault, fault, fault, fault, fault, Event(PeerGone{}).index()}));
}

TEST(Relay, CountsProbes) {
  Network network(2, lossy(0));
  network.join_all();
  std::vector<std::uint8_t> probe(8);
  write_probe({true, 0}, probe.size(), probe.data());
  network.inject(0, 1, probe);
  EXPECT_EQ(network.nodes()[1].counters->value(Counter::rx_probe_total), 1u);
}

TEST(Relay, KeepsToTheRateCapOverAllPeers) {
  NetworkConfig config = lossy(0);
  config.params.rate_bytes_per_second_max = 1'000'000;
  Network network(2, config);
  network.join_all();
  network.route_all("t");
  const auto* message = network.publish(0, 1'000'000);
  EXPECT_TRUE(network.run(seconds(5), [&] { return network.has_all(message, 0); }));
  EXPECT_GT(network.now.ns, milliseconds(950).ns);
  EXPECT_LT(network.now.ns, milliseconds(1400).ns);
}

TEST(Relay, MakesACodedFrameOnceForNeighboursOnFastLinks) {
  Network network(6, lossy(0));
  network.join(0, 1);
  for (std::size_t sink = 2; sink < 6; ++sink) network.join(1, sink);
  network.route_all("t");
  const auto counted = [&](Counter counter) { return network.nodes()[1].counters->value(counter); };
  for (int i = 0; i < 3; ++i) {  // the links learn that they are fast
    network.publish(0, 4 << 20);
    network.run(seconds(1));
  }
  const std::uint64_t made = counted(Counter::tx_coded_made_total);
  const std::uint64_t sent = counted(Counter::tx_coded_total);
  const auto* message = network.publish(0, 4 << 20);
  EXPECT_TRUE(network.run(seconds(1), [&] { return network.has_all(message, 0); }));
  EXPECT_GT(4 * (counted(Counter::tx_coded_total) - sent), 5 * (counted(Counter::tx_coded_made_total) - made));
}

TEST(Relay, GivesEverythingBackInTheEnd) {
  Network network(3, lossy(0.1));
  network.join_all();
  network.route_all("t");
  for (int i = 0; i < 10; ++i) network.publish(static_cast<std::size_t>(i) % 3, static_cast<std::size_t>(i) * 20000);
  network.run(seconds(70));
  for (const auto& node : network.nodes()) {
    EXPECT_EQ(node.counters->value(Counter::gauge_messages_live), 0u);
    EXPECT_EQ(node.counters->value(Counter::gauge_cells_used), 0u);
    EXPECT_EQ(node.counters->value(Counter::gauge_generations_used), 0u);
  }
}

TEST(Relay, StaysNearTheBoundOnAMesh) {
  for (const double loss : {0.0, 0.1}) {
    NetworkConfig config = lossy(loss);
    config.uplink_bytes_per_second = 12.5e6;
    config.delay = milliseconds(1);
    Network network(8, config);
    for (std::size_t i = 0; i < 8; ++i) {
      for (std::size_t step = 1; step <= 2; ++step) network.join(i, (i + step) % 8);
    }
    network.route_all("t");
    const std::size_t size = 2 << 20;
    network.publish(3, size);  // the links learn their rates
    network.run(seconds(5));
    std::uint64_t sent = 0;
    for (const auto& node : network.nodes()) sent -= node.bytes_sent;
    const Instant start = network.now;
    const auto* message = network.publish(0, size);
    EXPECT_TRUE(network.run(seconds(20), [&] { return network.has_all(message, 0); }));
    // What the publisher's uplink takes to bring every byte across once.
    const double bound_ms = static_cast<double>(size) / 12.5e6 / (1 - loss) * 1e3;
    const double took_ms = static_cast<double>((network.now - start).ns) / 1e6;
    network.run(seconds(1));
    for (const auto& node : network.nodes()) sent += node.bytes_sent;
    const double copies = static_cast<double>(sent) / static_cast<double>(size) / 8;
    std::printf("8 nodes, degree 4, 2 MiB, loss %.2f: %.0f ms (bound %.0f), %.2f messages sent per node\n", loss,
                took_ms, bound_ms, copies);
    EXPECT_LT(took_ms, 2.2 * bound_ms);
    EXPECT_LT(copies, 2.2);
  }
}

}  // namespace
}  // namespace corelay::dataplane::test
