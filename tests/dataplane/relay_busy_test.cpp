// A relay that is never idle: it serves slow and late neighbours, its timers and its checks all the same.
#include <gtest/gtest.h>

#include "tests/dataplane/relay_liar.h"

namespace corelay::dataplane::test {
namespace {

/// Keeps relay 1 busy with frames from node 0, one every 20 us, as long as it is asked.
class Load {
 public:
  explicit Load(Network& network) : network_(network), noise_(8) {
    write_probe({false, 0}, noise_.size(), noise_.data());
  }
  void operator()() {
    network_.now = network_.now + microseconds(20);
    network_.inject(0, 1, noise_);
  }
  void run(Duration time) {
    network_.run(time, [this] {
      (*this)();
      return false;
    });
  }

 private:
  Network& network_;
  Frame noise_;
};

bool has(Network& network, std::size_t node, const PreparedMessage* message) {
  return network.nodes()[node].delivered[message->header.id] == 1;
}

/// One frame each `every` reaches node 2 behind relay 1.
void feed_slowly(bool is_busy, bool is_read, Duration every) {
  Network network(3, plain());
  network.join(0, 1);
  network.join(1, 2);
  network.route(0, "t");
  network.route(1, "t", is_read);
  network.route(2, "t");
  auto& held = network.capture(1, 2);
  const auto* message = network.publish(0, 300'000);
  Load load(network);
  Instant next{};
  std::size_t at = 0;
  const auto step = [&] {
    if (is_busy) {
      load();
    } else {
      network.now = network.now + microseconds(20);
    }
    if (network.now >= next && at < held.size()) {
      const Frame frame = held[at++];
      network.inject(1, 2, frame);
      next = network.now + every;
    }
    return has(network, 2, message);
  };
  EXPECT_TRUE(network.run(seconds(5), step)) << is_busy << is_read << " every " << every.ns << " ns";
  const std::size_t shards = std::size_t{message->header.k} * message->header.generations;
  EXPECT_LE(count(network, 2, Counter::rx_coded_redundant_total), shards / 2);
}

TEST(RelayBusy, ASlowNeighbourGetsItAll) {
  for (const Duration every : {microseconds(100), microseconds(300), milliseconds(1)}) {
    feed_slowly(false, false, every);
    feed_slowly(true, true, every);
    feed_slowly(true, false, every);
  }
}

TEST(RelayBusy, ALateNeighbourGetsItAll) {
  for (const bool is_read : {true, false}) {
    Network network(3, plain());
    network.join(0, 1);
    network.route(0, "t");
    network.route(1, "t", is_read);
    const auto* message = network.publish(0, 80'000);
    Load load(network);
    load.run(milliseconds(200));
    network.join(1, 2);
    network.route(1, "t", is_read);
    network.route(2, "t");
    const auto step = [&] {
      load();
      return has(network, 2, message);
    };
    EXPECT_TRUE(network.run(seconds(5), step)) << is_read;
  }
}

TEST(RelayBusy, APublishThatNobodyTakesIsAnsweredInTime) {
  for (const bool is_read : {true, false}) {
    NetworkConfig config = plain();
    config.params.publish_hold = seconds(1);
    Network network(2, config);
    network.join(0, 1);
    network.route(0, "t");
    network.route(1, "t", is_read);
    network.publish(0, 300'000);
    Load load(network);
    load.run(milliseconds(100));
    network.publish(1, 1000, "nobody");
    load.run(seconds(2));
    EXPECT_EQ(network.nodes()[1].failed.size(), 1u) << is_read;
  }
}

TEST(RelayBusy, WhatNeverEndsIsDroppedInTime) {
  for (const bool has_unread : {false, true}) {
    NetworkConfig config = plain();
    config.params.incomplete_time = seconds(3);
    Network network(3, config);
    network.join(0, 1);
    network.join(2, 1);
    network.route(1, "t");
    network.route(1, "u", false);
    network.route(0, "u");
    Liar liar(network, 2);
    if (has_unread) network.publish(0, 300'000, "u");
    Load load(network);
    load.run(milliseconds(50));
    liar.announce(1, liar.prepare(bytes_of(300'000, 1)));
    load.run(seconds(6));
    EXPECT_EQ(count(network, 1, Counter::drop_incomplete_evicted_total), 1u) << has_unread;
  }
}

TEST(RelayBusy, WhatIsFoundWrongAfterItSettledGoesInTheEnd) {
  Network network(2, plain());
  network.join(0, 1);
  network.route(1, "t", false);
  Liar liar(network, 0);
  const PreparedMessage message = liar.prepare(bytes_of(300'000, 1));
  liar.announce(1, message);
  liar.give_all(1, message, bytes_of(300'000, 2));
  StatusFrame full;
  full.tag = message.tag;
  full.state = StatusState::full;
  liar.status(1, full);
  Load(network).run(milliseconds(20));
  EXPECT_EQ(count(network, 1, Counter::drop_digest_total), 0u);
  network.run(milliseconds(100));
  EXPECT_EQ(count(network, 1, Counter::drop_digest_total), message.header.generations);
  network.run(seconds(400));
  EXPECT_EQ(count(network, 1, Counter::gauge_messages_live), 0u);
}

/// Publisher 0 and relay 1, where nobody reads; the first coded frame came with a wrong byte, and the relay, busy so
/// far, does not know yet.
class RelayBusySpoiled : public testing::Test {
 protected:
  RelayBusySpoiled() : network_(2, plain()) {
    network_.join(0, 1);
    network_.route(0, "t");
    network_.route(1, "t", false);
    network_.tamper = [this](std::size_t from, std::size_t, Frame& frame) {
      if (from == 1 && is_cut_) frame.assign(1, 0xff);
      if (from != 0 || !is_to_spoil_ || !parse_coded(frame)) return;
      is_to_spoil_ = false;
      frame.back() ^= 1;
    };
    network_.publish(0, 300'000);
    Load(network_).run(milliseconds(300));
    EXPECT_FALSE(is_to_spoil_);
    EXPECT_EQ(count(network_, 1, Counter::drop_digest_total), 0u);
  }

  Network network_;
  bool is_to_spoil_ = true;
  bool is_cut_ = false;
};

TEST_F(RelayBusySpoiled, GoesWhenItsPublisherIsSilent) {
  network_.nodes()[0].is_dead = true;
  network_.run(milliseconds(100));
  EXPECT_EQ(count(network_, 1, Counter::drop_digest_total), 1u);
  network_.run(seconds(400));
  EXPECT_EQ(count(network_, 1, Counter::gauge_messages_live), 0u);
}

TEST_F(RelayBusySpoiled, IsAskedForAgainWhenTheFirstFeedbackIsLost) {
  is_cut_ = true;
  network_.run(milliseconds(10));
  EXPECT_EQ(count(network_, 1, Counter::drop_digest_total), 1u);
  is_cut_ = false;
  network_.run(seconds(20));
  EXPECT_EQ(count(network_, 1, Counter::messages_completed_total), 1u);
}

}  // namespace
}  // namespace corelay::dataplane::test
