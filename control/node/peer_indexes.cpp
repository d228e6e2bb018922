#include "control/node/peer_indexes.h"

#include "codec/check.h"

namespace corelay::node {

dataplane::PeerIndex PeerIndexes::take(const libp2p::PeerId& peer) {
  for (std::size_t tried = 0; tried < places_.size(); ++tried) {
    const std::size_t index = next_;
    next_ = (next_ + 1) % places_.size();
    if (!places_[index].peer.is_empty()) continue;
    places_[index].peer = peer;
    return static_cast<dataplane::PeerIndex>(index);
  }
  return dataplane::peer_none;
}

void PeerIndexes::leave(dataplane::PeerIndex index) {
  CHECK(index < places_.size() && places_[index].lanes_to_wait == 0);
  places_[index].lanes_to_wait = lanes_;
}

void PeerIndexes::on_gone(dataplane::PeerIndex index) {
  CHECK(is_leaving(index));
  if (--places_[index].lanes_to_wait == 0) places_[index].peer = {};
}

const libp2p::PeerId* PeerIndexes::peer_at(dataplane::PeerIndex index) const {
  if (index >= places_.size() || places_[index].peer.is_empty()) return nullptr;
  return &places_[index].peer;
}

bool PeerIndexes::is_leaving(dataplane::PeerIndex index) const {
  return index < places_.size() && places_[index].lanes_to_wait != 0;
}

}  // namespace corelay::node
