/// The door: real lcores on their own threads, over loopback, on each backend.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

#include "dataplane/core/header.h"
#include "dataplane/dataplane.h"
#include "dataplane/io/uring_io.h"
#include "tests/dataplane/lcore_fixture.h"

namespace corelay::dataplane {
namespace {

constexpr const char* topic = "blocks";
constexpr auto patience = std::chrono::seconds(60);

struct DoorCase {
  BackendChoice backend = BackendChoice::automatic;
  IdleMode idle = IdleMode::polite;
  double loss = 0;
};

class DataplaneTest : public testing::TestWithParam<DoorCase> {
 protected:
  void SetUp() override {
    if (GetParam().backend != BackendChoice::uring) return;
    if (const auto probed = probe_uring(); !probed) GTEST_SKIP() << probed.error().describe();
  }

  static DataplaneConfig config(std::uint16_t lanes = 1, std::uint16_t port = 0) {
    DataplaneConfig c;
    c.relay = small_params();
    c.relay.wire.lanes = lanes;
    c.bind_address = "127.0.0.1";
    c.port = port;
    c.backend = GetParam().backend;
    c.idle = GetParam().idle;
    c.test_loss = GetParam().loss;
    c.pin_lcores = false;  // several lcores share this machine's cores
    return c;
  }

  static std::unique_ptr<Dataplane> start(const DataplaneConfig& c) {
    auto started = Dataplane::start(c, nullptr);
    EXPECT_TRUE(started) << started.error().describe();
    return started ? std::move(*started) : nullptr;
  }

  static void join(Dataplane& a, PeerIndex b_index, Dataplane& b, PeerIndex a_index, std::uint64_t seed) {
    const auto [at_a, at_b] = session_pair(seed);
    ASSERT_TRUE(a.command_all(PeerUp{b_index, loopback(b.lcores()[0].port), at_a, 1400}));
    ASSERT_TRUE(b.command_all(PeerUp{a_index, loopback(a.lcores()[0].port), at_b, 1400}));
  }

  /// Polls all of `planes` until `done`; delivered payloads are noted and released.
  template <class Done>
  bool poll_until(std::vector<Dataplane*> planes, Done done) {
    const auto end = std::chrono::steady_clock::now() + patience;
    while (!done()) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::size_t events = 0;
      for (Dataplane* const plane : planes) {
        events += plane->poll_events(64, [&](std::size_t, const Event& event) { note(*plane, event); });
      }
      if (events == 0) std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    return true;
  }

  void note(Dataplane& plane, const Event& event) {
    if (const auto* const d = std::get_if<Delivered>(&event)) {
      std::vector<std::uint8_t> bytes(d->message.header->size_bytes);
      copy_payload(d->message, bytes);
      delivered_[&plane].push_back(std::move(bytes));
      EXPECT_TRUE(plane.command_lane(d->message.tag, Release{d->message.handle}));
    } else if (const auto* const p = std::get_if<Published>(&event)) {
      published_.insert(p->message);
    } else if (const auto* const f = std::get_if<PublishFailed>(&event)) {
      ++failed_;
      static_cast<void>(f);
    }
  }

