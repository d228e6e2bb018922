#include "control/node/peer_rates.h"

#include <algorithm>

namespace corelay::node {

bool PeerRates::take(const libp2p::PeerId& peer, dataplane::Instant now) {
  if (buckets_.size() >= peers_max_ && !buckets_.contains(peer)) {
    buckets_.erase(std::min_element(buckets_.begin(), buckets_.end(), [](const auto& a, const auto& b) {
      return a.second.filled.ns < b.second.filled.ns;
    }));
  }
  Bucket& bucket = buckets_.try_emplace(peer, Bucket{per_minute_, now}).first->second;
  const double minutes = static_cast<double>((now - bucket.filled).ns) / 60e9;
  bucket.tokens = std::min(per_minute_, bucket.tokens + minutes * per_minute_);
  bucket.filled = now;
  if (bucket.tokens < 1) return false;
  bucket.tokens -= 1;
  return true;
}

}  // namespace corelay::node
