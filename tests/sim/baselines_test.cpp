// The rivals against what is published about them, before anything is claimed against them. Bands
// are those of the suite; where the ideal transport is known to be kinder than the real one, the
// test says so.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <functional>
#include <map>

#include "sim/propagation.h"
#include "sim/raintree.h"

namespace corelay::sim {
namespace {

PropagationScenario built_in(std::string_view name) {
  const auto& list = built_in_scenarios();
  const auto found =
      std::find_if(list.begin(), list.end(), [&](const auto& one) { return one.name == name; });
  EXPECT_NE(found, list.end()) << name;
  return found == list.end() ? PropagationScenario{} : *found;
}

PropagationResult run(const PropagationScenario& scenario, std::string_view router) {
  const auto result = run_propagation(scenario, router, 1);
  EXPECT_TRUE(result.has_value());
  return result ? *result : PropagationResult{};
}

/// Reads and writes of each node for one broadcast by node 0 where nothing takes time.
std::map<std::size_t, std::array<int, 2>> raintree_calls(std::size_t nodes) {
  std::map<std::size_t, std::array<int, 2>> calls;
  const std::function<void(std::size_t, std::uint32_t)> spread = [&](std::size_t n,
                                                                     std::uint32_t level) {
    for (; level > 0; --level) {
      for (const std::size_t ahead : raintree_targets(nodes, level)) {
        if (ahead == 0) continue;
        const std::size_t to = (n + ahead) % nodes;
        ++calls[n][1];
        ++calls[to][0];
        spread(to, level - 1);
      }
    }
  };
  spread(0, raintree_levels(nodes));
  return calls;
}

/// Expectations of Pocket's module_raintree_test.go, {reads, writes} of validators 1, 2, ...
TEST(RainTree, does_the_reads_and_writes_of_the_published_tests) {
  const std::map<std::size_t, std::vector<std::array<int, 2>>> published{
      {2, {{0, 1}, {1, 0}}},
      {3, {{0, 2}, {1, 0}, {1, 0}}},
      {4, {{0, 3}, {2, 1}, {2, 1}, {1, 0}}},
      {9, {{0, 4}, {1, 0}, {1, 0}, {1, 2}, {1, 0}, {1, 0}, {1, 2}, {1, 0}, {1, 0}}},
      {12,
       {{1, 6},
        {3, 2},
        {2, 2},
        {2, 0},
        {2, 4},
        {3, 2},
        {2, 2},
        {2, 0},
        {2, 4},
        {3, 2},
        {2, 2},
        {2, 0}}},
      {18,
       {{1, 6},
        {1, 0},
        {2, 2},
        {1, 0},
        {2, 2},
        {1, 0},
        {2, 4},
        {1, 0},
        {2, 2},
        {1, 0},
        {2, 2},
        {1, 0},
        {2, 4},
        {1, 0},
        {2, 2},
        {1, 0},
        {2, 2},
        {1, 0}}},
      {27, {{0, 6}, {1, 0}, {1, 0}, {1, 2}, {1, 0}, {1, 0}, {1, 2}, {1, 0}, {1, 0},
            {1, 4}, {1, 0}, {1, 0}, {1, 2}, {1, 0}, {1, 0}, {1, 2}, {1, 0}, {1, 0},
            {1, 4}, {1, 0}, {1, 0}, {1, 2}, {1, 0}, {1, 0}, {1, 2}, {1, 0}, {1, 0}}},
  };
  for (const auto& [nodes, expected] : published) {
    auto calls = raintree_calls(nodes);
    for (std::size_t n = 0; n < nodes; ++n)
      EXPECT_EQ(calls[n], expected[n]) << nodes << " nodes, validator " << n + 1;
  }
}

// vac 2025, Shadow, real TCP: 0.90 s at 200 KB and 3.05 s at 600 KB. The gate is the same at both:
// published between sequential copies - 10 % and parallel copies + 35 %.
constexpr double below_sequential = 0.9;
constexpr double above_parallel = 1.35;

TEST(Baselines, gossipsub_v12_at_200_kb_lies_between_its_best_and_worst_transport) {
  const PropagationScenario scenario = built_in("S8-200KB");
  EXPECT_GT(900, run(scenario, "gossipsub-v1.2-seq").t100_ms * below_sequential);
  EXPECT_LT(900, run(scenario, "gossipsub-v1.2").t100_ms * above_parallel);
}

TEST(Baselines, gossipsub_v12_at_600_kb_misses_the_gate_by_as_much_as_is_known) {
  // A known deviation (DECISIONS.md, "Rivals get an ideal transport"): the published time is 39 %
  // above parallel copies, 4 % outside the gate, in the rival's favour. This fails where the gap
  // grows, and where it closes: then the gate itself is to be tested.
  const PropagationScenario scenario = built_in("S8-600KB");
  EXPECT_GT(3050, run(scenario, "gossipsub-v1.2-seq").t100_ms * below_sequential);
  const double above = 3050 / run(scenario, "gossipsub-v1.2").t100_ms;
  EXPECT_GT(above, above_parallel);
  EXPECT_LT(above, 1.45);
}

TEST(Baselines, large_messages_stay_below_the_published_times) {
  // 9.1 s at 1400 KB: the real network adds IWANT storms and slow starts that we grant nobody.
  EXPECT_LT(run(built_in("S8-1400KB"), "gossipsub-v1.2").t100_ms, 9100);
}

TEST(Baselines, duplicates_of_gossipsub_v12_at_200_kb) {
  EXPECT_NEAR(run(built_in("S8-200KB"), "gossipsub-v1.2").duplicates_per_node, 4.5, 4.5 * 0.15);
}

TEST(Baselines, per_link_shaping_meets_the_independent_measurement) {
  // MavenRain: 30 nodes, degree 8, 5 MB, 50 Mbit/s and 50 ms on each link: median 1954 ms.
  PropagationScenario scenario;
  scenario.nodes = 30;
  scenario.size_bytes = 5'000'000;
  scenario.is_link_shaped = true;
  EXPECT_NEAR(run(scenario, "gossipsub-v1.2").t50_ms, 1954, 1954 * 0.2);
}

TEST(Baselines, copies_of_a_small_message_in_v11) {
  // vyzo's simulator, 1000 nodes: 6.4 messages a delivery.
  PropagationScenario scenario = built_in("S1-1200B");
  scenario.size_bytes = 1000;
  scenario.messages = 1;
  const PropagationResult result = run(scenario, "gossipsub-v1.1");
  EXPECT_NEAR(static_cast<double>(result.packets) / 999, 6.4, 6.4 * 0.2);
}

TEST(Baselines, figures_of_the_first_research_simulator_are_met) {
  // 1 MiB, 1000 nodes, 50 Mbit/s, 50 ms, degree 8, by an implementation of its own.
  const PropagationScenario scenario = built_in("S1-1MiB");
  EXPECT_NEAR(run(scenario, "gossipsub-v1.1").t99_ms, 6669, 6669 * 0.05);
  EXPECT_NEAR(run(scenario, "gossipsub-v1.2-seq").t99_ms, 3079, 3079 * 0.15);
  EXPECT_NEAR(run(scenario, "oracle").t99_ms, 475, 475 * 0.05);
  EXPECT_NEAR(run(scenario, "bound").t99_ms, 418, 418 * 0.01);
}

TEST(Baselines, raintree_alone_misses_nodes_and_its_cleanup_finds_them) {
  PropagationScenario scenario = built_in("S1-1200B");
  scenario.nodes = 729;
  const PropagationResult bare = run(scenario, "raintree-bare");
  EXPECT_NEAR(bare.coverage, 0.74, 0.02);
  const PropagationResult whole = run(scenario, "raintree");
  EXPECT_EQ(whole.coverage, 1.0);
}

}  // namespace
}  // namespace corelay::sim