  std::map<Dataplane*, std::vector<std::vector<std::uint8_t>>> delivered_;
  std::set<const PreparedMessage*> published_;
  int failed_ = 0;
  TestPublisher publisher_;
};

TEST_P(DataplaneTest, MessagesOfEverySizeGoThroughARelay) {
  const auto a = start(config());
  const auto b = start(config());
  const auto c = start(config());
  ASSERT_TRUE(a && b && c);
  join(*a, 1, *b, 0, 1);
  join(*b, 2, *c, 1, 2);
  ASSERT_TRUE(a->command_all(route_to(topic_hash(topic), {1}, false)));
  ASSERT_TRUE(b->command_all(route_to(topic_hash(topic), {0, 2}, true)));
  ASSERT_TRUE(c->command_all(route_to(topic_hash(topic), {1}, true)));
  std::size_t count = 0;
  for (const std::size_t size : {0U, 1'000U, 20'000U, 1'000'000U}) {
    const auto payload = random_payload(size, size + 1);
    const auto message = publisher_.prepare(payload, topic, small_params());
    ASSERT_TRUE(a->command_lane(message->tag, Publish{message.get()}));
    ++count;
    ASSERT_TRUE(poll_until({a.get(), b.get(), c.get()}, [&] {
      return delivered_[b.get()].size() == count && delivered_[c.get()].size() == count &&
             published_.contains(message.get());
    })) << size;
    published_.clear();  // the next message may lie at the same address
    EXPECT_EQ(delivered_[b.get()].back(), payload);
    EXPECT_EQ(delivered_[c.get()].back(), payload);
  }
  EXPECT_EQ(failed_, 0);
  EXPECT_GT(b->counters(0).value(Counter::rx_frames_total), 0U);
}

TEST_P(DataplaneTest, StopsInTheMiddleOfATransfer) {
  auto a = start(config());
  auto b = start(config());
  ASSERT_TRUE(a && b);
  join(*a, 1, *b, 0, 1);
  ASSERT_TRUE(a->command_all(route_to(topic_hash(topic), {1}, false)));
  ASSERT_TRUE(b->command_all(route_to(topic_hash(topic), {0}, true)));
  const auto message = publisher_.prepare(random_payload(2'000'000, 5), topic, small_params());
  ASSERT_TRUE(a->command_lane(message->tag, Publish{message.get()}));
  ASSERT_TRUE(poll_until({b.get()}, [&] { return b->counters(0).value(Counter::rx_frames_total) > 20; }));
  b.reset();
  a.reset();
}

TEST_P(DataplaneTest, SaysWhatWasStarted) {
  const auto plane = start(config());
  ASSERT_TRUE(plane);
  ASSERT_EQ(plane->lcores().size(), 1U);
  EXPECT_NE(plane->lcores()[0].port, 0);
  const std::string wanted = GetParam().backend == BackendChoice::socket ? "socket" : "uring";
  EXPECT_EQ(plane->lcores()[0].backend.substr(0, wanted.size()), wanted);
  EXPECT_EQ(plane->lcores()[0].cpu, -1);
}

INSTANTIATE_TEST_SUITE_P(
    Backends, DataplaneTest,
    testing::Values(DoorCase{BackendChoice::socket, IdleMode::polite, 0},
                    DoorCase{BackendChoice::uring, IdleMode::polite, 0},
                    DoorCase{BackendChoice::socket, IdleMode::spin, 0},
                    DoorCase{BackendChoice::socket, IdleMode::polite, 0.1},
                    DoorCase{BackendChoice::uring, IdleMode::polite, 0.1}),
    [](const testing::TestParamInfo<DoorCase>& tested) {
      const DoorCase& c = tested.param;
      return std::string(c.backend == BackendChoice::socket ? "socket" : "uring") +
             (c.idle == IdleMode::spin ? "_spin" : "_polite") + (c.loss > 0 ? "_lossy" : "");
    });

DataplaneConfig plain_config() {
  DataplaneConfig c;
  c.relay = small_params();
  c.bind_address = "127.0.0.1";
  c.port = 0;
  return c;
}

/// The first of `lanes` ports in a row that are free now.
std::uint16_t free_ports(std::uint16_t lanes) {
  for (std::uint16_t port = 21'000; port < 30'000; port = static_cast<std::uint16_t>(port + lanes)) {
    bool is_free = true;
    for (std::uint16_t i = 0; i < lanes && is_free; ++i) {
      DataplaneConfig c = plain_config();
      c.backend = BackendChoice::socket;
      c.port = static_cast<std::uint16_t>(port + i);
      is_free = Dataplane::start(c, nullptr).has_value();
    }
    if (is_free) return port;
  }
  return 0;
}

TEST(Dataplane, EachLaneHasAPortAndItsMessages) {
  TestPublisher publisher;
  DataplaneConfig c = plain_config();
  c.relay.wire.lanes = 2;
  c.port = free_ports(2);
  auto a = Dataplane::start(c, nullptr);
  c.port = free_ports(2);
  auto b = Dataplane::start(c, nullptr);
  ASSERT_TRUE(a && b);
  ASSERT_EQ((*a)->lcores().size(), 2U);
  EXPECT_EQ((*a)->lcores()[0].port + 1, (*a)->lcores()[1].port);
  const auto [at_a, at_b] = session_pair(3);
  ASSERT_TRUE((*a)->command_all(PeerUp{0, loopback((*b)->lcores()[0].port), at_a, 1400}));
  ASSERT_TRUE((*b)->command_all(PeerUp{0, loopback((*a)->lcores()[0].port), at_b, 1400}));
  ASSERT_TRUE((*a)->command_all(route_to(topic_hash(topic), {0}, false)));
  ASSERT_TRUE((*b)->command_all(route_to(topic_hash(topic), {0}, true)));
  std::vector<std::unique_ptr<PreparedMessage>> messages;
  std::array<std::size_t, 2> expected{};
  for (std::uint64_t i = 0; i < 24; ++i) {
    messages.push_back(publisher.prepare(random_payload(100 + i * 500, i), topic, c.relay));
    ++expected[messages.back()->tag[0] % 2];
    ASSERT_TRUE((*a)->command_lane(messages.back()->tag, Publish{messages.back().get()}));
  }
  std::array<std::size_t, 2> got{};
  std::size_t published = 0;
  const auto end = std::chrono::steady_clock::now() + patience;
  while ((got[0] + got[1] < 24 || published < 24) && std::chrono::steady_clock::now() < end) {
    (*b)->poll_events(16, [&](std::size_t lane, const Event& event) {
      if (const auto* const d = std::get_if<Delivered>(&event)) {
        ++got[lane];
        EXPECT_EQ(d->message.tag[0] % 2, lane);
        EXPECT_TRUE((*b)->command_lane(d->message.tag, Release{d->message.handle}));
      }
    });
    (*a)->poll_events(16, [&](std::size_t, const Event& event) {
      published += std::holds_alternative<Published>(event);
    });
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  EXPECT_EQ(got, expected);
  EXPECT_EQ(published, 24U);
}

TEST(Dataplane, WakesControlOnceUntilItPolls) {
  std::atomic<int> calls{0};
  auto plane = Dataplane::start(plain_config(), [&] { ++calls; });
  ASSERT_TRUE(plane);
  const auto wait_for_calls = [&](int wanted) {
    const auto end = std::chrono::steady_clock::now() + patience;
    while (calls < wanted && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    return calls.load();
  };
  for (PeerIndex peer = 0; peer < 5; ++peer) ASSERT_TRUE((*plane)->command_all(PeerDown{peer}));
  EXPECT_EQ(wait_for_calls(1), 1);
  std::size_t taken = 0;
  const auto end = std::chrono::steady_clock::now() + patience;
  while (taken < 5 && std::chrono::steady_clock::now() < end) {
    taken += (*plane)->poll_events(1, [](std::size_t, const Event& event) {
      EXPECT_TRUE(std::holds_alternative<PeerGone>(event));
    });
  }
  EXPECT_EQ(taken, 5U);
  // Drained: the next event wakes again, and five more without a poll wake only once.
  while ((*plane)->poll_events(16, [](std::size_t, const Event&) {}) != 0) {
  }
  const int before = calls;
  for (PeerIndex peer = 0; peer < 5; ++peer) ASSERT_TRUE((*plane)->command_all(PeerDown{peer}));
  EXPECT_EQ(wait_for_calls(before + 1), before + 1);
  while ((*plane)->counters(0).value(Counter::cycles_busy_total) == 0) std::this_thread::yield();
  EXPECT_EQ(calls, before + 1);
}

TEST(Dataplane, NoLaneKeepsTheOthersWaiting) {
  DataplaneConfig c = plain_config();
  c.relay.wire.lanes = 2;
  c.port = free_ports(2);
  auto plane = Dataplane::start(c, nullptr);
  ASSERT_TRUE(plane);
  constexpr int events_each = 40;
  for (int i = 0; i < events_each; ++i) ASSERT_TRUE((*plane)->command_all(PeerDown{0}));
  // Each lane leaves a busy cycle's trace for every command it took; then all of its events are in its ring.
  const auto is_quiet = [&] {
    const auto busy = [&] {
      return std::pair((*plane)->counters(0).value(Counter::cycles_busy_total),
                       (*plane)->counters(1).value(Counter::cycles_busy_total));
    };
    const auto before = busy();
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    return before.first != 0 && before.second != 0 && before == busy();
  };
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!is_quiet() && std::chrono::steady_clock::now() < end) {
  }
  std::array<int, 2> got{};
  for (int poll = 0; poll < 2 * events_each; ++poll) {
    (*plane)->poll_events(1, [&](std::size_t lane, const Event&) { ++got[lane]; });
    EXPECT_LE(std::abs(got[0] - got[1]), 1) << poll;
  }
  EXPECT_EQ(got[0], events_each);
  EXPECT_EQ(got[1], events_each);
  for (int i = 0; i < events_each; ++i) ASSERT_TRUE((*plane)->command_all(PeerDown{0}));
  while (!is_quiet() && std::chrono::steady_clock::now() < end) {
  }
  got = {};
  EXPECT_EQ((*plane)->poll_events(10, [&](std::size_t lane, const Event&) { ++got[lane]; }), 10U);
  EXPECT_EQ(got[0], 5);
  EXPECT_EQ(got[1], 5);
}

TEST(Dataplane, RefusesWhatItCannotStart) {
  DataplaneConfig c = plain_config();
  c.relay.wire.lanes = 2;
  EXPECT_EQ(Dataplane::start(c, nullptr).error().code, ErrorCode::invalid_argument);  // port 0, two lanes
  c.relay.wire.lanes = 0;
  EXPECT_EQ(Dataplane::start(c, nullptr).error().code, ErrorCode::invalid_argument);
  c.relay.wire.lanes = 200;
  c.port = 7070;
  EXPECT_EQ(Dataplane::start(c, nullptr).error().code, ErrorCode::invalid_argument);
  c = plain_config();
  c.bind_address = "not an address";
  EXPECT_EQ(Dataplane::start(c, nullptr).error().code, ErrorCode::invalid_argument);
  c = plain_config();
  const auto first = Dataplane::start(c, nullptr);
  ASSERT_TRUE(first);
  c.port = (*first)->lcores()[0].port;
  const auto second = Dataplane::start(c, nullptr);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::unavailable);
}

TEST(Dataplane, ACommandGoesToEveryLaneOrToNone) {
  DataplaneConfig c = plain_config();
  c.command_ring_depth = 8;
  auto plane = Dataplane::start(c, nullptr);
  ASSERT_TRUE(plane);
  std::size_t taken = 0;
  for (int i = 0; i < 10'000; ++i) taken += (*plane)->command_all(RouteClear{1}) ? 1 : 0;
  EXPECT_GE(taken, 8U);  // refusals are answers, not losses: the caller tries again
}

}  // namespace
}  // namespace corelay::dataplane
