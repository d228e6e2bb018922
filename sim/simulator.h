/// The deterministic simulator: N nodes, each the daemon's own Relay and Mesh, on a modelled
/// network in virtual time. One thread, one heap of events, one random generator: the same scenario
/// gives the same events, and the same event hash.
///
/// It stands in for what the daemon does around the two: it carries control messages over
/// connections that keep order, dials, agrees session keys, gives peers their index, seals and
/// opens datagrams (Scenario::real_sessions), and releases messages. It has no protocol of its own.
///
/// Cost: a datagram is two events and one copy of at most 2 KiB.
#pragma once

#include <cstddef>
#include <memory>

#include "control/mesh/mesh.h"
#include "sim/results.h"
#include "sim/scenario.h"

namespace corelay::sim {

class Simulator {
 public:
  explicit Simulator(const Scenario& scenario);
  ~Simulator();
  Simulator(const Simulator&) = delete;
  Simulator& operator=(const Simulator&) = delete;

  /// The whole run: start; faults as the scenario says, publications meanwhile (safety); all healed
  /// until every message is everywhere it is owed or Scenario::liveness is over; then quiet until
  /// every relay has let go of everything.
  [[nodiscard]] Results run();

  /// Runs what is due up to and including `until`, for callers with phases of their own.
  void run_until(Instant until);
  /// Heals partitions, restarts dead nodes and ends every fault of the links.
  void end_faults();
  /// True when every node has every message it is owed by now.
  [[nodiscard]] bool is_complete();
  /// What has happened so far.
  [[nodiscard]] Results results();

  [[nodiscard]] Instant now() const noexcept;
  [[nodiscard]] bool is_up(std::size_t node) const noexcept;
  [[nodiscard]] const mesh::Mesh& mesh(std::size_t node) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace corelay::sim
