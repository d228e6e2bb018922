/// Who a node is in a propagation run: its access link, where it stands, and who its neighbours
/// are. Drawn once from the scenario and the seed, the same for every router.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "codec/rng.h"
#include "sim/propagation.h"

namespace corelay::sim {

using NodeId = std::uint32_t;
using dataplane::Duration;
using dataplane::Instant;

/// A bound nobody beats, and who is how far: see propagation.md 2.1.
struct Bound {
  std::vector<double> ms;  // a node; 0 for the source
};

class Topology {
 public:
  Topology(const PropagationScenario& scenario, std::uint64_t seed);

  [[nodiscard]] std::size_t nodes() const noexcept { return class_of_.size(); }
  [[nodiscard]] std::span<const NodeId> neighbours(NodeId n) const noexcept {
    return {peers_.data() + first_[n], first_[n + 1] - first_[n]};
  }
  /// Where `n` stands in the neighbour list of its neighbour number `slot`.
  [[nodiscard]] std::uint16_t back_slot(NodeId n, std::size_t slot) const noexcept {
    return back_[first_[n] + slot];
  }
  [[nodiscard]] Duration delay(NodeId from, NodeId to) const noexcept;
  [[nodiscard]] double up_bytes_per_second(NodeId n) const noexcept;
  [[nodiscard]] double down_bytes_per_second(NodeId n) const noexcept;
  [[nodiscard]] std::size_t class_of(NodeId n) const noexcept { return class_of_[n]; }
  [[nodiscard]] bool is_silent(NodeId n) const noexcept { return role_[n] == 1; }
  [[nodiscard]] bool is_polluter(NodeId n) const noexcept { return role_[n] == 2; }
  [[nodiscard]] bool is_honest(NodeId n) const noexcept { return role_[n] == 0; }

  /// d(s, i) + M / min(B_s, Bd_i): the last bit leaves the source no sooner than M / B_s and
  /// travels the shortest way. Over the mesh's links, or the direct link where `is_direct`.
  [[nodiscard]] Bound bound(NodeId source, double bytes, bool is_direct) const;

 private:
  void draw_nodes(Rng& rng);
  void draw_mesh(Rng& rng);
  void draw_regular(Rng& rng);
  void draw_between(Rng& rng);
  void form_mesh(std::uint64_t seed);
  void set_links(const std::vector<std::vector<NodeId>>& lists);

  const PropagationScenario& scenario_;
  std::uint64_t delay_seed_;
  std::vector<std::uint8_t> class_of_;
  std::vector<std::uint8_t> region_of_;
  std::vector<std::uint8_t> role_;
  std::vector<std::size_t> first_;
  std::vector<NodeId> peers_;
  std::vector<std::uint16_t> back_;
  std::vector<std::vector<NodeId>> drawn_;  // while drawing
};

}  // namespace corelay::sim
