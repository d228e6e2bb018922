/// Whole lcores, duty cycle by duty cycle, over a network in memory and a clock that the test moves.
#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "dataplane/core/header.h"
#include "dataplane/io/memory_io.h"
#include "dataplane/lcore/lcore.h"
#include "tests/dataplane/lcore_fixture.h"

namespace corelay::dataplane {
namespace {

constexpr const char* topic = "blocks";

/// One lcore with the control side of its rings.
struct Node {
  explicit Node(MemoryNetwork& network, const RelayParams& params, std::size_t event_depth = 256)
      : link(256, event_depth) {
    LcoreConfig config;
    config.relay = params;
    config.seed = 7;
    IoConfig io;
    io.peers_max = params.peers_max;
    auto opened = network.open(io);
    port = opened->port();
    lcore = std::make_unique<Lcore>(config, std::move(opened), link, [this] { ++ready; });
  }
  void command(const Command& c) { ASSERT_TRUE(link.commands.push(c)); }
  std::uint64_t count(Counter c) const { return link.counters.value(c); }

  LcoreLink link;
  std::unique_ptr<Lcore> lcore;
  std::uint16_t port = 0;
  int ready = 0;
};

class LcoreTest : public testing::Test {
 protected:
  Node& add_node(const RelayParams& params = small_params(), std::size_t event_depth = 256) {
    nodes_.push_back(std::make_unique<Node>(network_, params, event_depth));
    return *nodes_.back();
  }

  /// A session: `a` knows `b` as `b_index` and the other way round.
  void join(Node& a, PeerIndex b_index, Node& b, PeerIndex a_index, std::uint64_t seed = 1) {
    const auto [at_a, at_b] = session_pair(seed);
    a.command(PeerUp{b_index, loopback(b.port), at_a, 1400});
    b.command(PeerUp{a_index, loopback(a.port), at_b, 1400});
  }

  /// Lets every node take `cycles` turns, 50 us apart.
  void turn(int cycles) {
    for (int i = 0; i < cycles; ++i) {
      now_ = now_ + microseconds(50);
      for (const auto& node : nodes_) node->lcore->cycle(now_);
    }
  }

  /// Turns until `node` has an event of type T or 20,000 turns (a second) have passed.
  template <class T>
  std::optional<T> wait_for(Node& node) {
    for (int i = 0; i < 20'000; ++i) {
      Event event;
      while (node.link.events.pop(event)) {
        if (const T* const found = std::get_if<T>(&event)) return *found;
      }
      turn(1);
    }
    return std::nullopt;
  }

  static std::vector<std::uint8_t> bytes_of(const Delivered& delivered) {
    std::vector<std::uint8_t> bytes(delivered.message.header->size_bytes);
    copy_payload(delivered.message, bytes);
    return bytes;
  }

