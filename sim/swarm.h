/// Scenarios drawn from a seed: which faults there are and how bad, how many nodes, what is
/// published. Options are drawn on or off before they are drawn in size, so that runs differ in
/// kind (swarm testing: Groce et al., ISSTA 2012).
#pragma once

#include <cstdint>
#include <string>

#include "sim/scenario.h"

namespace corelay::sim {

[[nodiscard]] Scenario draw_scenario(std::uint64_t seed);

/// Every drawn value, a line each.
[[nodiscard]] std::string describe(const Scenario& scenario);

}  // namespace corelay::sim
