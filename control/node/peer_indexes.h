/// The places peers have in the data plane. A place is free again only when every lane has said that nothing names it
/// any more.
#pragma once

#include <cstddef>
#include <vector>

#include "control/libp2p/identity.h"
#include "dataplane/command.h"

namespace corelay::node {

class PeerIndexes {
 public:
  PeerIndexes(std::size_t peers_max, std::size_t lanes) : lanes_(lanes), places_(peers_max) {}

  /// A free index for `peer`, or peer_none when all are taken.
  [[nodiscard]] dataplane::PeerIndex take(const libp2p::PeerId& peer);
  /// The session is over: the index is free once on_gone() has been called for every lane.
  void leave(dataplane::PeerIndex index);
  void on_gone(dataplane::PeerIndex index);

  /// Whose index it is, or was while it is leaving; null for a free one.
  [[nodiscard]] const libp2p::PeerId* peer_at(dataplane::PeerIndex index) const;
  [[nodiscard]] bool is_leaving(dataplane::PeerIndex index) const;

 private:
  struct Place {
    libp2p::PeerId peer;            // empty: free
    std::size_t lanes_to_wait = 0;  // more than none: leaving
  };
  std::size_t lanes_;
  std::vector<Place> places_;
  std::size_t next_ = 0;  // the search goes round, so that an index rests before it is used again
};

}  // namespace corelay::node