  MemoryNetwork network_{2};
  std::vector<std::unique_ptr<Node>> nodes_;
  TestPublisher publisher_;
  Instant now_{1'000'000'000};
};

TEST_F(LcoreTest, AMessageGoesThroughARelay) {
  Node& a = add_node();
  Node& b = add_node();
  Node& c = add_node();
  join(a, 1, b, 0, 1);
  join(b, 2, c, 1, 2);
  a.command(route_to(topic_hash(topic), {1}, false));
  b.command(route_to(topic_hash(topic), {0, 2}, false));
  c.command(route_to(topic_hash(topic), {1}, true));
  for (const std::size_t size : {0U, 1U, 900U, 5'000U, 300'000U}) {
    const auto payload = random_payload(size, size);
    const auto message = publisher_.prepare(payload, topic, small_params());
    a.command(Publish{message.get()});
    const auto delivered = wait_for<Delivered>(c);
    ASSERT_TRUE(delivered) << size;
    EXPECT_EQ(bytes_of(*delivered), payload);
    EXPECT_EQ(delivered->from, 1);
    c.command(Release{delivered->message.handle});
    const auto published = wait_for<Published>(a);
    ASSERT_TRUE(published) << size;
    EXPECT_EQ(published->message, message.get());
  }
  EXPECT_GT(b.count(Counter::tx_recoded_total), 0U);
  turn(1'000);  // until the last answers have arrived
  // What the backend saw is what the sessions opened, and what one end sent the others received.
  std::uint64_t sent = 0;
  std::uint64_t received = 0;
  for (const auto& node : nodes_) {
    EXPECT_EQ(node->count(Counter::rx_datagrams_total), node->count(Counter::rx_frames_total));
    EXPECT_EQ(node->count(Counter::drop_tx_error_total), 0U);
    EXPECT_GE(node->count(Counter::cycles_total), node->count(Counter::cycles_busy_total));
    sent += node->count(Counter::tx_datagrams_total);
    received += node->count(Counter::rx_datagrams_total);
  }
  EXPECT_EQ(sent, received);
  // Bulk leaves in runs: far fewer than datagrams.
  EXPECT_LT(a.count(Counter::tx_runs_total) * 2, a.count(Counter::tx_datagrams_total));
}

TEST_F(LcoreTest, WhatFailsToOpenOnlyCounts) {
  Node& a = add_node();
  Node& b = add_node();
  join(a, 1, b, 0);
  turn(4);
  auto stranger = network_.open(IoConfig{});
  stranger->set_destination(0, loopback(b.port));
  const auto throw_in = [&](const std::vector<std::uint8_t>& bytes) {
    const TxBuffer buffer = stranger->tx_alloc();
    std::memcpy(buffer.data, bytes.data(), bytes.size());
    TxRun run{buffer.data, static_cast<std::uint32_t>(bytes.size()), static_cast<std::uint16_t>(bytes.size()), 0,
              buffer.token};
    EXPECT_EQ(stranger->tx_burst({&run, 1}), 1U);
  };
  const auto [at_a, at_b] = session_pair(1);
  std::vector<std::uint8_t> datagram(200, 0);
  datagram[0] = 1;
  datagram[8] = 99;
  std::memcpy(datagram.data() + 4, &at_a.send.key_id, 4);
  throw_in({1, 2, 3});           // too short
  throw_in(datagram);            // right key id, wrong tag
  datagram[2] = 1;
  throw_in(datagram);            // another lane
  datagram[2] = 0;
  datagram[4] ^= 0x80;
  throw_in(datagram);            // no such key
  datagram[0] = 9;
  throw_in(datagram);            // another version
  const std::uint64_t frames = b.count(Counter::rx_frames_total);
  turn(2);
  EXPECT_EQ(b.count(Counter::drop_malformed_datagram_total), 2U);
  EXPECT_EQ(b.count(Counter::drop_authentication_total), 1U);
  EXPECT_EQ(b.count(Counter::drop_wrong_lane_total), 1U);
  EXPECT_EQ(b.count(Counter::drop_unknown_key_total), 1U);
  EXPECT_EQ(b.count(Counter::rx_frames_total), frames);
}

TEST_F(LcoreTest, GivesUpWhatABlockedBackendNeverTakesAndGoesOn) {
  Node& a = add_node();
  Node& b = add_node();
  join(a, 1, b, 0);
  a.command(route_to(topic_hash(topic), {1}, false));
  b.command(route_to(topic_hash(topic), {0}, true));
  turn(10);
  network_.set_flowing(false);
  std::vector<std::unique_ptr<PreparedMessage>> messages;
  std::map<MessageId, std::vector<std::uint8_t>> expected;
  for (std::uint64_t i = 0; i < 8; ++i) {
    auto payload = random_payload(60'000, i);
    messages.push_back(publisher_.prepare(payload, topic, small_params()));
    expected[messages.back()->header.id] = std::move(payload);
    a.command(Publish{messages.back().get()});
  }
  // Two runs fill the network; a second of it being full is far over the bound.
  for (int i = 0; i < 20'000 && a.count(Counter::drop_tx_full_total) == 0; ++i) turn(1);
  EXPECT_GT(a.count(Counter::drop_tx_full_total), 0U);
  network_.set_flowing(true);
  for (int i = 0; i < 8; ++i) {
    const auto delivered = wait_for<Delivered>(b);
    ASSERT_TRUE(delivered) << i;
    EXPECT_EQ(bytes_of(*delivered), expected[delivered->message.header->id]);
    expected.erase(delivered->message.header->id);
    b.command(Release{delivered->message.handle});
  }
  EXPECT_TRUE(expected.empty());
}

TEST_F(LcoreTest, EventsThatMatterWaitForRoom) {
  constexpr std::size_t event_depth = 2;
  Node& a = add_node();
  Node& b = add_node(small_params(), event_depth);
  join(a, 1, b, 0);
  a.command(route_to(topic_hash(topic), {1}, false));
  b.command(route_to(topic_hash(topic), {0}, true));
  b.command(SetTrace{true});
  std::vector<std::unique_ptr<PreparedMessage>> messages;
  for (std::uint64_t i = 0; i < 12; ++i) {
    messages.push_back(publisher_.prepare(random_payload(3'000, i), topic, small_params()));
    a.command(Publish{messages.back().get()});
  }
  turn(4'000);  // nobody polls b meanwhile
  EXPECT_GT(b.count(Counter::drop_event_full_total), 0U);
  for (int i = 0; i < 12; ++i) {
    const auto delivered = wait_for<Delivered>(b);
    ASSERT_TRUE(delivered) << i;
    b.command(Release{delivered->message.handle});
  }
  EXPECT_GT(b.ready, 0);
}

TEST_F(LcoreTest, PeerDownIsAnsweredAndEndsTheSession) {
  Node& a = add_node();
  Node& b = add_node();
  join(a, 1, b, 0);
  a.command(route_to(topic_hash(topic), {1}, false));
  b.command(route_to(topic_hash(topic), {}, true));
  const auto first = publisher_.prepare(random_payload(500, 1), topic, small_params());
  a.command(Publish{first.get()});
  ASSERT_TRUE(wait_for<Delivered>(b));
  b.command(PeerDown{0});
  const auto gone = wait_for<PeerGone>(b);
  ASSERT_TRUE(gone);
  EXPECT_EQ(gone->peer, 0);
  const auto second = publisher_.prepare(random_payload(500, 2), topic, small_params());
  a.command(Publish{second.get()});
  turn(200);
  EXPECT_GT(b.count(Counter::drop_unknown_key_total), 0U);
  EXPECT_EQ(b.count(Counter::messages_completed_total), 1U);
}

TEST_F(LcoreTest, CommandsAreTakenWithABound) {
  Node& a = add_node();
  for (TopicHash t = 1; t <= 40; ++t) a.command(route_to(t % 8, {}, false));
  a.lcore->cycle(now_);
  EXPECT_EQ(a.link.commands.room(), a.link.commands.capacity() - 24);
  a.lcore->cycle(now_);
  a.lcore->cycle(now_);
  EXPECT_TRUE(a.link.commands.is_empty());
}

TEST_F(LcoreTest, AnIdleCycleDoesNoWork) {
  Node& a = add_node();
  turn(3);
  EXPECT_EQ(a.lcore->cycle(now_), 0U);
  EXPECT_EQ(a.count(Counter::cycles_busy_total), 0U);
}

}  // namespace
}  // namespace corelay::dataplane
