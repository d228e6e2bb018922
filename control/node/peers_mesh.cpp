// Peers and the mesh: feeds the mesh with what happens, does what it asks for, and carries its control messages.
#include <spdlog/spdlog.h>

#include <variant>

#include "control/node/peers.h"
#include "control/node/topic_hash.h"

namespace corelay::node {
namespace {

constexpr std::size_t unsent_bytes_max = 4u << 20;
constexpr std::chrono::milliseconds members_pause{50};  // what changes within it is told at once

}  // namespace

/// Calls the mesh and does what it answers. Actions may lead to further calls; theirs come after.
template <class Call>
void Peers::with_mesh(Call call) {
  if (is_stopped_) return;
  mesh::MeshOutbox out;
  call(monotonic_now(), out);
  for (auto& action : out) actions_.push_back(std::move(action));
  if (!is_acting_) {
    is_acting_ = true;
    while (!actions_.empty()) {
      const mesh::MeshAction action = std::move(actions_.front());
      actions_.pop_front();
      act(action);
    }
    is_acting_ = false;
  }
  schedule_tick();
  if (is_two_hop_) schedule_members();
}

void Peers::schedule_members() {
  if (is_members_due_ || is_stopped_) return;
  is_members_due_ = true;
  members_due_.expires_after(members_pause);
  members_due_.async_wait([this](const boost::system::error_code& error) {
    is_members_due_ = false;
    if (!error && !is_stopped_) update_members();
  });
}

/// Tells the data plane who became, or no longer is, a member of each topic with a route: all who subscribe and have a
/// session.
void Peers::update_members() {
  for (auto& [topic, known] : members_) {
    std::set<dataplane::PeerIndex> now;
    for (const std::string& name : mesh_.topic_peers(topic)) {
      const auto peer = find(name);
      if (peer && peer->has_session) now.insert(peer->index);
    }
    const auto hash = topic_hash(topic);
    for (const auto index : known) {
      if (!now.contains(index)) commands_.all(dataplane::MemberSet{hash, index, false});
    }
    for (const auto index : now) {
      if (!known.contains(index)) commands_.all(dataplane::MemberSet{hash, index, true});
    }
    known = std::move(now);
  }
}

std::size_t Peers::members() const noexcept {
  std::size_t count = 0;
  for (const auto& [topic, known] : members_) count += known.size();
  return count;
}

void Peers::start_mesh(const std::vector<libp2p::Multiaddr>& bootstrap) {
  for (const auto& address : bootstrap) {
    mesh::PeerAddresses target;
    if (const auto id = address.peer_id()) target.peer = id->text();
    target.addresses.push_back(address.without_peer().text());
    with_mesh([&](auto now, auto& out) { mesh_.add_bootstrap(now, target, out); });
  }
  with_mesh([&](auto now, auto& out) { mesh_.on_tick(now, out); });
}

void Peers::schedule_tick() {
  const auto next = mesh_.next_deadline();
  if (next == tick_at_ || is_stopped_) return;
  tick_at_ = next;
  if (next == dataplane::never) {
    tick_.cancel();
    return;
  }
  tick_.expires_at(std::chrono::steady_clock::time_point(std::chrono::nanoseconds(next.ns)));
  tick_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    tick_at_ = dataplane::never;
    with_mesh([&](auto now, auto& out) { mesh_.on_tick(now, out); });
  });
}

void Peers::act(const mesh::MeshAction& action) {
  if (const auto* send = std::get_if<mesh::SendControl>(&action)) {
    send_control(send->peer, send->bytes);
  } else if (const auto* target = std::get_if<mesh::Dial>(&action)) {
    dial(target->target, 0);
  } else if (const auto* disconnect = std::get_if<mesh::Disconnect>(&action)) {
    if (const auto peer = find(disconnect->peer)) drop(peer, "the mesh has no place for it");
  } else if (const auto* route = std::get_if<mesh::RouteChanged>(&action)) {
    install_route(*route);
  } else if (const auto* removed = std::get_if<mesh::RouteRemoved>(&action)) {
    commands_.all(dataplane::RouteClear{topic_hash(removed->topic)});
    members_.erase(removed->topic);
  } else if (const auto* traced = std::get_if<mesh::Traced>(&action)) {
    if (traced_) traced_(*traced);
  }
}

bool Peers::subscribe(const std::string& topic) {
  bool ok = false;
  with_mesh([&](auto now, auto& out) { ok = mesh_.subscribe(now, topic, out); });
  return ok;
}

void Peers::unsubscribe(const std::string& topic) {
  with_mesh([&](auto now, auto& out) { mesh_.unsubscribe(now, topic, out); });
}

bool Peers::want_route(const std::string& topic) {
  bool ok = false;
  with_mesh([&](auto now, auto& out) { ok = mesh_.want_route(now, topic, out); });
  return ok;
}

void Peers::tell_mesh_connected(const PeerPtr& peer) {
  with_mesh([&](auto now, auto& out) { mesh_.on_connected(now, peer->id.text(), peer->is_outbound, out); });
}

void Peers::tell_mesh_disconnected(const PeerPtr& peer) {
  with_mesh([&](auto now, auto& out) { mesh_.on_disconnected(now, peer->id.text(), out); });
}

void Peers::tell_mesh_session(const PeerPtr& peer) {
  with_mesh([&](auto now, auto& out) {
    if (peer->has_session) {
      mesh_.on_session(now, peer->id.text(), out);
    } else {
      mesh_.on_session_lost(now, peer->id.text(), out);
    }
  });
}

