// Peers coming and going, what their control messages ask for, and what goes out at the end of
// every entry point.
#include "control/mesh/state.h"

#include <algorithm>

#include "dataplane/command.h"

namespace corelay::mesh {

namespace {

constexpr std::size_t control_split_bytes = control_bytes_max / 8;

MeshParams bring_into_range(MeshParams params) {
  params.degree_max = std::clamp<std::size_t>(params.degree_max, 1, dataplane::next_hops_max);
  params.degree_target = std::clamp<std::size_t>(params.degree_target, 1, params.degree_max);
  params.degree_min = std::clamp<std::size_t>(params.degree_min, 1, params.degree_target);
  params.topics_max =
      std::min<std::size_t>(params.topics_max, 1024);  // one message can graft them all
  params.exchange_max = std::min(params.exchange_max, control_peers_max - 1);
  params.heartbeat = std::max(params.heartbeat, dataplane::milliseconds(1));
  params.redial_min = std::max(params.redial_min, dataplane::milliseconds(1));
  params.redial_max = std::max(params.redial_max, params.redial_min);
  return params;
}

}  // namespace

Mesh::State::State(const MeshParams& wanted, std::string name, std::vector<std::string> addresses,
                   std::uint64_t seed)
    : params(bring_into_range(wanted)),
      self(std::move(name)),
      own_addresses(std::move(addresses)),
      rng(seed),
      book(params, self) {}

void Mesh::State::add_self(MeshControl& control) const {
  if (own_addresses.empty()) return;
  KnownPeer* peer = control.add_peers();
  peer->set_peer(self);
  for (std::size_t i = 0; i < own_addresses.size() && i < addresses_per_peer_max; ++i) {
    peer->add_addresses(own_addresses[i]);
  }
}

/// Adds up to exchange_max connected peers that told where they listen, those in `topic` alone
/// unless it is empty.
void Mesh::State::add_known(MeshControl& control, const std::string& topic,
                            const std::string& except) {
  std::vector<const PeerAddresses*> known;
  for (const auto& [name, peer] : peers) {
    if (name == except || (!topic.empty() && peer.topics.count(topic) == 0)) continue;
    const PeerAddresses* told = book.told_by(name);
    if (told != nullptr) known.push_back(told);
  }
  shuffle(known);
  if (known.size() > params.exchange_max) known.resize(params.exchange_max);
  for (const PeerAddresses* peer : known) {
    if (static_cast<std::size_t>(control.peers_size()) >= control_peers_max) break;
    KnownPeer* entry = control.add_peers();
    entry->set_peer(peer->peer);
    for (const std::string& address : peer->addresses) entry->add_addresses(address);
  }
}

/// The first message to a peer: everything we take part in, where we listen, whom we know.
void Mesh::State::greet(const std::string& name) {
  pending.erase(name);
  MeshControl& control = control_to(name);
  for (const auto& [topic, entry] : topics) {
    if (!entry.is_subscribed) continue;
    Subscription* subscription = control.add_subscriptions();
    subscription->set_subscribe(true);
    subscription->set_topic(topic);
  }
  add_self(control);
  add_known(control, {}, name);
}

void Mesh::State::forget_peer(Instant now, const std::string& name, MeshOutbox& out) {
  static_cast<void>(now);
  const Peer& peer = peers.at(name);
  for (auto& [topic, entry] : topics) {
    if (peer.topics.count(topic) != 0) dirty.insert(topic);
    if (entry.mesh.count(name) != 0 && entry.missed.size() < params.degree_max)
      entry.missed.insert(name);
    drop(topic, name, out);
    entry.stand_ins.erase(name);
  }
  peers.erase(name);
  pending.erase(name);
}

/// Tells other peers where a peer that just told us listens, so that nodes which met at one
/// bootstrap find each other at once. At most exchange_max are told, and one peer's news no more
/// often than once a heartbeat.
void Mesh::State::pass_on(Instant now, const std::string& name) {
  Peer& peer = peers.at(name);
  if (peer.has_been_told && now - peer.told < params.heartbeat) return;
  peer.told = now;
  peer.has_been_told = true;
  const PeerAddresses* told = book.told_by(name);
  if (told == nullptr) return;
  std::vector<std::string> others;
  for (const auto& [other, entry] : peers) {
    if (other != name) others.push_back(other);
  }
  shuffle(others);
  if (others.size() > params.exchange_max) others.resize(params.exchange_max);
  for (const std::string& other : others) {
    MeshControl& control = control_to(other);
    if (static_cast<std::size_t>(control.peers_size()) >= control_peers_max) continue;
    KnownPeer* entry = control.add_peers();
    entry->set_peer(name);
    for (const std::string& address : told->addresses) entry->add_addresses(address);
  }
}

/// Tells one connected peer about others, so that news lost to a restart or a full book gets round
/// in the end.
void Mesh::State::exchange_some() {
  if (peers.empty()) return;
  auto at = peers.begin();
  std::advance(at, static_cast<std::ptrdiff_t>(rng.below(peers.size())));
  MeshControl& control = control_to(at->first);
  add_self(control);
  add_known(control, {}, at->first);
}

void Mesh::State::apply_subscriptions(Instant now, const std::string& name,
                                      const MeshControl& control, MeshOutbox& out) {
  Peer& peer = peers.at(name);
  for (const Subscription& subscription : control.subscriptions()) {
    const std::string& topic = subscription.topic();
    const auto ours = topics.find(topic);
    if (subscription.subscribe()) {
      peer.topics.insert(topic);
    } else {
      peer.topics.erase(topic);
    }
    if (ours == topics.end()) continue;
    dirty.insert(topic);
    if (subscription.subscribe()) {
      consider(now, topic, name, out);
    } else {
      drop(topic, name, out);
      ours->second.stand_ins.erase(name);
      fill_below(now, topic, params.degree_min, out);
    }
  }
}

void Mesh::State::apply_graft(Instant now, const std::string& name, const std::string& topic,
                              bool is_urgent, MeshOutbox& out) {
  const auto at = topics.find(topic);
  if (at == topics.end() || !at->second.is_subscribed) return;  // its own news of our leaving is on the way
  Topic& entry = at->second;
  if (entry.mesh.count(name) != 0) return;
  const Peer& peer = peers.at(name);
  if (peer.topics.count(topic) == 0 || backoff_until(topic, name) > now) {
    return refuse(now, topic, name, params.prune_backoff, false);
  }
  if (entry.mesh.size() >= params.degree_max) {
    // A full mesh takes a peer that we dialled ourselves, or one in need, in place of another; the latter not so often
    // that whoever claims need could drive all others out.
    const bool is_swap = is_urgent && entry.urgent_taken < (params.degree_max + 1) / 2;
    if (!peer.is_outbound && !is_swap) {
      return refuse(now, topic, name, is_urgent ? params.heartbeat : params.prune_backoff, true);
    }
    if (!peer.is_outbound) ++entry.urgent_taken;
    trim(now, topic, params.degree_max - 1, is_urgent ? name : std::string(), out);
  }
  entry.mesh.insert(name);
  dirty.insert(topic);
  out.push_back(Traced{MeshTrace::graft, name, topic});
}

void Mesh::State::apply_prune(Instant now, const std::string& name, const Prune& prune,
                              MeshOutbox& out) {
  constexpr std::int64_t backoff_ms_max = 600'000;
  const auto at = topics.find(prune.topic());
  if (at == topics.end()) return;
  const std::int64_t told_ms = std::min<std::int64_t>(prune.backoff_ms(), backoff_ms_max);
  const Duration backoff = told_ms == 0 ? params.prune_backoff : dataplane::milliseconds(told_ms);
  back_off(std::max(now + backoff, backoff_until(prune.topic(), name)), prune.topic(), name);
  const bool was_in = at->second.mesh.count(name) != 0;
  drop(prune.topic(), name, out);
  // The sender made room for a peer in need, which needs more than one: with us in its place
  // nobody has fewer than before.
  if (was_in && at->second.mesh.size() < params.degree_max && may_graft(now, prune.topic(), prune.instead())) {
    graft(prune.topic(), prune.instead(), out);
  }
  fill_below(now, prune.topic(), params.degree_min, out);
}

void Mesh::State::apply_peers(Instant now, const std::string& name, const MeshControl& control) {
  for (const KnownPeer& known : control.peers()) {
    PeerAddresses told{known.peer(), {known.addresses().begin(), known.addresses().end()}};
    const bool is_from_itself = told.peer == name;
    const bool is_connected = peers.count(told.peer) != 0;
    if (book.learn(now, told, is_from_itself, is_connected, rng)) pass_on(now, name);
  }
}

std::size_t Mesh::State::live_degree(const Topic& topic) const {
  return static_cast<std::size_t>(
      std::count_if(topic.mesh.begin(), topic.mesh.end(),
                    [&](const std::string& name) { return peers.at(name).has_session; }));
}

std::vector<std::string> Mesh::State::choose_route(const std::string& name, Topic& topic) {
  std::vector<std::string> route;
  for (const std::string& peer : topic.mesh) {
    if (peers.at(peer).has_session) route.push_back(peer);
  }
  if (!route.empty()) {
    topic.stand_ins.clear();
    return route;
  }
  const auto is_fit = [&](const std::string& peer) {
    const auto at = peers.find(peer);
    return at != peers.end() && at->second.has_session && at->second.topics.count(name) != 0;
  };
  for (auto at = topic.stand_ins.begin(); at != topic.stand_ins.end();) {
    at = is_fit(*at) ? std::next(at) : topic.stand_ins.erase(at);
  }
  std::vector<std::string> others;
  for (const auto& [peer, entry] : peers) {
    if (topic.stand_ins.count(peer) == 0 && is_fit(peer)) others.push_back(peer);
  }
  shuffle(others);
  for (const std::string& peer : others) {
    if (topic.stand_ins.size() >= params.degree_target) break;
    topic.stand_ins.insert(peer);
  }
  return {topic.stand_ins.begin(), topic.stand_ins.end()};
}

void Mesh::State::emit_route(Instant now, const std::string& topic, MeshOutbox& out) {
  const auto at = topics.find(topic);
  if (at == topics.end()) return;
  Topic& entry = at->second;
  if (!entry.is_subscribed && entry.wanted_until <= now) {
    if (entry.has_route) out.push_back(RouteRemoved{topic});
    topics.erase(at);
    return;
  }
  std::vector<std::string> route = choose_route(topic, entry);
  if (entry.has_route && route == entry.route && entry.is_route_subscribed == entry.is_subscribed)
    return;
  entry.has_route = true;
  entry.is_route_subscribed = entry.is_subscribed;
  entry.route = route;
  out.push_back(RouteChanged{topic, entry.is_subscribed, std::move(route)});
}

void Mesh::State::finish(Instant now, MeshOutbox& out) {
  if (!has_started) {
    has_started = true;
    // A random first beat keeps nodes started together from beating together.
    const auto heartbeat_ns = static_cast<std::uint64_t>(params.heartbeat.ns);
    next_heartbeat = now + Duration{static_cast<std::int64_t>(rng.below(heartbeat_ns)) + 1};
  }
  for (const std::string& topic : dirty) emit_route(now, topic, out);
  dirty.clear();
  for (auto& [name, control] : pending) {
    // Thousands of topics go out in several messages, each well within the bound that the peer
    // checks.
    while (control.ByteSizeLong() > control_split_bytes && control.subscriptions_size() > 1) {
      MeshControl part;
      const int half = control.subscriptions_size() / 2;
      for (int i = 0; i < half; ++i)
        part.add_subscriptions()->Swap(control.mutable_subscriptions(i));
      control.mutable_subscriptions()->DeleteSubrange(0, half);
      const std::string bytes = part.SerializeAsString();
      out.push_back(SendControl{name, {bytes.begin(), bytes.end()}});
    }
    const std::string bytes = control.SerializeAsString();
    out.push_back(SendControl{name, {bytes.begin(), bytes.end()}});
  }
  pending.clear();
  book.plan(now, peers.size(), rng, out);
}

}  // namespace corelay::mesh
