// The lab's router against the simulator's link model: packets come out when and if the model says so, whole, and late
// calls change no other packet's time.
#include "tools/lab/routed_links.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <vector>

#include "tools/lab/lateness.h"

namespace corelay::lab {
namespace {

using dataplane::microseconds;
using dataplane::milliseconds;
using dataplane::seconds;

/// 1 MB/s both ways, 10 ms, 20 ms of queue: a packet of 1,000 bytes takes 1 ms on each link.
sim::PropagationScenario plain() {
  sim::PropagationScenario scenario;
  scenario.nodes = 4;
  scenario.degree_target = scenario.degree_min = scenario.degree_max = 3;
  scenario.bandwidth = {{1, 8, 8}};
  scenario.latency.min_ms = scenario.latency.max_ms = 10;
  scenario.queue_ms = 20;
  return scenario;
}

struct Arrived {
  NodeId to;
  Instant due;
  std::vector<std::uint8_t> bytes;
};

class Lab {
 public:
  explicit Lab(const sim::PropagationScenario& scenario, std::uint64_t seed = 1)
      : links(scenario, seed, [this](NodeId to, Bytes packet, Instant due) {
          arrived.push_back({to, due, {packet.begin(), packet.end()}});
        }) {}
  void send(Instant now, NodeId from, NodeId to, std::size_t bytes = 1000, std::uint8_t content = 0) {
    links.advance(now);
    links.submit(now, from, to, std::vector<std::uint8_t>(bytes, content), false);
  }
  /// Calls at every due time, as a router that is never late.
  void finish() {
    while (links.next_due() != dataplane::never) links.advance(links.next_due());
  }