void Peers::tell_mesh_refused(const PeerPtr& peer) {
  with_mesh([&](auto now, auto& out) { mesh_.on_refused(now, peer->id.text(), out); });
}

/// Tries the addresses of a target one after the other.
void Peers::dial(const mesh::PeerAddresses& target, std::size_t next) {
  const auto fail_dial = [&] { with_mesh([&](auto now, auto& out) { mesh_.on_dial_failed(now, target, out); }); };
  if (is_stopped_) return;
  if (next == target.addresses.size()) return fail_dial();
  auto address = libp2p::Multiaddr::parse(target.addresses[next]);
  if (address && !target.peer.empty()) {
    if (const auto id = libp2p::PeerId::parse(target.peer)) address = address->with_peer(*id);
  }
  if (!address) return dial(target, next + 1);
  host_.dial(*address, [this, target, next](Expected<libp2p::PeerId> reached) {
    if (is_stopped_) return;
    if (!reached) {
      spdlog::debug("dialling {} at {} failed: {}", target.peer, target.addresses[next], reached.error().describe());
      return dial(target, next + 1);
    }
    const auto peer = find(*reached);
    const bool is_of_use = !peer || !peer->is_foreign;
    with_mesh([&](auto now, auto& out) {
      if (is_of_use) {
        mesh_.on_dialled(now, target, reached->text(), out);
      } else {
        mesh_.on_dial_failed(now, target, out);
      }
    });
  });
}

/// The next hops are peers with a session; one whose session has ended meanwhile is left out, and the mesh is told.
void Peers::install_route(const mesh::RouteChanged& route) {
  dataplane::RouteSet set;
  set.topic = topic_hash(route.topic);
  set.deliver = route.is_subscribed;
  for (const auto& name : route.next_hops) {
    const auto peer = find(name);
    if (!peer || !peer->has_session || set.count == set.next_hops.size()) continue;
    set.next_hops[set.count++] = peer->index;
  }
  commands_.all(set);
  if (is_two_hop_) members_.try_emplace(route.topic);
}

void Peers::send_control(const std::string& name, std::vector<std::uint8_t> bytes) {
  const auto peer = find(name);
  if (!peer || peer->is_foreign) return;
  if (peer->mesh_out && peer->has_session) {
    // What cannot be queued would leave the peer with a wrong picture of us: better start afresh.
    if (!peer->mesh_out->write_message(bytes)) drop(peer, "it does not read its control stream");
    return;
  }
  peer->unsent_bytes += bytes.size();
  peer->unsent.push_back(std::move(bytes));
  if (peer->unsent_bytes > unsent_bytes_max) drop(peer, "its control stream does not open");
}

/// Once the session stands, and again for each new control stream: says what has waited, and reads.
void Peers::begin_control(const PeerPtr& peer) {
  if (!peer->has_session || !is_current(peer)) return;
  if (peer->mesh_out) {
    for (const auto& message : peer->unsent) {
      if (!peer->mesh_out->write_message(message)) return drop(peer, "it does not read its control stream");
    }
    peer->unsent.clear();
    peer->unsent_bytes = 0;
  }
  if (peer->mesh_in && peer->mesh_read != peer->mesh_in) {
    peer->mesh_read = peer->mesh_in;
    read_control(peer, peer->mesh_in);
  }
}

void Peers::open_mesh_stream(const PeerPtr& peer) {
  host_.open_stream(peer->id, mesh_protocol, [this, peer](Expected<libp2p::StreamPtr> opened) {
    if (!is_current(peer)) return;
    if (!opened) {
      if (opened.error().code == ErrorCode::not_found) return set_foreign(peer);
      return drop(peer, "control stream: " + opened.error().describe());
    }
    const libp2p::StreamPtr stream = *opened;
    peer->mesh_out = stream;
    begin_control(peer);
    if (!is_current(peer)) return;
    // Nothing is ever written to us here: reading shows when the stream ends.
    stream->read_some(1, [this, peer, stream](const auto&) {
      if (is_current(peer) && peer->mesh_out == stream) drop(peer, "it closed its control stream");
    });
  });
}

void Peers::accept_mesh_stream(libp2p::StreamPtr stream) {
  const auto peer = is_stopped_ ? nullptr : find(stream->peer());
  if (!peer) return stream->reset();
  if (peer->is_foreign || peer->mesh_in) {
    // A second control stream means that the peer has started anew: it knows nothing of what we said before.
    if (peer->mesh_in) peer->mesh_in->reset();
    if (peer->mesh_out) peer->mesh_out->reset();
    peer->is_foreign = false;
    peer->mesh_out = nullptr;
    open_mesh_stream(peer);
    tell_mesh_connected(peer);
    if (!is_current(peer)) return;
  }
  peer->mesh_in = std::move(stream);
  begin_control(peer);
}

void Peers::read_control(const PeerPtr& peer, const libp2p::StreamPtr& stream) {
  stream->read_message(mesh::control_bytes_max, [this, peer, stream](Expected<std::vector<std::uint8_t>> message) {
    if (!is_current(peer) || peer->mesh_in != stream) return;
    if (!message) return drop(peer, "its control stream ended: " + message.error().describe());
    bool is_good = false;
    with_mesh([&](auto now, auto& out) { is_good = mesh_.on_control(now, peer->id.text(), *message, out); });
    if (!is_good) return drop(peer, "it sent a malformed control message");
    read_control(peer, stream);
  });
}

}  // namespace corelay::node
