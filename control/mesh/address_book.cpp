#include "control/mesh/address_book.h"

#include <algorithm>
#include <utility>

namespace corelay::mesh {

namespace {

constexpr Duration dial_patience = dataplane::seconds(30);
constexpr Duration refused_pause = dataplane::seconds(600);
constexpr unsigned failures_forgotten = 6;  // of a peer heard of

bool same_target(const PeerAddresses& a, const PeerAddresses& b) {
  return a.peer == b.peer && (!a.peer.empty() || a.addresses == b.addresses);
}

}  // namespace

bool is_peer_name(const std::string& name) noexcept {
  if (name.empty() || name.size() > peer_name_bytes_max) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  });
}

bool is_address(const std::string& address) noexcept {
  if (address.empty() || address.size() > address_bytes_max || address.front() != '/') return false;
  return std::all_of(address.begin(), address.end(), [](char c) { return c > ' ' && c < 127; });
}

void AddressBook::add_bootstrap(Instant now, PeerAddresses peer) {
  if (bootstraps_.size() == bootstraps_max || (!self_.empty() && peer.peer == self_)) return;
  for (const Bootstrap& other : bootstraps_) {
    if (same_target(other.target, peer)) return;
  }
  Bootstrap bootstrap;
  bootstrap.peer = peer.peer;
  bootstrap.target = std::move(peer);
  bootstrap.tries.next = now;
  const auto known = known_.find(bootstrap.peer);
  if (known != known_.end()) bootstrap.tries.is_connected = known->second.tries.is_connected;
  bootstraps_.push_back(std::move(bootstrap));
}

bool AddressBook::learn(Instant now, const PeerAddresses& peer, bool is_from_itself,
                        bool is_connected, Rng& rng) {
  if (peer.peer == self_ || peer.addresses.empty()) return false;
  auto at = known_.find(peer.peer);
  if (at == known_.end()) {
    if (known_.size() >= params_.known_peers_max && !(is_from_itself && make_room())) return false;
    at = known_.emplace(peer.peer, Known{}).first;
    at->second.who.peer = peer.peer;
    at->second.tries.is_connected = is_connected;
    at->second.tries.since = now;
    // Two peers that hear of each other at the same moment: the smaller name dials, the other gives
    // it a head start.
    at->second.tries.next = self_ < peer.peer ? now : now + pause(0, rng);
  } else if (!is_from_itself ||
             (at->second.is_told_by_itself && at->second.who.addresses == peer.addresses)) {
    return false;
  }
  at->second.who.addresses = peer.addresses;
  at->second.is_told_by_itself = is_from_itself;
  return is_from_itself;
}

bool AddressBook::make_room() {
  auto victim = known_.end();
  for (auto at = known_.begin(); at != known_.end(); ++at) {
    if (at->second.tries.is_connected || at->second.tries.is_dialling) continue;
    if (victim == known_.end() || at->second.tries.failures > victim->second.tries.failures)
      victim = at;
  }
  if (victim == known_.end()) return false;
  known_.erase(victim);
  return true;
}

void AddressBook::on_connected(Instant now, const std::string& peer) {
  const auto mark = [now](Tries& tries) {
    tries.is_connected = true;
    tries.is_dialling = false;
    tries.since = now;
  };
  for (Bootstrap& bootstrap : bootstraps_) {
    if (bootstrap.peer == peer) mark(bootstrap.tries);
  }
  const auto known = known_.find(peer);
  if (known != known_.end()) mark(known->second.tries);
}

void AddressBook::on_disconnected(Instant now, const std::string& peer, Rng& rng) {
  const auto mark = [&](Tries& tries) {
    if (!tries.is_connected) return;
    // A connection that lasted earns a quick redial; one that keeps dropping backs off like a
    // failed dial.
    if (now - tries.since >= params_.redial_max) tries.failures = 0;
    failed(now, tries, rng);
  };
  for (Bootstrap& bootstrap : bootstraps_) {
    if (bootstrap.peer == peer) mark(bootstrap.tries);
  }
  const auto known = known_.find(peer);
  if (known != known_.end()) mark(known->second.tries);
}

void AddressBook::on_refused(Instant now, const std::string& peer) {
  const auto known = known_.find(peer);
  if (known != known_.end()) known->second.refused_until = now + refused_pause;
}

