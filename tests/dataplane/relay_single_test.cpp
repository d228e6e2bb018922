/// Messages that travel whole: who gets a copy at once, who a notice, and that nobody is left without.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/dataplane/relay_network.h"

namespace corelay::dataplane::test {
namespace {

constexpr std::size_t nodes = 64;
constexpr std::size_t degree = 8;

/// A mesh without symmetry: each node is joined with four that come after it, at steps that do not repeat.
void join_mesh(Network& network) {
  for (std::size_t i = 0; i < nodes; ++i) {
    for (const std::size_t step : {1u, 7u, 19u, 28u}) network.join(i, (i + step) % nodes);
  }
  network.route_all("t");
}

std::uint64_t total(Network& network, Counter which) {
  std::uint64_t sum = 0;
  for (const auto& node : network.nodes()) sum += node.counters->value(which);
  return sum;
}

TEST(RelaySingle, MostCopiesAreSparedOnceRelaysKnowWhatTheyAreWorth) {
  NetworkConfig config;
  config.delay = milliseconds(20);
  Network network(nodes, config);
  join_mesh(network);
  constexpr std::size_t rounds = 30;
  constexpr std::size_t learning = 10;
  std::uint64_t before = 0;
  for (std::size_t round = 0; round < rounds; ++round) {
    if (round == learning) before = total(network, Counter::tx_single_total);
    const std::size_t from = round * 13 % nodes;
    const auto* message = network.publish(from, 1000);
    EXPECT_TRUE(network.run(seconds(1), [&] { return network.has_all(message, from); })) << round;
    network.run(milliseconds(300));
  }
  const auto copies = static_cast<double>(total(network, Counter::tx_single_total) - before);
  const double each = copies / static_cast<double>(nodes * (rounds - learning));
  std::printf("%.2f copies sent a node\n", each);
  EXPECT_LT(each, 0.55 * (degree - 1));  // a flood sends degree - 1
  EXPECT_EQ(total(network, Counter::drop_malformed_frame_total), 0u);
}

TEST(RelaySingle, EverybodyGetsEverythingUnderLoss) {
  for (const std::uint64_t seed : {1u, 2u, 3u}) {
    NetworkConfig config;
    config.delay = milliseconds(5);
    config.loss = 0.2;
    config.seed = seed;
    Network network(nodes, config);
    join_mesh(network);
    for (std::size_t round = 0; round < 20; ++round) {
      const std::size_t from = round * 13 % nodes;
      const auto* message = network.publish(from, 1200);
      EXPECT_TRUE(network.run(seconds(5), [&] { return network.has_all(message, from); })) << seed << ' ' << round;
    }
  }
}

TEST(RelaySingle, WhoWasPutOffAndSaysNothingGetsACopy) {
  NetworkConfig config;
  config.delay = milliseconds(10);
  Network network(4, config);  // 0 publishes, 1 relays; 2 has it from 0 too, 3 hears of it from 1 alone
  network.join(0, 1);
  network.join(0, 2);
  network.join(1, 2);
  network.route_all("t");
  for (std::size_t round = 0; round < 30; ++round) {
    network.publish(0, 500);
    network.run(milliseconds(200));
  }
  // By now relay 1 has seen that copies of relays one hop out are never the first: most neighbours are put off.
  network.join(1, 3);
  network.route_all("t");
  const std::uint64_t before = network.nodes()[1].counters->value(Counter::tx_single_total);
  for (std::size_t round = 0; round < 20; ++round) {
    const auto* message = network.publish(0, 500);
    EXPECT_TRUE(network.run(milliseconds(200), [&] { return network.has_all(message, 0); })) << round;
    network.run(milliseconds(200));
  }
  const std::uint64_t copies = network.nodes()[1].counters->value(Counter::tx_single_total) - before;
  EXPECT_GE(copies, 20u);  // each time one to 3
  EXPECT_LE(copies, 35u);  // and only now and then one to 2
}

TEST(RelaySingle, FitsWhatTheGossipScenariosCallSmall) {
  const Geometry geometry = choose_geometry(1200, 20, {});
  EXPECT_EQ(geometry.k, 1);
  EXPECT_EQ(geometry.generations, 1);
}

}  // namespace
}  // namespace corelay::dataplane::test
