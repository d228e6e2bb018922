#include "sim/topology.h"

#include <algorithm>
#include <numeric>
#include <queue>

#include "codec/check.h"
#include "sim/simulator.h"

namespace corelay::sim {
namespace {

constexpr double bytes_each_mbit = 125'000;

/// The number of the share that `draw` in [0, 1) falls into.
std::size_t pick(std::span<const double> weights, double draw) {
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  double at = draw * sum;
  for (std::size_t i = 0; i + 1 < weights.size(); ++i) {
    if (at < weights[i]) return i;
    at -= weights[i];
  }
  return weights.size() - 1;
}

bool has(const std::vector<NodeId>& list, NodeId n) {
  return std::find(list.begin(), list.end(), n) != list.end();
}

}  // namespace

Topology::Topology(const PropagationScenario& scenario, std::uint64_t seed) : scenario_(scenario) {
  Rng rng(seed ^ 0x70b01097);
  delay_seed_ = rng.next();
  draw_nodes(rng);
  if (scenario.is_mesh_formed) {
    form_mesh(seed);
  } else {
    draw_mesh(rng);
  }
}

void Topology::draw_nodes(Rng& rng) {
  const std::size_t count = scenario_.nodes;
  class_of_.resize(count);
  region_of_.resize(count);
  role_.assign(count, 0);
  std::vector<double> shares;
  for (const BandwidthClass& one : scenario_.bandwidth) shares.push_back(one.share);
  for (std::size_t n = 0; n < count; ++n) {
    class_of_[n] = static_cast<std::uint8_t>(pick(shares, rng.unit()));
    if (!scenario_.latency.regions.empty())
      region_of_[n] = static_cast<std::uint8_t>(pick(scenario_.latency.weights, rng.unit()));
  }
  // Exact shares, drawn without repetition.
  std::vector<NodeId> order(count);
  std::iota(order.begin(), order.end(), NodeId{0});
  for (std::size_t i = count; i > 1; --i) std::swap(order[i - 1], order[rng.below(i)]);
  const auto of = [&](double share) {
    return static_cast<std::size_t>(share * static_cast<double>(count) + 0.5);
  };
  const std::size_t silent = std::min(of(scenario_.silent_share), count - 1);
  const std::size_t polluters = std::min(of(scenario_.polluter_share), count - 1 - silent);
  for (std::size_t i = 0; i < silent; ++i) role_[order[i]] = 1;
  for (std::size_t i = 0; i < polluters; ++i) role_[order[silent + i]] = 2;
}

/// Every node gets degree_target neighbours: stubs paired at random, clashes swapped away.
void Topology::draw_regular(Rng& rng) {
  const std::size_t count = scenario_.nodes;
  const std::size_t degree = std::min(scenario_.degree_target, count - 1);
  std::vector<NodeId> stubs;
  for (std::size_t i = 0; i < degree; ++i) {
    for (NodeId n = 0; n < count; ++n) stubs.push_back(n);
  }
  if (stubs.size() % 2 != 0) stubs.pop_back();
  for (std::size_t i = stubs.size(); i > 1; --i) std::swap(stubs[i - 1], stubs[rng.below(i)]);
  // A pair that is a loop or there already waits until all others are in, then takes the place of
  // one.
  std::vector<std::pair<NodeId, NodeId>> pairs;
  std::vector<std::pair<NodeId, NodeId>> clashing;
  const auto link = [&](NodeId a, NodeId b) {
    drawn_[a].push_back(b);
    drawn_[b].push_back(a);
    pairs.emplace_back(a, b);
  };
  const auto unlink = [&](NodeId a, NodeId b) {
    drawn_[a].erase(std::find(drawn_[a].begin(), drawn_[a].end(), b));
    drawn_[b].erase(std::find(drawn_[b].begin(), drawn_[b].end(), a));
  };
  for (std::size_t i = 0; i < stubs.size(); i += 2) {
    const auto [a, b] = std::pair(stubs[i], stubs[i + 1]);
    if (a == b || has(drawn_[a], b)) {
      clashing.emplace_back(a, b);
    } else {
      link(a, b);
    }
  }
  for (const auto& [a, b] : clashing) {
    for (std::size_t tries = 0; tries < 10'000; ++tries) {
      const std::size_t at = rng.below(pairs.size());
      const auto [c, d] = pairs[at];
      if (a == c || b == d || a == d || b == c || has(drawn_[a], c) || has(drawn_[b], d)) continue;
      unlink(c, d);
      pairs[at] = pairs.back();
      pairs.pop_back();
      link(a, c);
      link(b, d);
      break;
    }
  }
}

/// Every node dials until it has degree_target, and is taken by those below degree_max.
void Topology::draw_between(Rng& rng) {
  const std::size_t count = scenario_.nodes;
  for (NodeId n = 0; n < count; ++n) {
    for (std::size_t tries = 0; drawn_[n].size() < scenario_.degree_target && tries < 50 * count;
         ++tries) {
      const auto other = static_cast<NodeId>(rng.below(count));
      if (other == n || drawn_[other].size() >= scenario_.degree_max || has(drawn_[n], other))
        continue;
      drawn_[n].push_back(other);
      drawn_[other].push_back(n);
    }
  }
}

void Topology::draw_mesh(Rng& rng) {
  drawn_.assign(scenario_.nodes, {});
  const bool is_full = scenario_.degree_target + 1 >= scenario_.nodes;
  if (is_full) {
    for (NodeId a = 0; a < scenario_.nodes; ++a) {
      for (NodeId b = 0; b < scenario_.nodes; ++b) {
        if (a != b) drawn_[a].push_back(b);
      }
    }
  } else if (scenario_.degree_min == scenario_.degree_max) {
    draw_regular(rng);
  } else {
    draw_between(rng);
  }
  set_links(drawn_);
  drawn_.clear();
}

/// The product's mesh forms among as many nodes, in the simulator that runs it; its links are ours.
void Topology::form_mesh(std::uint64_t seed) {
  Scenario scenario;
  scenario.seed = seed;
  scenario.nodes = scenario_.nodes;
  scenario.bootstraps = std::min<std::size_t>(4, scenario_.nodes);
  scenario.mesh.degree_target = scenario_.degree_target;
  scenario.mesh.degree_min = scenario_.degree_min;
  scenario.mesh.degree_max = scenario_.degree_max;
  scenario.mesh.connections_target = scenario_.degree_target * 2;
  scenario.relay.peers_max = 160;
  scenario.relay.messages_max = scenario.relay.large_messages_max = 2;
  scenario.relay.cells_max = scenario.relay.generations_max = 2;
  scenario.relay.seen_max = 2;
  Simulator simulator(scenario);
  simulator.run_until(Instant{} + dataplane::seconds(15));
  const Results results = simulator.results();
  std::vector<std::vector<NodeId>> lists(scenario_.nodes);
  for (NodeId n = 0; n < scenario_.nodes; ++n) {
    for (const std::size_t peer : results.mesh[n]) {
      const auto& back = results.mesh[peer];
      if (std::find(back.begin(), back.end(), n) != back.end())
        lists[n].push_back(static_cast<NodeId>(peer));
    }
  }
  set_links(lists);
}

void Topology::set_links(const std::vector<std::vector<NodeId>>& lists) {
  first_.assign(1, 0);
  for (const auto& list : lists) {
    peers_.insert(peers_.end(), list.begin(), list.end());
    first_.push_back(peers_.size());
  }
  back_.resize(peers_.size());
  for (NodeId n = 0; n < lists.size(); ++n) {
    for (std::size_t slot = 0; slot < lists[n].size(); ++slot) {
      const auto& back = lists[lists[n][slot]];
      const auto at = std::find(back.begin(), back.end(), n);
      CHECK(at != back.end());
      back_[first_[n] + slot] = static_cast<std::uint16_t>(at - back.begin());
    }
  }
}

Duration Topology::delay(NodeId from, NodeId to) const noexcept {
  const LatencyPlan& plan = scenario_.latency;
  double ms = plan.min_ms;
  if (!plan.regions.empty()) {
    ms = plan.matrix_ms[region_of_[from] * plan.regions.size() + region_of_[to]];
  } else if (plan.max_ms > plan.min_ms) {
    Rng pair(delay_seed_ ^ (std::uint64_t{std::min(from, to)} << 32) ^ std::max(from, to));
    static_cast<void>(pair.next());
    double draw = pair.unit();
    if (plan.steps > 1) {
      draw = static_cast<double>(pair.below(plan.steps)) / static_cast<double>(plan.steps - 1);
    }
    ms = plan.min_ms + draw * (plan.max_ms - plan.min_ms);
  }
  return {static_cast<std::int64_t>(ms * 1e6)};
}

double Topology::up_bytes_per_second(NodeId n) const noexcept {
  return scenario_.bandwidth[class_of_[n]].up_mbps * bytes_each_mbit;
}

double Topology::down_bytes_per_second(NodeId n) const noexcept {
  return scenario_.bandwidth[class_of_[n]].down_mbps * bytes_each_mbit;
}

Bound Topology::bound(NodeId source, double bytes, bool is_direct) const {
  std::vector<double> way(nodes(), is_direct ? 0.0 : 1e300);
  if (is_direct) {
    for (NodeId n = 0; n < nodes(); ++n)
      way[n] = n == source ? 0 : static_cast<double>(delay(source, n).ns) * 1e-6;
  } else {
    using Reached = std::pair<double, NodeId>;
    std::priority_queue<Reached, std::vector<Reached>, std::greater<>> open;
    way[source] = 0;
    open.emplace(0, source);
    while (!open.empty()) {
      const auto [at, n] = open.top();
      open.pop();
      if (at > way[n]) continue;
      for (const NodeId peer : neighbours(n)) {
        const double there = at + static_cast<double>(delay(n, peer).ns) * 1e-6;
        if (there >= way[peer]) continue;
        way[peer] = there;
        // A node that passes nothing on ends a way.
        if (is_honest(peer)) open.emplace(there, peer);
      }
    }
  }
  Bound bound;
  bound.ms.resize(nodes());
  for (NodeId n = 0; n < nodes(); ++n) {
    if (n == source) continue;
    const double rate = std::min(up_bytes_per_second(source), down_bytes_per_second(n));
    bound.ms[n] = way[n] + bytes / rate * 1e3;
  }
  return bound;
}

}  // namespace corelay::sim
