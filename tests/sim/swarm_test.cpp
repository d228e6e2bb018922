// Scenarios drawn from seeds: each runs twice, the event hashes must match, and every checker must
// be content. The first line says the seed; SWARM_SEED=n runs another one, SWARM_COUNT=m that many
// from it, SWARM_ONCE=1 without the repeat.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "sim/checkers.h"
#include "sim/simulator.h"
#include "sim/swarm.h"

namespace corelay::sim {
namespace {

std::uint64_t setting(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

void run_twice(std::uint64_t seed) {
  const Scenario scenario = draw_scenario(seed);
  std::printf("%s", describe(scenario).c_str());
  std::fflush(stdout);
  const Results first = Simulator(scenario).run();
  if (setting("SWARM_ONCE", 0) == 0) {
    const Results again = Simulator(scenario).run();
    EXPECT_EQ(first.event_hash, again.event_hash) << "SEED=" << seed;
  }
  std::string findings;
  for (const std::string& one : check_all(first)) findings += "  " + one + "\n";
  EXPECT_EQ(findings, "") << "SEED=" << seed;
  std::size_t owed = 0;
  for (const MessageResult& message : first.messages) {
    owed +=
        static_cast<std::size_t>(std::count(message.is_owed.begin(), message.is_owed.end(), true));
  }
  std::printf(
      "  hash %016llx, %llu events, %zu deliveries owed, %llu datagrams, complete at %.0f ms\n",
      static_cast<unsigned long long>(first.event_hash),
      static_cast<unsigned long long>(first.events), owed,
      static_cast<unsigned long long>(first.traffic.sent),
      static_cast<double>(first.completed.ns) / 1e6);
}

TEST(Swarm, SeedsHoldAndRepeat) {
  const std::uint64_t first = setting("SWARM_SEED", 1);
  const std::uint64_t count = setting("SWARM_COUNT", std::getenv("SWARM_SEED") != nullptr ? 1 : 20);
  for (std::uint64_t seed = first; seed < first + count; ++seed) run_twice(seed);
}

}  // namespace
}  // namespace corelay::sim