  std::vector<Arrived> arrived;
  RoutedLinks links;
};

constexpr Instant start = Instant{} + seconds(100);

TEST(RoutedLinks, a_packet_is_serialised_twice_and_delayed_once) {
  Lab lab(plain());
  lab.send(start, 0, 3, 1000, 7);
  EXPECT_EQ(lab.links.under_way(), 1u);
  EXPECT_EQ(lab.links.next_due(), start + milliseconds(1 + 10)) << "at the downlink";
  lab.links.advance(start + milliseconds(11));
  EXPECT_TRUE(lab.arrived.empty());
  EXPECT_EQ(lab.links.next_due(), start + milliseconds(12));
  lab.links.advance(start + milliseconds(12));
  ASSERT_EQ(lab.arrived.size(), 1u);
  EXPECT_EQ(lab.arrived[0].to, 3u);
  EXPECT_EQ(lab.arrived[0].due, start + milliseconds(12));
  EXPECT_EQ(lab.arrived[0].bytes, std::vector<std::uint8_t>(1000, 7));
  EXPECT_EQ(lab.links.next_due(), dataplane::never);
}

TEST(RoutedLinks, senders_queue_on_their_uplink_and_receivers_share_a_downlink) {
  Lab lab(plain());
  for (const NodeId to : {1, 2}) lab.send(start, 0, static_cast<NodeId>(to));
  for (const NodeId from : {1, 2}) lab.send(start, static_cast<NodeId>(from), 3);
  lab.finish();
  std::map<NodeId, std::vector<Instant>> due;
  for (const Arrived& one : lab.arrived) due[one.to].push_back(one.due);
  EXPECT_EQ(due[1], std::vector{start + milliseconds(12)});
  EXPECT_EQ(due[2], std::vector{start + milliseconds(13)}) << "behind the other on the uplink";
  EXPECT_EQ(due[3], (std::vector{start + milliseconds(12), start + milliseconds(13)})) << "one downlink for both";
}

TEST(RoutedLinks, full_queues_drop_the_newest) {
  Lab lab(plain());
  for (int i = 0; i < 30; ++i) lab.send(start, 0, 1);
  EXPECT_EQ(lab.links.network().drops_up, 10u);
  EXPECT_EQ(lab.links.sent()[0].packets, 20u);
  EXPECT_EQ(lab.links.sent()[0].bytes, 20'000u) << "what was dropped was not sent";
  lab.finish();
  EXPECT_EQ(lab.arrived.size(), 20u);
  for (int i = 0; i < 15; ++i) {
    for (const NodeId from : {0, 1, 2}) lab.send(start + seconds(1) + milliseconds(i), static_cast<NodeId>(from), 3);
  }
  lab.finish();
  EXPECT_GT(lab.links.network().drops_down, 0u) << "three uplinks into one downlink";
  EXPECT_EQ(lab.arrived.size(), 20 + 45 - lab.links.network().drops_down);
}

TEST(RoutedLinks, a_late_router_moves_no_due_time) {
  sim::PropagationScenario scenario = plain();
  scenario.latency.jitter_ms = 5;
  scenario.loss.random = 0.1;
  const auto run = [&](Duration step) {
    Lab lab(scenario, 7);
    for (int i = 0; i < 12; ++i) lab.send(start, static_cast<NodeId>(i % 3), 3, 400 + 50 * static_cast<std::size_t>(i));
    for (Instant now = start; lab.links.next_due() != dataplane::never; now = now + step) lab.links.advance(now);
    std::vector<Instant> due;
    for (const Arrived& one : lab.arrived) due.push_back(one.due);
    return due;
  };
  const std::vector<Instant> punctual = run(microseconds(1));
  EXPECT_GT(punctual.size(), 5u);
  EXPECT_TRUE(std::is_sorted(punctual.begin(), punctual.end()));
  EXPECT_EQ(run(milliseconds(8)), punctual);
}

TEST(RoutedLinks, jitter_stays_within_its_bound_and_keeps_the_order) {
  sim::PropagationScenario scenario = plain();
  scenario.latency.jitter_ms = 6;
  Lab lab(scenario);
  for (int i = 0; i < 200; ++i) lab.send(start + milliseconds(20 * i), 0, 1, 1000, static_cast<std::uint8_t>(i));
  lab.finish();
  ASSERT_EQ(lab.arrived.size(), 200u);
  std::vector<std::int64_t> added;
  for (std::size_t i = 0; i < lab.arrived.size(); ++i) {
    EXPECT_EQ(lab.arrived[i].bytes[0], static_cast<std::uint8_t>(i));
    added.push_back((lab.arrived[i].due - start).ns - milliseconds(20 * static_cast<std::int64_t>(i) + 12).ns);
  }
  EXPECT_GE(*std::min_element(added.begin(), added.end()), 0);
  EXPECT_LE(*std::max_element(added.begin(), added.end()), milliseconds(6).ns);
  EXPECT_GT(*std::max_element(added.begin(), added.end()), milliseconds(4).ns);
}

TEST(RoutedLinks, loss_is_as_asked_random_and_in_bursts_and_can_be_switched_off) {
  for (const bool is_bursty : {false, true}) {
    SCOPED_TRACE(is_bursty);
    sim::PropagationScenario scenario = plain();
    scenario.loss.random = is_bursty ? 0 : 0.10;
    scenario.loss.burst_end = 1.0 / 8;
    scenario.loss.burst_start = is_bursty ? 0.10 / 0.90 / 8 : 0;
    Lab lab(scenario);
    for (int i = 0; i < 20'000; ++i) lab.send(start + milliseconds(2 * i), 0, 1);
    lab.finish();
    const double lost = 1 - static_cast<double>(lab.arrived.size()) / 20'000;
    EXPECT_NEAR(lost, 0.10, is_bursty ? 0.03 : 0.01);
    EXPECT_EQ(lab.links.network().drops_way, 20'000 - lab.arrived.size());
    lab.links.set_lossy(false);
    lab.arrived.clear();
    for (int i = 0; i < 2'000; ++i) lab.send(start + seconds(100) + milliseconds(2 * i), 0, 1);
    lab.finish();
    EXPECT_EQ(lab.arrived.size(), 2'000u);
    lab.links.set_lossy(true);
    for (int i = 0; i < 2'000; ++i) lab.send(start + seconds(200) + milliseconds(2 * i), 0, 1);
    lab.finish();
    EXPECT_LT(lab.arrived.size(), 4'000u);
  }
}

TEST(RoutedLinks, delays_and_graph_are_the_simulated_run_s) {
  sim::PropagationScenario scenario = plain();
  scenario.latency.min_ms = 5;
  scenario.latency.max_ms = 80;
  const Lab lab(scenario, 3);
  const sim::Topology simulated(scenario, 3);
  for (NodeId a = 0; a < 4; ++a) {
    EXPECT_TRUE(std::ranges::equal(lab.links.topology().neighbours(a), simulated.neighbours(a)));
    for (NodeId b = 0; b < 4; ++b) {
      EXPECT_EQ(lab.links.topology().delay(a, b), simulated.delay(a, b));
    }
  }
}

TEST(Lateness, quantiles_are_exact_to_the_microsecond) {
  Lateness late;
  EXPECT_EQ(late.quantile_ms(0.99), 0);
  for (int us = 1; us <= 1000; ++us) late.note(microseconds(us));
  EXPECT_EQ(late.count(), 1000u);
  EXPECT_DOUBLE_EQ(late.quantile_ms(0.5), 0.5);
  EXPECT_DOUBLE_EQ(late.quantile_ms(0.99), 0.99);
  EXPECT_DOUBLE_EQ(late.max_ms(), 1);
  late.note(seconds(3));
  EXPECT_DOUBLE_EQ(late.max_ms(), 3000);
  late.note(Duration{-5});  // early: on time
  EXPECT_EQ(late.count(), 1002u);
  late.reset();
  EXPECT_EQ(late.count(), 0u);
}

}  // namespace
}  // namespace corelay::lab
