// Any bytes as a scenario of the simulator: never a crash, and what is accepted holds numbers one can count with.
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "codec/bytes.h"
#include "codec/check.h"
#include "sim/propagation.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace corelay;
  const auto scenario = sim::parse_scenario(as_text({data, size}), "fuzz.toml");
  if (!scenario) {
    CHECK(!scenario.error().what.empty());
    return 0;
  }
  const auto check = [](double value) { CHECK(std::isfinite(value) && value >= 0); };
  for (const auto& one : scenario->bandwidth) {
    for (const double value : {one.share, one.up_mbps, one.down_mbps}) check(value);
  }
  const sim::LatencyPlan& latency = scenario->latency;
  for (const double value : {latency.min_ms, latency.max_ms - latency.min_ms, latency.jitter_ms}) check(value);
  for (const double value : latency.weights) check(value);
  for (const double value : latency.matrix_ms) check(value);
  CHECK(latency.matrix_ms.size() == latency.regions.size() * latency.regions.size());
  for (const double value : {scenario->loss.random, scenario->loss.burst_start, scenario->loss.burst_end,
                             scenario->silent_share, scenario->polluter_share, scenario->churn_share}) {
    CHECK(value >= 0 && value <= 1);
  }
  for (const double value :
       {scenario->queue_ms, scenario->cpu_us_per_packet, scenario->stagger_ms, scenario->spacing_ms,
        scenario->timeout_ms, scenario->evict_score, scenario->evict_half_life_ms, scenario->publisher_leaves_after,
        scenario->relay.redundancy, scenario->relay.start_mult, scenario->relay.forward_threshold}) {
    check(value);
  }
  return 0;
}
