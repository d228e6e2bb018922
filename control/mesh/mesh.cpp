// The entry points of Mesh: each names what happened, changes the state, and ends in finish().
#include "control/mesh/mesh.h"

#include <algorithm>
#include <utility>

#include "control/mesh/state.h"

namespace corelay::mesh {

namespace {
constexpr Duration route_time = dataplane::seconds(60);
}

Mesh::Mesh(const MeshParams& params, std::string self, std::vector<std::string> own_addresses,
           std::uint64_t seed)
    : state_(std::make_unique<State>(params, std::move(self), std::move(own_addresses), seed)) {}
Mesh::~Mesh() = default;

void Mesh::add_bootstrap(Instant now, PeerAddresses peer, MeshOutbox& out) {
  const std::vector<std::string>& own = state_->own_addresses;
  const bool is_own =
      peer.peer.empty() &&
      std::any_of(peer.addresses.begin(), peer.addresses.end(), [&](const std::string& address) {
        return std::find(own.begin(), own.end(), address) != own.end();
      });
  if (!is_own) state_->book.add_bootstrap(now, std::move(peer));
  state_->finish(now, out);
}

void Mesh::set_own_addresses(std::vector<std::string> addresses) {
  state_->own_addresses = std::move(addresses);
}

void Mesh::on_connected(Instant now, const std::string& peer, bool is_outbound, MeshOutbox& out) {
  State& state = *state_;
  const bool is_new = state.peers.count(peer) == 0;
  if (peer == state.self || !is_peer_name(peer) ||
      (is_new && state.peers.size() >= state.params.connections_max)) {
    out.push_back(Disconnect{peer});
    return;
  }
  const bool had_session = !is_new && state.peers[peer].has_session;
  if (!is_new) state.forget_peer(now, peer, out);
  State::Peer& entry = state.peers[peer];
  entry.is_outbound = is_outbound;
  entry.has_session = had_session;
  entry.session_changed = now;
  state.book.on_connected(now, peer);
  if (is_new) out.push_back(Traced{MeshTrace::add_peer, peer, {}});
  state.greet(peer);
  state.finish(now, out);
}

void Mesh::on_disconnected(Instant now, const std::string& peer, MeshOutbox& out) {
  State& state = *state_;
  if (state.peers.count(peer) == 0) return;
  state.forget_peer(now, peer, out);
  state.book.on_disconnected(now, peer, state.rng);
  out.push_back(Traced{MeshTrace::remove_peer, peer, {}});
  for (const auto& [topic, entry] : state.topics)
    state.fill_below(now, topic, state.params.degree_min, out);
  state.finish(now, out);
}

void Mesh::on_session(Instant now, const std::string& peer, MeshOutbox& out) {
  State& state = *state_;
  const auto at = state.peers.find(peer);
  if (at == state.peers.end()) return;
  at->second.has_session = true;
  at->second.session_changed = now;
  for (const std::string& topic : at->second.topics) {
    state.dirty.insert(topic);
    state.consider(now, topic, peer, out);
  }
  state.finish(now, out);
}

void Mesh::on_session_lost(Instant now, const std::string& peer, MeshOutbox& out) {
  State& state = *state_;
  const auto at = state.peers.find(peer);
  if (at == state.peers.end()) return;
  at->second.has_session = false;
  at->second.session_changed = now;
  for (const std::string& topic : at->second.topics) state.dirty.insert(topic);
  state.finish(now, out);
}

void Mesh::on_refused(Instant now, const std::string& peer, MeshOutbox& out) {
  state_->book.on_refused(now, peer);
  state_->finish(now, out);
}

void Mesh::on_dialled(Instant now, const PeerAddresses& target, const std::string& peer,
                      MeshOutbox& out) {
  state_->book.on_dialled(now, target, peer, state_->peers.count(peer) != 0, state_->rng);
  state_->finish(now, out);
}

void Mesh::on_dial_failed(Instant now, const PeerAddresses& target, MeshOutbox& out) {
  state_->book.on_dial_failed(now, target, state_->rng);
  state_->finish(now, out);
}

bool Mesh::on_control(Instant now, const std::string& peer, Bytes control, MeshOutbox& out) {
  State& state = *state_;
  const auto at = state.peers.find(peer);
  if (at == state.peers.end()) return false;
  const std::optional<MeshControl> message = parse_control(control, state.params);
  if (!message) return false;
  std::set<std::string> after = at->second.topics;
  for (const Subscription& subscription : message->subscriptions()) {
    if (subscription.subscribe()) {
      after.insert(subscription.topic());
    } else {
      after.erase(subscription.topic());
    }
  }
  if (after.size() > state.params.topics_max) return false;

  state.apply_subscriptions(now, peer, *message, out);
  for (const std::string& topic : message->graft()) state.apply_graft(now, peer, topic, false, out);
  for (const std::string& topic : message->urgent_graft()) state.apply_graft(now, peer, topic, true, out);
  for (const Prune& prune : message->prune()) state.apply_prune(now, peer, prune, out);
  state.apply_peers(now, peer, *message);
  state.finish(now, out);
  return true;
}

bool Mesh::subscribe(Instant now, const std::string& topic, MeshOutbox& out) {
  State& state = *state_;
  const auto at = state.topics.find(topic);
  if (at != state.topics.end() && at->second.is_subscribed) return true;
  if (!is_topic(topic) ||
      (at == state.topics.end() && state.topics.size() >= state.params.topics_max))
    return false;
  state.topics[topic].is_subscribed = true;
  out.push_back(Traced{MeshTrace::join, {}, topic});
  for (const auto& [name, entry] : state.peers) {
    Subscription* subscription = state.control_to(name).add_subscriptions();
    subscription->set_subscribe(true);
    subscription->set_topic(topic);
  }
  state.dirty.insert(topic);
  state.fill_below(now, topic, state.params.degree_target, out);
  state.finish(now, out);
  return true;
}

void Mesh::unsubscribe(Instant now, const std::string& topic, MeshOutbox& out) {
  State& state = *state_;
  const auto at = state.topics.find(topic);
  if (at == state.topics.end() || !at->second.is_subscribed) return;
  at->second.is_subscribed = false;
  // No prunes: the peers drop us when they read that we left.
  while (!at->second.mesh.empty()) state.drop(topic, std::string(*at->second.mesh.begin()), out);
  out.push_back(Traced{MeshTrace::leave, {}, topic});
  for (const auto& [name, entry] : state.peers) {
    Subscription* subscription = state.control_to(name).add_subscriptions();
    subscription->set_subscribe(false);
    subscription->set_topic(topic);
  }
  state.dirty.insert(topic);
  state.finish(now, out);
}

bool Mesh::want_route(Instant now, const std::string& topic, MeshOutbox& out) {
  State& state = *state_;
  const auto at = state.topics.find(topic);
  if (!is_topic(topic) ||
      (at == state.topics.end() && state.topics.size() >= state.params.topics_max))
    return false;
  state.topics[topic].wanted_until = now + route_time;
  if (at == state.topics.end()) state.dirty.insert(topic);
  state.finish(now, out);
  return true;
}

void Mesh::on_tick(Instant now, MeshOutbox& out) {
  State& state = *state_;
  if (state.has_started && now >= state.next_heartbeat) {
    state.heartbeat(now, out);
    state.next_heartbeat = now + state.params.heartbeat;
  }
  state.finish(now, out);
}

Instant Mesh::next_deadline() const noexcept {
  if (!state_->has_started) return {};
  return std::min(state_->next_heartbeat, state_->book.next_dial());
}

std::vector<std::string> Mesh::subscribed_topics() const {
  std::vector<std::string> names;
  for (const auto& [name, topic] : state_->topics) {
    if (topic.is_subscribed) names.push_back(name);
  }
  return names;
}

std::vector<std::string> Mesh::mesh_peers(const std::string& topic) const {
  const auto at = state_->topics.find(topic);
  if (at == state_->topics.end()) return {};
  return {at->second.mesh.begin(), at->second.mesh.end()};
}

std::vector<std::string> Mesh::topic_peers(const std::string& topic) const {
  std::vector<std::string> names;
  for (const auto& [name, peer] : state_->peers) {
    if (peer.topics.count(topic) != 0) names.push_back(name);
  }
  return names;
}

std::vector<std::string> Mesh::known_topics() const {
  std::set<std::string> names;
  for (const auto& [name, topic] : state_->topics) {
    if (topic.is_subscribed) names.insert(name);
  }
  for (const auto& [name, peer] : state_->peers)
    names.insert(peer.topics.begin(), peer.topics.end());
  return {names.begin(), names.end()};
}

std::vector<std::string> Mesh::connected_peers() const {
  std::vector<std::string> names;
  for (const auto& [name, peer] : state_->peers) names.push_back(name);
  return names;
}

std::vector<PeerAddresses> Mesh::address_book() const { return state_->book.all(); }

}  // namespace corelay::mesh
