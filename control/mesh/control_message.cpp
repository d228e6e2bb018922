#include "control/mesh/control_message.h"

#include <algorithm>

#include "control/mesh/address_book.h"
#include "dataplane/message.h"

namespace corelay::mesh {

namespace {

bool is_known_peer(const KnownPeer& peer) {
  return is_peer_name(peer.peer()) &&
         static_cast<std::size_t>(peer.addresses_size()) <= addresses_per_peer_max &&
         std::all_of(peer.addresses().begin(), peer.addresses().end(), is_address);
}

}  // namespace

bool is_topic(const std::string& topic) noexcept {
  return !topic.empty() && topic.size() <= dataplane::topic_bytes_max;
}

std::optional<MeshControl> parse_control(Bytes bytes, const MeshParams& params) {
  MeshControl control;
  if (bytes.size() > control_bytes_max) return std::nullopt;
  if (!control.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return std::nullopt;
  const auto over = [](int size, std::size_t bound) {
    return static_cast<std::size_t>(size) > bound;
  };
  // A peer may leave every topic and take as many new ones in one message.
  if (over(control.subscriptions_size(), 2 * params.topics_max) ||
      over(control.graft_size(), params.topics_max) ||
      over(control.urgent_graft_size(), params.topics_max) ||
      over(control.prune_size(), params.topics_max) ||
      over(control.peers_size(), control_peers_max)) {
    return std::nullopt;
  }
  const bool is_good = std::all_of(control.subscriptions().begin(), control.subscriptions().end(),
                                   [](const Subscription& subscription) {
                                     return is_topic(subscription.topic());
                                   }) &&
                       std::all_of(control.graft().begin(), control.graft().end(), is_topic) &&
      std::all_of(control.urgent_graft().begin(), control.urgent_graft().end(), is_topic) &&
                       std::all_of(control.prune().begin(), control.prune().end(),
                                   [](const Prune& prune) {
                    return is_topic(prune.topic()) && (prune.instead().empty() || is_peer_name(prune.instead()));
                  }) &&
                       std::all_of(control.peers().begin(), control.peers().end(), is_known_peer);
  if (!is_good) return std::nullopt;
  return control;
}

}  // namespace corelay::mesh
