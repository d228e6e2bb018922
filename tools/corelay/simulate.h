/// The verbs of `corelay sim`: propagation runs of the simulator, no node and no network needed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tools/corelay/console.h"
#include "tools/corelay/exit_code.h"

namespace corelay::tools {

struct SimulateOptions {
  std::string scenario;  // a built-in name, or a TOML file
  std::vector<std::string> routers{"corelay"};
  std::uint64_t seed_first = 1;
  std::uint64_t seed_last = 1;
  // Where set: in place of the scenario's.
  std::optional<std::size_t> nodes;
  std::optional<std::size_t> messages;
  std::optional<std::uint16_t> shards_target;
  std::optional<double> redundancy;
  std::optional<double> start_mult;
  std::optional<double> forward_threshold;
  std::string json_file;  // {"rows": [...]} goes here; empty = nowhere
  std::string svg_file;   // coverage over time; empty = nowhere
};

/// Runs one router over one or more seeds.
[[nodiscard]] ExitCode simulate(const Console& console, const SimulateOptions& options);
/// Runs several on the same network and seeds, a line each.
[[nodiscard]] ExitCode compare(const Console& console, const SimulateOptions& options);
/// Names the built-in scenarios and the routers.
[[nodiscard]] ExitCode list_scenarios(const Console& console);

}  // namespace corelay::tools
