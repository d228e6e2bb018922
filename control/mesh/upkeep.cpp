// Keeping each topic's mesh at its degree: graft, prune, backoff, heartbeat.
#include <algorithm>
#include <limits>

#include "control/mesh/state.h"

namespace corelay::mesh {

namespace {

constexpr Duration session_patience =
    dataplane::seconds(10);  // a mesh peer without a session is kept this long
constexpr std::size_t outbound_kept =
    2;  // when pruning: peers we chose ourselves, against being surrounded
constexpr std::size_t backoffs_max = 8192;  // the soonest to end gives way
constexpr unsigned beats_per_confirm = 14;  // about 10 s
constexpr unsigned beats_per_reach = 7;     // about 5 s

}  // namespace

Instant Mesh::State::backoff_until(const std::string& topic, const std::string& name) const {
  const auto at = backoffs.find({topic, name});
  return at == backoffs.end() ? Instant{std::numeric_limits<std::int64_t>::min()} : at->second;
}

void Mesh::State::back_off(Instant until, const std::string& topic, const std::string& name) {
  if (backoffs.size() >= backoffs_max && backoffs.count({topic, name}) == 0) {
    backoffs.erase(
        std::min_element(backoffs.begin(), backoffs.end(),
                         [](const auto& a, const auto& b) { return a.second < b.second; }));
  }
  backoffs[{topic, name}] = until;
}

bool Mesh::State::may_graft(Instant now, const std::string& topic, const std::string& name) const {
  const auto peer = peers.find(name);
  return peer != peers.end() && peer->second.has_session && peer->second.topics.count(topic) != 0 &&
         topics.at(topic).mesh.count(name) == 0 && backoff_until(topic, name) <= now;
}

void Mesh::State::graft(const std::string& topic, const std::string& name, MeshOutbox& out) {
  Topic& entry = topics.at(topic);
  MeshControl& control = control_to(name);
  if (live_degree(entry) < params.degree_min) {
    control.add_urgent_graft(topic);
  } else {
    control.add_graft(topic);
  }
  entry.mesh.insert(name);
  dirty.insert(topic);
  out.push_back(Traced{MeshTrace::graft, name, topic});
}

/// Takes a peer out of the mesh without telling it.
void Mesh::State::drop(const std::string& topic, const std::string& name, MeshOutbox& out) {
  if (topics.at(topic).mesh.erase(name) == 0) return;
  dirty.insert(topic);
  out.push_back(Traced{MeshTrace::prune, name, topic});
}

/// Takes a peer out of the mesh, tells it, and leaves it alone for the backoff. `instead` is empty
/// or whom it may take in our place; pruned for no fault of its own, it may then soon come back.
void Mesh::State::prune(Instant now, const std::string& topic, const std::string& name, const std::string& instead,
                        MeshOutbox& out) {
  const Duration backoff =
      instead.empty() ? params.prune_backoff : std::min(params.prune_backoff, params.heartbeat * 2);
  drop(topic, name, out);
  back_off(now + backoff, topic, name);
  refuse(now, topic, name, backoff, true);
  MeshControl& control = control_to(name);
  control.mutable_prune(control.prune_size() - 1)->set_instead(instead);
}

/// Answers a graft with a prune for what is left of the backoff, or for a new one. One who is
/// refused for want of room is told whom else to try.
void Mesh::State::refuse(Instant now, const std::string& topic, const std::string& name, Duration backoff,
                         bool is_full) {
  Instant until = backoff_until(topic, name);
  if (until <= now) {
    until = now + backoff;
    back_off(until, topic, name);
  }
  MeshControl& control = control_to(name);
  Prune* told = control.add_prune();
  told->set_topic(topic);
  told->set_backoff_ms(static_cast<std::uint32_t>((until - now).ns / 1'000'000 + 1));  // never sooner than ours
  if (is_full && control.peers_size() == 0) add_known(control, topic, name);
}

/// A peer has become fit for the mesh of a topic of ours: takes it at once while there is room
/// under the target, or up to the maximum where it comes back, so that a mesh cut in two grows
/// together as soon as the cut is mended.
void Mesh::State::consider(Instant now, const std::string& topic, const std::string& name,
                           MeshOutbox& out) {
  const auto at = topics.find(topic);
  if (at == topics.end() || !at->second.is_subscribed || !may_graft(now, topic, name)) return;
  const bool is_missed = at->second.missed.erase(name) != 0;
  if (at->second.mesh.size() < (is_missed ? params.degree_max : params.degree_target))
    graft(topic, name, out);
}

/// Grafts up to the target where fewer than `threshold` mesh peers have a session.
void Mesh::State::fill_below(Instant now, const std::string& topic, std::size_t threshold,
                             MeshOutbox& out) {
  const Topic& entry = topics.at(topic);
  if (!entry.is_subscribed || live_degree(entry) >= threshold) return;
  std::vector<std::string> fit;
  for (const auto& [name, peer] : peers) {
    if (may_graft(now, topic, name)) fit.push_back(name);
  }
  shuffle(fit);
  for (const std::string& name : fit) {
    if (entry.mesh.size() >= params.degree_target) break;
    graft(topic, name, out);
  }
}

/// Prunes at random down to `degree`, keeping outbound_kept of those we dialled.
void Mesh::State::trim(Instant now, const std::string& topic, std::size_t degree, const std::string& instead,
                       MeshOutbox& out) {
  std::vector<std::string> inbound;
  std::vector<std::string> outbound;
  for (const std::string& name : topics.at(topic).mesh) {
    (peers.at(name).is_outbound ? outbound : inbound).push_back(name);
  }
  shuffle(inbound);
  shuffle(outbound);
  const std::size_t kept = std::min({outbound_kept, outbound.size(), degree});
  std::vector<std::string> order(outbound.begin(),
                                 outbound.begin() + static_cast<std::ptrdiff_t>(kept));
  std::vector<std::string> rest(outbound.begin() + static_cast<std::ptrdiff_t>(kept),
                                outbound.end());
  rest.insert(rest.end(), inbound.begin(), inbound.end());
  shuffle(rest);
  order.insert(order.end(), rest.begin(), rest.end());
  for (std::size_t i = degree; i < order.size(); ++i) prune(now, topic, order[i], instead, out);
}

void Mesh::State::beat_topic(Instant now, const std::string& topic, MeshOutbox& out) {
  Topic& entry = topics.at(topic);
  if (!entry.is_subscribed) return;
  std::vector<std::string> silent;
  for (const std::string& name : entry.mesh) {
    const Peer& peer = peers.at(name);
    if (!peer.has_session && now - peer.session_changed >= session_patience) silent.push_back(name);
  }
  for (const std::string& name : silent) prune(now, topic, name, {}, out);
  fill_below(now, topic, params.degree_min, out);
  if (entry.mesh.size() > params.degree_max) trim(now, topic, params.degree_target, {}, out);
  entry.urgent_taken = 0;
}

/// Takes one more peer at random into a mesh that is no larger than its target. A mesh that happens
/// to have fallen apart, each part within its degrees, finds together this way; nothing else would
/// tell it.
void Mesh::State::reach_out(Instant now, const std::string& topic, MeshOutbox& out) {
  const Topic& entry = topics.at(topic);
  if (!entry.is_subscribed || entry.mesh.size() > params.degree_target ||
      entry.mesh.size() >= params.degree_max)
    return;
  std::vector<std::string> fit;
  for (const auto& [name, peer] : peers) {
    if (may_graft(now, topic, name)) fit.push_back(name);
  }
  if (!fit.empty()) graft(topic, fit[rng.below(fit.size())], out);
}

/// Grafts are said again now and then: a peer that lost track of us takes us back or prunes us, so
/// that the mesh is symmetric in the end whatever was lost.
void Mesh::State::confirm_grafts() {
  for (const auto& [topic, entry] : topics) {
    for (const std::string& name : entry.mesh) {
      MeshControl& control = control_to(name);
      const bool is_named =
          std::any_of(control.graft().begin(), control.graft().end(),
                      [&, &wanted = topic](const std::string& said) { return said == wanted; });
      if (!is_named) control.add_graft(topic);
    }
  }
}

void Mesh::State::heartbeat(Instant now, MeshOutbox& out) {
  std::erase_if(backoffs, [now](const auto& entry) { return entry.second <= now; });
  for (const auto& [topic, entry] : topics) {
    beat_topic(now, topic, out);
    if (!entry.is_subscribed && entry.wanted_until <= now) dirty.insert(topic);
  }
  ++beats;
  if (beats % beats_per_reach == 0) {
    for (const auto& [topic, entry] : topics) reach_out(now, topic, out);
  }
  if (beats % beats_per_confirm == 0) {
    confirm_grafts();
    exchange_some();
  }
}

}  // namespace corelay::mesh
