/// Propagation runs: how long a message takes to a whole mesh and what it costs, for Corelay's own
/// relay and for rival protocols, all on one link model and one topology.
///
/// A scenario says what the network is and what is published; a router says which protocol runs.
/// The same scenario, router and seed give the same run, event for event.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "codec/expected.h"
#include "dataplane/instant.h"
#include "dataplane/params.h"

namespace corelay::sim {

/// A share of the nodes and their access links.
struct BandwidthClass {
  double share = 1;
  double up_mbps = 50;  // 10^6 bit/s
  double down_mbps = 50;
};

/// One-way delay between two nodes.
struct LatencyPlan {
  double min_ms = 50;  // a pair draws once from min..max, the same both ways
  double max_ms = 50;
  std::size_t steps = 0;  // where not 0: the draw is one of so many even steps
  double jitter_ms = 0;   // added anew to each datagram, order kept
  // Where there are regions, nodes are drawn into them by weight, and the matrix says the delay.
  std::vector<std::string> regions;
  std::vector<double> weights;
  std::vector<double> matrix_ms;  // regions.size() squared, row = sender
};

/// Loss of datagrams, data and feedback alike.
struct LossPlan {
  double random = 0;       // share, each by itself
  double burst_start = 0;  // Gilbert-Elliott per direction and datagram: good to bad
  double burst_end = 1;    // bad to good; the mean burst is 1 / burst_end
};

/// How polluters misbehave.
enum class Pollution : std::uint8_t { wrong_bytes, wrong_mixtures, lies_about_rank, never_forwards };

struct PropagationScenario {
  std::string name = "custom";
  std::string about;
  std::size_t nodes = 1000;
  std::size_t degree_target = 8;
  std::size_t degree_min = 8;
  std::size_t degree_max = 8;
  bool is_mesh_formed = false;  // by the product's own mesh; else drawn at random

  std::vector<BandwidthClass> bandwidth{{}};
  std::size_t publisher_class = 0;  // publishers are of this class; any where it is no class
  LatencyPlan latency;
  LossPlan loss;
  double queue_ms = 100;         // of uplinks and downlinks at their rate; the newest is dropped
  bool is_link_shaped = false;   // the rates hold for each link by itself, not for the node
  double cpu_us_per_packet = 0;  // a node takes packets one after the other, this long each

  std::size_t size_bytes = 1u << 20;
  std::size_t messages = 1;    // one after the other, the publisher rotating
  std::size_t publishers = 1;  // messages of each round, `stagger_ms` apart, by different nodes
  double stagger_ms = 50;
  double spacing_ms = 300;      // from the end of a round to the next
  double timeout_ms = 300'000;  // a round ends at the latest after so long

  double silent_share = 0;  // take what comes, acknowledge, and pass nothing on
  double polluter_share = 0;
  Pollution pollution = Pollution::wrong_bytes;
  // Blame as control keeps it: a fault is 1, and a neighbour above the score leaves the mesh.
  double evict_score = 20;
  double evict_half_life_ms = 10'000;  // of the score
  double churn_share = 0;             // of nodes that go away and come back, anew, within 10 s
  double publisher_leaves_after = 0;  // messages' worth of bytes sent; 0 = it stays

  bool is_uplink_known = true;  // router corelay: relay.rate_bytes_per_second_max says what the uplink carries
  dataplane::RelayParams relay;  // shards_target, redundancy, start_mult, ... for router corelay
};

/// What a run reports while it goes on.
struct Progress {
  double share_done = 0;  // of deliveries
  double virtual_ms = 0;
  std::uint64_t events = 0;
};
using ProgressCall = std::function<void(const Progress&)>;

/// One run of one seed. Times are from publish to decoded and verified, medians over the messages.
struct PropagationResult {
  std::string scenario;
  std::string router;
  std::uint64_t seed = 0;
  std::size_t nodes = 0;
  std::size_t size_bytes = 0;
  double t50_ms = 0, t95_ms = 0, t99_ms = 0, t100_ms = 0;  // never: NaN
  double lb50_ms = 0, lb99_ms = 0, lb100_ms = 0;           // lower bound of propagation.md, 2.1
  double ratio_lb99 = 0;                                   // t99 / lb99
  double coverage = 0;      // share of nodes owed a message that have it in the end
  double coverage_4lb = 0;  // and at 4 x LB99
  double sent_mean = 0, sent_p99 = 0, sent_max = 0, sent_publisher = 0;  // in messages
  // Shares of all bytes sent.
  double useful = 0, dependent = 0, after_full = 0, header = 0, control = 0, lost = 0;
  std::uint64_t event_hash = 0;
  std::uint64_t events = 0;
  double accounted = 0;  // bytes in the account over bytes put onto uplinks: 1
  std::uint64_t wrong_deliveries = 0;
  std::uint64_t altered_frames = 0;    // frames that polluters changed
  std::uint64_t wrong_digests = 0;     // generations or messages found wrong by their digest
  std::uint64_t malformed_frames = 0;  // frames that the relay refused to parse
  std::uint64_t evicted_polluters = 0, evicted_honest = 0;  // links cut for faults
  std::uint64_t packets = 0;                                // datagrams or segments sent
  std::uint64_t drops_up = 0, drops_down = 0;               // at full uplink and downlink queues
  double duplicates_per_node = 0;  // whole messages received again, where messages travel whole
  std::vector<double> t99s_ms;     // of each message; never: NaN
  std::vector<double> times_ms;    // every delivery of the first message, sorted
  std::vector<std::uint32_t> publishers;  // of each message
};

/// Routers by name, the product's own first.
struct RouterInfo {
  std::string_view name;
  std::string_view about;
  bool is_direct = false;  // not bound to the mesh's links, which LB99 counts
};
[[nodiscard]] std::vector<RouterInfo> routers();

/// Runs it. Errors: not_found for a router that there is not; invalid_argument for a scenario that
/// makes no sense, in words.
[[nodiscard]] Expected<PropagationResult> run_propagation(const PropagationScenario& scenario,
                                                          std::string_view router,
                                                          std::uint64_t seed,
                                                          const ProgressCall& progress = {});

/// The built-in scenarios, S1 to S9 of the suite and those that validate the baselines.
[[nodiscard]] const std::vector<PropagationScenario>& built_in_scenarios();

/// A scenario from TOML text; `where` names it in errors. An unknown field is an error that names
/// the nearest known one.
[[nodiscard]] Expected<PropagationScenario> parse_scenario(std::string_view toml,
                                                           std::string_view where);

}  // namespace corelay::sim