void AddressBook::on_dialled(Instant now, const PeerAddresses& target, const std::string& peer,
                             bool is_connected, Rng& rng) {
  for (Bootstrap& bootstrap : bootstraps_) {
    if (!same_target(bootstrap.target, target)) continue;
    bootstrap.peer = peer;
    bootstrap.is_self = peer == self_;
    if (bootstrap.tries.is_connected && is_connected) continue;
    bootstrap.tries.is_dialling = false;
    bootstrap.tries.is_connected = is_connected;
    bootstrap.tries.since = now;
    bootstrap.tries.next = now + pause(bootstrap.tries.failures, rng);
  }
  const auto known = known_.find(target.peer);
  if (known != known_.end() && known->second.tries.is_dialling) {
    known->second.tries.is_dialling = false;
    known->second.tries.is_connected = is_connected;
    known->second.tries.since = now;
    known->second.tries.next = now + pause(known->second.tries.failures, rng);
  }
}

void AddressBook::on_dial_failed(Instant now, const PeerAddresses& target, Rng& rng) {
  for (Bootstrap& bootstrap : bootstraps_) {
    if (same_target(bootstrap.target, target) && bootstrap.tries.is_dialling)
      failed(now, bootstrap.tries, rng);
  }
  const auto known = known_.find(target.peer);
  if (known == known_.end() || !known->second.tries.is_dialling) return;
  failed(now, known->second.tries, rng);
  if (known->second.tries.failures >= failures_forgotten) known_.erase(known);
}

Duration AddressBook::pause(unsigned failures, Rng& rng) const {
  std::int64_t ns = params_.redial_min.ns;
  for (unsigned i = 0; i < failures && ns < params_.redial_max.ns; ++i) ns *= 2;
  ns = std::min(ns, params_.redial_max.ns);
  return {ns / 2 + static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(ns / 2 + 1)))};
}

void AddressBook::failed(Instant now, Tries& tries, Rng& rng) const {
  tries.is_dialling = false;
  tries.is_connected = false;
  tries.next = now + pause(tries.failures, rng);
  if (tries.failures < 32) ++tries.failures;
}

bool AddressBook::is_bootstrap(const std::string& peer) const {
  return std::any_of(bootstraps_.begin(), bootstraps_.end(),
                     [&](const Bootstrap& bootstrap) { return bootstrap.peer == peer; });
}

void AddressBook::plan_bootstraps(Instant now, Rng& rng, std::size_t& open, MeshOutbox& out) {
  for (Bootstrap& bootstrap : bootstraps_) {
    Tries& tries = bootstrap.tries;
    if (bootstrap.is_self || tries.is_connected) continue;
    if (tries.is_dialling && now - tries.since >= dial_patience) failed(now, tries, rng);
    if (!tries.is_dialling && tries.next <= now) {
      tries.is_dialling = true;
      tries.since = now;
      out.push_back(Dial{bootstrap.target});
    }
    if (tries.is_dialling) ++open;
    next_dial_ = std::min(next_dial_, tries.is_dialling ? tries.since + dial_patience : tries.next);
  }
}

void AddressBook::plan_known(Instant now, Rng& rng, std::size_t open, MeshOutbox& out) {
  std::vector<Known*> due;
  Instant later = dataplane::never;
  for (auto at = known_.begin(); at != known_.end();) {
    Tries& tries = at->second.tries;
    const auto here = at++;
    if (tries.is_connected || is_bootstrap(here->first)) continue;
    if (tries.is_dialling) {
      if (now - tries.since < dial_patience) {
        ++open;
        next_dial_ = std::min(next_dial_, tries.since + dial_patience);
        continue;
      }
      failed(now, tries, rng);
      if (tries.failures >= failures_forgotten) {
        known_.erase(here);
        continue;
      }
    }
    const Instant next = std::max(tries.next, here->second.refused_until);
    if (next <= now) {
      due.push_back(&here->second);
    } else {
      later = std::min(later, next);
    }
  }
  for (; open < params_.connections_target && !due.empty(); ++open) {
    const std::size_t pick = rng.below(due.size());
    due[pick]->tries.is_dialling = true;
    due[pick]->tries.since = now;
    out.push_back(Dial{due[pick]->who});
    next_dial_ = std::min(next_dial_, now + dial_patience);
    std::swap(due[pick], due.back());
    due.pop_back();
  }
  if (open < params_.connections_target) next_dial_ = std::min(next_dial_, later);
}

void AddressBook::plan(Instant now, std::size_t connected, Rng& rng, MeshOutbox& out) {
  next_dial_ = dataplane::never;
  std::size_t open = connected;
  plan_bootstraps(now, rng, open, out);
  plan_known(now, rng, open, out);
}

const PeerAddresses* AddressBook::told_by(const std::string& peer) const {
  const auto known = known_.find(peer);
  return known != known_.end() && known->second.is_told_by_itself ? &known->second.who : nullptr;
}

std::vector<PeerAddresses> AddressBook::all() const {
  std::vector<PeerAddresses> peers;
  for (const auto& [name, known] : known_) peers.push_back(known.who);
  return peers;
}

}  // namespace corelay::mesh
