// Sessions with the peers: who opens, what happens when both do, and when keys are renewed.
#include <spdlog/spdlog.h>

#include "control/node/peers.h"

namespace corelay::node {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds listener_patience{2000};
constexpr milliseconds rekey_retry{10000};

}  // namespace

std::uint32_t Peers::next_key_id() {
  if (++last_key_id_ == 0) ++last_key_id_;
  return last_key_id_;
}

/// We were dialled, so the peer opens the session. Should it not, we do.
void Peers::wait_for_session(const PeerPtr& peer) {
  peer->timer.expires_after(listener_patience);
  peer->timer.async_wait([this, peer](const boost::system::error_code& error) {
    if (error || !is_current(peer) || peer->has_session || peer->exchange || peer->is_opening) return;
    open_session(peer, false);
  });
}

void Peers::open_session(const PeerPtr& peer, bool is_rekey) {
  peer->is_opening = true;
  host_.open_stream(peer->id, session_protocol, [this, peer, is_rekey](Expected<libp2p::StreamPtr> opened) {
    if (!is_current(peer)) return;
    const bool was_overtaken = !peer->is_opening;  // we took the peer's stream meanwhile
    peer->is_opening = false;
    if (!opened) {
      if (opened.error().code == ErrorCode::not_found) return set_foreign(peer);
      if (is_rekey) return rekey_later(peer, rekey_retry);
      if (!was_overtaken) drop(peer, "session stream: " + opened.error().describe());
      return;
    }
    if (was_overtaken || peer->has_session != is_rekey) return (*opened)->reset();
    exchange_keys(peer, *opened, true, is_rekey ? peer->keys.send.key_id : 0);
  });
}

void Peers::accept_session(libp2p::StreamPtr stream) {
  const auto peer = is_stopped_ ? nullptr : find(stream->peer());
  if (!peer) return stream->reset();
  if (peer->is_refused) return stream->reset();
  if (!exchange_rates_.take(peer->id, monotonic_now())) {
    ++exchanges_refused_;
    if (repeats_.due("exchanges of " + peer->id.text(), monotonic_now())) {
      spdlog::warn("peer {} asks for new keys too often (session.exchanges_per_minute_max): it is not answered",
                   peer->id.text());
    }
    return stream->reset();
  }
  const bool ours_is_under_way = peer->is_opening || (peer->exchange && peer->is_dialer);
  if (ours_is_under_way && host_.peer_id().text() > peer->id.text()) return stream->reset();
  peer->is_opening = false;
  exchange_keys(peer, std::move(stream), false, 0);
}

void Peers::exchange_keys(const PeerPtr& peer, libp2p::StreamPtr stream, bool is_dialer,
                          std::uint32_t replaces_key_id) {
  if (peer->exchange) peer->exchange->cancel();
  peer->is_dialer = is_dialer;
  const auto exchange = std::make_shared<SessionExchange>(io_, std::move(stream), is_dialer, terms_, next_key_id(),
                                                          replaces_key_id);
  peer->exchange = exchange;
  exchange->start([this, peer, exchange = std::weak_ptr(exchange), is_dialer,
                   is_rekey = replaces_key_id != 0](Expected<AgreedSession> outcome) {
    if (!is_current(peer) || peer->exchange != exchange.lock()) return;
    peer->exchange = nullptr;
    on_exchanged(peer, is_dialer, is_rekey, std::move(outcome));
  });
}

void Peers::on_exchanged(const PeerPtr& peer, bool is_dialer, bool is_rekey_asked, Expected<AgreedSession> outcome) {
  const std::string name = peer->id.text();
  if (!outcome) {
    // A dialer may have taken the new keys for agreed: only a fresh start makes sure that both ends have the same.
    if (peer->has_session && !is_dialer) return drop(peer, "new keys failed: " + outcome.error().describe());
    if (peer->has_session) {  // the session stands; the rekey is tried again
      spdlog::warn("peer {}: new keys failed: {}", name, outcome.error().describe());
      return rekey_later(peer, rekey_retry);
    }
    if (outcome.error().code == ErrorCode::permission_denied) return refuse(peer, outcome.error().what, is_dialer);
    return drop(peer, outcome.error().describe());
  }
  const bool is_rekey = peer->has_session && (is_dialer ? is_rekey_asked
                                                        : outcome->replaces_key_id != 0 &&
                                                              outcome->replaces_key_id == peer->keys.receive.key_id);
  if (!is_dialer && !is_rekey && outcome->replaces_key_id != 0) {
    // It would go on with link sequences where we start at 1, and take all we send for repeats.
    return drop(peer, "it renews a session that we do not have");
  }
  if (peer->has_session && !is_rekey) end_session(peer);  // the peer has started anew
  if (!is_current(peer)) return;                          // the mesh gave it up
  // Never an address that the peer only names: it could be anybody's, and everything we send would go there.
  auto endpoint = endpoint_of(peer->remote.host());
  if (!endpoint) return drop(peer, "its UDP address is unknown");
  endpoint->port = outcome->udp_port;
  if (!is_rekey) {
    peer->index = indexes_.take(peer->id);
    if (peer->index == dataplane::peer_none) return drop(peer, "relay.peers_max sessions are open");
    ++sessions_;
  }
  peer->keys = outcome->keys;
  peer->has_session = true;
  commands_.all(dataplane::PeerUp{peer->index, *endpoint, outcome->keys, terms_.path_mtu_bytes,
                                  dataplane::Duration{outcome->rtt.count()}});
  if (is_dialer) rekey_later(peer, rekey_);
  if (is_rekey) {
    spdlog::debug("peer {}: new keys", name);
    return;
  }
  if (!is_dialer) peer->timer.cancel();
  spdlog::info("peer {} has a session: UDP {} port {}, path MTU {}", name, peer->remote.host(), endpoint->port,
               terms_.path_mtu_bytes);
  begin_control(peer);
  tell_mesh_session(peer);
}

/// Routes first, then the peer: the data plane never has a next hop without a session.
void Peers::end_session(const PeerPtr& peer) {
  if (!peer->has_session) return;
  peer->has_session = false;
  --sessions_;
  tell_mesh_session(peer);
  commands_.all(dataplane::PeerDown{peer->index});
  for (auto& [topic, known] : members_) known.erase(peer->index);
  indexes_.leave(peer->index);
  peer->index = dataplane::peer_none;
}

void Peers::rekey_later(const PeerPtr& peer, milliseconds after) {
  peer->timer.expires_after(after);
  peer->timer.async_wait([this, peer](const boost::system::error_code& error) {
    if (error || !is_current(peer) || !peer->has_session) return;
    if (peer->exchange || peer->is_opening) return rekey_later(peer, rekey_retry);
    open_session(peer, true);
  });
}

}  // namespace corelay::node
