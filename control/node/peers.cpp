// Connections of the peers: what comes and goes, and who misbehaves. The mesh side is in peers_mesh.cpp, sessions are
// in peers_session.cpp.
#include "control/node/peers.h"

#include <fmt/format.h>
#include <sodium.h>
#include <spdlog/spdlog.h>


#include "codec/check.h"

namespace corelay::node {
namespace {

using dataplane::milliseconds;
using dataplane::seconds;

// A peer is dropped when its score passes this; the score halves every ten seconds.
constexpr double fault_score_max = 20;
constexpr double fault_half_life_s = 10;
// The same line about the same peer is logged again after this.
constexpr auto log_pause = seconds(300);
constexpr std::size_t log_lines_max = 4096;
constexpr auto swap_window = seconds(300);
// A peer that is refused gets this long to read why and to leave by itself.
constexpr std::chrono::milliseconds refusal_grace{500};

mesh::MeshParams mesh_params(const NodeConfig& config) {
  const auto& from = config.mesh;
  mesh::MeshParams to;
  to.degree_target = from.degree_target;
  to.degree_min = from.degree_min;
  to.degree_max = from.degree_max;
  to.connections_target = from.connections_target;
  if (config.relay.router == dataplane::Router::two_hop) to.connections_target = config.relay.peers_max;
  to.connections_max = config.relay.peers_max;
  to.heartbeat = milliseconds(from.heartbeat_ms);
  to.prune_backoff = milliseconds(from.prune_backoff_ms);
  to.redial_min = milliseconds(from.redial_min_ms);
  to.redial_max = milliseconds(from.redial_max_ms);
  to.topics_max = config.relay.topics_max;
  return to;
}

std::string times_text(std::uint64_t held_back) {
  return held_back == 0 ? "" : fmt::format("; {} times more since this was last said", held_back);
}

std::uint64_t random_seed() {
  std::uint64_t seed = 0;
  randombytes_buf(&seed, sizeof seed);
  return seed;
}

}  // namespace

dataplane::Instant monotonic_now() {
  return {std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
              .count()};
}

Peers::Peers(boost::asio::io_context& io, libp2p::Host& host, CommandQueue& commands, const NodeConfig& config,
             SessionTerms terms, std::vector<std::string> own_addresses, Traced traced)
    : io_(io),
      host_(host),
      commands_(commands),
      terms_(std::move(terms)),
      rekey_(config.session.rekey_s),
      traced_(std::move(traced)),
      mesh_(mesh_params(config), host.peer_id().text(), std::move(own_addresses), random_seed()),
      tick_(io),
      is_two_hop_(config.relay.router == dataplane::Router::two_hop),
      members_due_(io),
      indexes_(config.relay.peers_max, config.dataplane.lanes),
      exchange_rates_(config.session.exchanges_per_minute_max, std::size_t{4} * config.relay.peers_max),
      address_swaps_(swap_window, log_lines_max),
      repeats_(log_pause, log_lines_max) {
  randombytes_buf(&last_key_id_, sizeof last_key_id_);
}

Peers::~Peers() = default;

void Peers::start(const std::vector<libp2p::Multiaddr>& bootstrap) {
  host_.on_connected([this](const libp2p::ConnectionInfo& info) { on_connected(info); });
  host_.on_disconnected([this](const libp2p::PeerId& id) { on_disconnected(id); });
  host_.on_identified([this](const libp2p::PeerId& id, const libp2p::PeerIdentity& identity) {
    if (const auto peer = find(id)) peer->agent = identity.agent_version;
    note_addresses(id, identity);
  });
  host_.handle(std::string(mesh_protocol), [this](libp2p::StreamPtr stream) { accept_mesh_stream(std::move(stream)); });
  host_.handle(std::string(session_protocol), [this](libp2p::StreamPtr stream) { accept_session(std::move(stream)); });
  start_mesh(bootstrap);
}

void Peers::stop() {
  is_stopped_ = true;
  tick_.cancel();
  members_due_.cancel();
  const auto leaving = std::move(peers_);
  peers_.clear();
  for (const auto& [id, peer] : leaving) {
    peer->timer.cancel();
    if (peer->exchange) peer->exchange->cancel();
    host_.disconnect(id);
  }
}

Peers::PeerPtr Peers::find(const libp2p::PeerId& id) const {
  const auto at = peers_.find(id);
  return at == peers_.end() ? nullptr : at->second;
}

Peers::PeerPtr Peers::find(const std::string& name) const {
  const auto id = libp2p::PeerId::parse(name);
  return id ? find(*id) : nullptr;
}

bool Peers::is_current(const PeerPtr& peer) const { return find(peer->id) == peer; }

void Peers::on_connected(const libp2p::ConnectionInfo& info) {
  if (is_stopped_) return;
  const auto peer = std::make_shared<Peer>(io_);
  peer->id = info.peer;
  peer->remote = info.remote;
  peer->is_outbound = info.is_outbound;
  peers_[info.peer] = peer;
  spdlog::debug("peer {} connected {} {}", info.peer.text(), info.is_outbound ? "to" : "from", info.remote.text());
  open_mesh_stream(peer);
  tell_mesh_connected(peer);
  if (!is_current(peer)) return;  // the mesh had no room for it
  if (info.is_outbound) {
    open_session(peer, false);
  } else {
    wait_for_session(peer);
  }
}

/// By what the peer says of itself: a connection that came in shows a port of no meaning.
void Peers::note_addresses(const libp2p::PeerId& id, const libp2p::PeerIdentity& identity) {
  std::string text;
  for (const auto& address : identity.listen_addresses) text += (text.empty() ? "" : ", ") + address.text();
  if (text.empty()) return;
  const std::string other = address_swaps_.note(id.text(), text, monotonic_now());
  if (other.empty() || !repeats_.due("addresses of " + id.text(), monotonic_now())) return;
  spdlog::warn("peer {} alternates between {} and {}: two nodes that run with the same p2p.key? Each needs its own",
               id.text(), other, text);
}

void Peers::on_disconnected(const libp2p::PeerId& id) {
  const auto peer = find(id);
  if (!peer) return;
  spdlog::debug("peer {} disconnected", id.text());
  peer->timer.cancel();
  if (peer->exchange) peer->exchange->cancel();
  end_session(peer);
  peers_.erase(id);
  if (!peer->is_foreign) tell_mesh_disconnected(peer);
}

void Peers::drop(const PeerPtr& peer, std::string_view why) {
  if (!is_current(peer)) return;
  const std::string line = fmt::format("peer {} is dropped: {}", peer->id.text(), why);
  const auto held_back = peer->is_refused ? std::nullopt : repeats_.due(line, monotonic_now());
  if (held_back) {
    spdlog::info("{}{}", line, times_text(*held_back));
  } else {
    spdlog::debug("{}", line);
  }
  host_.disconnect(peer->id);
}

/// Says once what does not match, and keeps the mesh from dialling it at every turn.
void Peers::refuse(const PeerPtr& peer, const std::string& why, bool is_dialer) {
  ++refused_;
  peer->is_refused = true;
  const std::string line = fmt::format("peer {} is refused: {}", peer->id.text(), why);
  if (const auto held_back = repeats_.due(line, monotonic_now())) {
    spdlog::warn("{} (at {}){}", line, peer->remote.text(), times_text(*held_back));
  } else {
    spdlog::debug("{}", line);
  }
  tell_mesh_refused(peer);
  if (is_dialer) return drop(peer, why);
  peer->timer.expires_after(refusal_grace);
  peer->timer.async_wait([this, peer, why](const boost::system::error_code& error) {
    if (!error) drop(peer, why);
  });
}

/// A libp2p peer of another kind: it may stay connected (identify, ping), but the mesh has no use for it.
void Peers::set_foreign(const PeerPtr& peer) {
  if (peer->is_foreign || !is_current(peer)) return;
  peer->is_foreign = true;
  peer->timer.cancel();
  peer->unsent.clear();
  peer->unsent_bytes = 0;
  spdlog::info("peer {} ({}) does not speak {}: it takes no part in the mesh", peer->id.text(),
               peer->agent.empty() ? "unknown agent" : peer->agent, mesh_protocol);
  tell_mesh_disconnected(peer);
}

void Peers::on_peer_gone(dataplane::PeerIndex index) {
  if (indexes_.is_leaving(index)) indexes_.on_gone(index);
}

void Peers::on_faulted(const dataplane::PeerFaulted& fault) {
  if (indexes_.is_leaving(fault.peer)) return;
  const libp2p::PeerId* const id = indexes_.peer_at(fault.peer);
  const auto peer = id == nullptr ? nullptr : find(*id);
  if (!peer) return;
  const double score = peer->blame.add(monotonic_now(), fault.fault, fault_half_life_s);
  ++peer->faults;
  if (score > fault_score_max) drop(peer, "it keeps breaking the protocol of the data wire");
}

const libp2p::PeerId* Peers::peer_at(dataplane::PeerIndex index) const { return indexes_.peer_at(index); }

std::vector<PeerStatus> Peers::status() const {
  std::vector<PeerStatus> all;
  for (const auto& [id, peer] : peers_) {
    all.push_back({id.text(), peer->remote.text(), peer->agent, peer->is_outbound, peer->has_session, peer->faults});
  }
  return all;
}

}  // namespace corelay::node
