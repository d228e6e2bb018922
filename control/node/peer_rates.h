/// How often each peer may ask for something: a bucket of tokens for each, which survives its connections, so that
/// dialling anew gains nothing.
#pragma once

#include <cstddef>
#include <unordered_map>

#include "control/libp2p/identity.h"
#include "dataplane/instant.h"

namespace corelay::node {

class PeerRates {
 public:
  /// `per_minute` at a time, refilled evenly over a minute. Remembers `peers_max` peers; the one that asked least
  /// recently makes room for a new one, at the cost of a look at each.
  PeerRates(double per_minute, std::size_t peers_max) : per_minute_(per_minute), peers_max_(peers_max) {}

  /// False where the peer has asked too often.
  [[nodiscard]] bool take(const libp2p::PeerId& peer, dataplane::Instant now);
  [[nodiscard]] std::size_t peers() const noexcept { return buckets_.size(); }

 private:
  struct Bucket {
    double tokens = 0;
    dataplane::Instant filled{};
  };
  double per_minute_;
  std::size_t peers_max_;
  std::unordered_map<libp2p::PeerId, Bucket, libp2p::PeerIdHash> buckets_;
};

}  // namespace corelay::node
