// lab: the parts of `tools/bench lab` that are not Python. It needs no settings of its own: a scenario and a seed say
// everything, to the simulator and to the router alike.
//
//   lab plan  SCENARIO [--seed N] [--messages N]     runs the scenario in the simulator; prints who is whose neighbour,
//                                                    who publishes, the uplinks' rates and the simulator's figures
//   lab route SCENARIO [--seed N] --netns PREFIX     is the network of the scenario's nodes, whose namespaces are
//                                                    PREFIX1, PREFIX2, ...; commands on standard input (router.h)
//
// SCENARIO is a name that `corelay sim list` shows, or a file like sim/scenario.toml.
#include <sched.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "sim/propagation.h"
#include "sim/topology.h"
#include "tools/lab/awake.h"
#include "tools/lab/router.h"

namespace corelay::lab {
namespace {

constexpr double uplink_share = 0.98;  // of an uplink, as in the simulator's router: the rest is control's

struct Options {
  std::string scenario;
  std::uint64_t seed = 1;
  std::size_t messages = 0;  // 0: the scenario's
  std::string netns = "/run/netns/node";
};

Expected<sim::PropagationScenario> scenario_of(const Options& options) {
  for (const sim::PropagationScenario& one : sim::built_in_scenarios()) {
    if (one.name == options.scenario) return one;
  }
  std::ifstream file(options.scenario);
  std::stringstream text;
  text << file.rdbuf();
  if (!file) return fail(ErrorCode::not_found, options.scenario, "neither a built-in scenario nor a file");
  return sim::parse_scenario(text.str(), options.scenario);
}

nlohmann::ordered_json number(double value) {
  if (std::isnan(value)) return nullptr;
  return value;
}

Expected<void> plan(const Options& options, sim::PropagationScenario scenario) {
  if (options.messages != 0) scenario.messages = options.messages;
  const auto result = sim::run_propagation(scenario, "corelay", options.seed, {});
  if (!result) return tl::make_unexpected(result.error());
  const sim::Topology topology(scenario, options.seed);
  nlohmann::ordered_json found;
  found["name"] = scenario.name;
  found["size_bytes"] = scenario.size_bytes;
  found["spacing_ms"] = scenario.spacing_ms;
  found["timeout_ms"] = scenario.timeout_ms;
  found["is_lossy"] = scenario.loss.random > 0 || scenario.loss.burst_start > 0;
  found["publishers"] = result->publishers;
  for (NodeId n = 0; n < scenario.nodes; ++n) {
    const auto peers = topology.neighbours(n);
    nlohmann::ordered_json node;
    node["neighbours"] = std::vector<NodeId>(peers.begin(), peers.end());
    node["rate_bytes_per_second"] =
        scenario.is_uplink_known ? static_cast<std::uint64_t>(uplink_share * topology.up_bytes_per_second(n)) : 0;
    found["nodes"].push_back(std::move(node));
  }
  found["relay"] = {{"path_mtu_bytes", scenario.relay.path_mtu_bytes}, {"redundancy", scenario.relay.redundancy}};
  found["simulated"] = {{"t50_ms", number(result->t50_ms)},    {"t99_ms", number(result->t99_ms)},
                        {"lb99_ms", number(result->lb99_ms)},  {"coverage", result->coverage},
                        {"sent_mean", result->sent_mean},      {"dependent", result->dependent},
                        {"after_full", result->after_full},    {"control", result->control}};
  std::printf("%s\n", found.dump().c_str());
  return {};
}

/// Ahead of everything else on this machine, the nodes' lcores (bench/lab/nodes.py) too: a packet is due when it is
/// due. Where that is not permitted the router's own figures tell whether it mattered.
void go_first() {
  sched_param first{};
  first.sched_priority = 3;
  if (::sched_setscheduler(0, SCHED_FIFO, &first) != 0) static_cast<void>(::setpriority(PRIO_PROCESS, 0, -20));
}

Expected<void> route(const Options& options, const sim::PropagationScenario& scenario) {
  if (scenario.nodes > 200) return fail(ErrorCode::too_large, "lab route", "200 nodes at most: one address each");
  std::vector<Descriptor> devices;
  for (std::size_t n = 1; n <= scenario.nodes; ++n) {
    auto device = open_tun(options.netns + std::to_string(n), "mesh0");
    if (!device) return tl::make_unexpected(device.error());
    devices.push_back(std::move(*device));
  }
  const Awake awake;
  go_first();
  Router router(scenario, options.seed, std::move(devices));
  std::puts(R"({"ready": true})");
  std::fflush(stdout);
  return router.run();
}

int run(int argc, char** argv) {
  Options options;
  CLI::App app("The lab's network and its plan: see tools/bench lab.");
  app.require_subcommand(1);
  CLI::App* const planning = app.add_subcommand("plan", "Run a scenario in the simulator and say what it consists of");
  CLI::App* const routing = app.add_subcommand("route", "Be the network of a scenario's nodes");
  for (CLI::App* const verb : {planning, routing}) {
    verb->add_option("scenario", options.scenario, "Name or TOML file")->required();
    verb->add_option("--seed", options.seed, "Of topology, delays and loss");
  }
  planning->add_option("--messages", options.messages, "In place of the scenario's");
  routing->add_option("--netns", options.netns, "Path of a node's namespace, without its number");
  CLI11_PARSE(app, argc, argv);
  const auto scenario = scenario_of(options);
  const Expected<void> done = !scenario                ? tl::make_unexpected(scenario.error())
                              : planning->parsed() ? plan(options, *scenario)
                                                   : route(options, *scenario);
  if (done) return 0;
  std::fprintf(stderr, "lab: %s\n", done.error().describe().c_str());
  return 1;
}

}  // namespace
}  // namespace corelay::lab

int main(int argc, char** argv) { return corelay::lab::run(argc, argv); }
