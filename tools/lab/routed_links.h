/// The simulator's network on a real clock: whole IP packets that leave a node come out at the other when the link
/// model lets them. Holds packets and no clock: its owner says what time it is.
///
/// Uplinks, downlinks, delays, jitter and loss are sim::Network's own, drawn from the same scenario and seed, so that
/// a lab and a simulated run differ in the nodes and in nothing else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <queue>
#include <vector>

#include "codec/bytes.h"
#include "sim/network.h"
#include "sim/topology.h"
#include "sim/under_way.h"

namespace corelay::lab {

using dataplane::Duration;
using dataplane::Instant;
using sim::NodeId;

/// What went onto the uplink of one node.
struct Sent {
  std::uint64_t bytes = 0;  // IP headers included
  std::uint64_t packets = 0;
  std::uint64_t tcp_bytes = 0;  // of them: control
};

class RoutedLinks {
 public:
  /// Called with a packet that is through the downlink of `to` since `due`.
  using Deliver = std::function<void(NodeId to, Bytes packet, Instant due)>;

  RoutedLinks(const sim::PropagationScenario& scenario, std::uint64_t seed, Deliver deliver);
  RoutedLinks(const RoutedLinks&) = delete;
  RoutedLinks& operator=(const RoutedLinks&) = delete;

  /// A packet enters the uplink of `from`. All that was due before has been delivered by advance().
  void submit(Instant now, NodeId from, NodeId to, Bytes packet, bool is_tcp);
  /// Delivers what is due, in the order of its time. Queues are entered at the time of the model, not at `now`: being
  /// late with one packet moves no other.
  void advance(Instant now);
  /// never when nothing is under way.
  [[nodiscard]] Instant next_due() const noexcept { return steps_.empty() ? dataplane::never : steps_.top().at; }

  /// Loss of the scenario, random and in bursts, on or off (on at start). Rates and delays stay.
  void set_lossy(bool is_lossy) noexcept;

  [[nodiscard]] const std::vector<Sent>& sent() const noexcept { return sent_; }
  [[nodiscard]] const sim::Network& network() const noexcept { return network_; }
  [[nodiscard]] const sim::Topology& topology() const noexcept { return topology_; }
  [[nodiscard]] std::size_t under_way() const noexcept { return steps_.size(); }

 private:
  struct Packet {
    NodeId from, to;
    bool is_through;  // the downlink; else it is on the way there
    std::vector<std::uint8_t> bytes;
  };
  struct Step {
    Instant at;
    std::uint64_t number;  // of equal times the first to be planned comes first
    std::uint32_t packet;
  };
  struct IsLater {
    bool operator()(const Step& a, const Step& b) const noexcept {
      return a.at == b.at ? a.number > b.number : b.at < a.at;
    }
  };
  void plan(Instant at, Packet packet);

  sim::PropagationScenario scenario_;
  const sim::LossPlan loss_;
  const sim::Topology topology_;
  sim::Network network_;
  Deliver deliver_;
  sim::UnderWay<Packet> packets_;
  std::priority_queue<Step, std::vector<Step>, IsLater> steps_;
  std::uint64_t planned_ = 0;
  std::vector<Sent> sent_;
};

}  // namespace corelay::lab
