// The simulator on scenarios whose outcome is known, and each checker on a run with the fault it
// must find.
#include "sim/simulator.h"

#include <gtest/gtest.h>

#include <cstdio>

#include "sim/checkers.h"

namespace corelay::sim {
namespace {

using dataplane::milliseconds;
using dataplane::seconds;

Scenario small(std::uint64_t seed) {
  Scenario scenario;
  scenario.seed = seed;
  scenario.faults_from = Instant{} + seconds(1);
  scenario.faults_until = Instant{} + seconds(2);
  scenario.relay.keep_time = scenario.relay.incomplete_time = seconds(5);
  for (std::size_t i = 0; i < 8; ++i) {
    scenario.publications.push_back(
        {Instant{} + milliseconds(1000 + static_cast<std::int64_t>(i) * 60), i % 4,
         700 * (i * i + 1)});
  }
  return scenario;
}

std::string joined(const Findings& findings) {
  std::string text;
  for (const std::string& one : findings) text += one + "\n";
  return text;
}

TEST(Simulator, FourHealthyNodesGetEverything) {
  Simulator simulator(small(1));
  const Results results = simulator.run();
  EXPECT_EQ(joined(check_all(results)), "");
  EXPECT_EQ(results.arrivals.size(), 8u * 3u);
  EXPECT_NE(results.completed, dataplane::never);
}

TEST(Simulator, ARealSessionCarriesTheSameFrames) {
  Scenario scenario = small(2);
  const Results bare = Simulator(scenario).run();
  scenario.real_sessions = true;
  const Results sealed = Simulator(scenario).run();
  EXPECT_EQ(joined(check_all(sealed)), "");
  EXPECT_EQ(bare.completed, sealed.completed) << "overhead is counted the same way";
  EXPECT_EQ(bare.traffic.sent, sealed.traffic.sent);
  EXPECT_EQ(bare.bytes_sent, sealed.bytes_sent);
}

TEST(Simulator, TheSameScenarioGivesTheSameHashAndAnotherSeedAnother) {
  const Results first = Simulator(small(3)).run();
  const Results again = Simulator(small(3)).run();
  EXPECT_EQ(first.event_hash, again.event_hash);
  EXPECT_EQ(first.events, again.events);
  EXPECT_NE(first.event_hash, Simulator(small(4)).run().event_hash);
}

TEST(Simulator, AMessagePublishedBeforeAnyPeerIsHeldAndSent) {
  Scenario scenario = small(5);
  scenario.start_spread = {};
  scenario.publications = {{Instant{} + milliseconds(1), 1, 900},
                           {Instant{} + milliseconds(1), 2, 50'000}};
  const Results results = Simulator(scenario).run();
  EXPECT_EQ(joined(check_all(results)), "");
  EXPECT_EQ(results.arrivals.size(), 2u * 3u);
  for (const MessageResult& message : results.messages)
    EXPECT_EQ(message.outcome, Outcome::published);
}

TEST(Simulator, EveryDatagramMeetsTheFaultItWasGiven) {
  Scenario scenario = small(6);
  scenario.real_sessions = true;
  scenario.link.loss = 0.1;
  scenario.link.burst_start = 0.01;
  scenario.link.reorder = scenario.link.duplicate = scenario.link.corrupt = 0.05;
  scenario.partitions.push_back(
      {Instant{} + milliseconds(1300), Instant{} + milliseconds(1900), {false, false, true, true}});
  const Results results = Simulator(scenario).run();
  EXPECT_EQ(joined(check_all(results)), "");
  EXPECT_GT(results.traffic.lost, 0u);
  EXPECT_GT(results.traffic.lost_in_burst, 0u);
  EXPECT_GT(results.traffic.lost_in_partition, 0u);
  EXPECT_GT(results.traffic.replayed, 0u);
  EXPECT_GT(results.traffic.unauthentic, 0u);
  EXPECT_EQ(results.arrivals.size(), 8u * 3u);
}

TEST(Simulator, ADeadNodeComesBackAndTakesPart) {
  Scenario scenario = small(7);
  scenario.crashes = {{3, Instant{} + milliseconds(1100), Instant{} + milliseconds(1200)},
                      {0, Instant{} + milliseconds(1150), dataplane::never}};
  scenario.publications.push_back({Instant{} + milliseconds(3500), 3, 60'000});
  scenario.faults_until = Instant{} + milliseconds(2500);
  const Results results = Simulator(scenario).run();
  EXPECT_EQ(joined(check_all(results)), "");
  EXPECT_EQ(results.lives.size(), 6u);
  EXPECT_EQ(results.messages.back().outcome, Outcome::published);
  for (std::size_t n = 0; n < 3; ++n)
    EXPECT_NE(results.messages.back().delivered_at[n], dataplane::never) << n;
}

TEST(Checkers, WrongBytesAreFound) {
  Scenario scenario = small(8);
  scenario.planted = Planted::wrong_byte;
  EXPECT_EQ(check_bytes(Simulator(scenario).run()).size(), 1u);
}

TEST(Checkers, ASecondDeliveryIsFound) {
  Scenario scenario = small(8);
  scenario.planted = Planted::second_delivery;
  EXPECT_EQ(check_exactly_once(Simulator(scenario).run()).size(), 1u);
}

TEST(Checkers, ALostDeliveryIsFound) {
  Scenario scenario = small(8);
  scenario.planted = Planted::lost_delivery;
  const Results results = Simulator(scenario).run();
  EXPECT_EQ(check_liveness(results).size(), 1u);
  EXPECT_FALSE(check_drops(results).empty());
}

TEST(Checkers, AMessageNeverReleasedIsFound) {
  Scenario scenario = small(8);
  scenario.planted = Planted::forgotten_release;
  EXPECT_FALSE(check_buffers(Simulator(scenario).run()).empty());
}

TEST(Checkers, AnUncountedLossIsFound) {
  Scenario scenario = small(8);
  scenario.planted = Planted::uncounted_loss;
  EXPECT_EQ(check_drops(Simulator(scenario).run()).size(), 1u);
}

TEST(Checkers, ANodeThatHearsNothingIsFound) {
  Scenario scenario = small(8);
  scenario.planted = Planted::deaf_node;
  EXPECT_FALSE(check_liveness(Simulator(scenario).run()).empty());
}

TEST(Checkers, AOneSidedMeshIsFound) {
  Scenario scenario = small(8);
  scenario.planted = Planted::ghost_graft;
  EXPECT_FALSE(check_mesh(Simulator(scenario).run()).empty());
}

}  // namespace
}  // namespace corelay::sim
