/// What is held against a neighbour that breaks the protocol: faults add up and fade.
#pragma once

#include <cmath>

#include "dataplane/event.h"
#include "dataplane/instant.h"

namespace corelay::dataplane {

/// How much a fault says against a neighbour. Honest ones have a few of weight 1 now and then; beyond 20 they leave.
[[nodiscard]] constexpr double fault_weight(PeerFault fault) noexcept {
  if (fault == PeerFault::spoilt) return 0;
  return fault == PeerFault::polluted ? 21 : 1;
}

class Blame {
 public:
  /// Adds a fault; what was there halves in every `half_life_s`. Returns the score.
  double add(Instant now, PeerFault fault, double half_life_s) noexcept {
    const double age_s = static_cast<double>((now - at_).ns) / 1e9;
    score_ = score_ * std::exp2(-age_s / half_life_s) + fault_weight(fault);
    at_ = now;
    return score_;
  }

 private:
  double score_ = 0;
  Instant at_{};
};

}  // namespace corelay::dataplane
