#include "control/libp2p/swarm.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include <algorithm>
#include <boost/asio/ip/v6_only.hpp>
#include <cstring>
#include <utility>

#include "codec/check.h"

namespace corelay::libp2p {
namespace {

using boost::system::error_code;

// Two dials that cross finish within the time of a handshake; a later second connection means that
// the peer lost the first.
constexpr std::chrono::seconds crossing_window{10};
constexpr std::chrono::milliseconds accept_retry{100};

tl::unexpected<Error> listen_error(const error_code& error, const char* what) {
  const ErrorCode code = error == boost::asio::error::access_denied ? ErrorCode::permission_denied
                         : error == boost::asio::error::address_in_use ? ErrorCode::already_exists
                                                                       : ErrorCode::internal;
  return fail(code, "listen", what, error.value());
}

/// The addresses of this machine's interfaces that are up, for a socket bound to all of them.
std::vector<boost::asio::ip::address> interface_addresses(bool wants_v6) {
  std::vector<boost::asio::ip::address> addresses;
  ifaddrs* first = nullptr;
  if (::getifaddrs(&first) != 0) return addresses;
  for (const ifaddrs* at = first; at != nullptr; at = at->ifa_next) {
    if (at->ifa_addr == nullptr || (at->ifa_flags & IFF_UP) == 0) continue;
    if (at->ifa_addr->sa_family == AF_INET && !wants_v6) {
      sockaddr_in address;
      std::memcpy(&address, at->ifa_addr, sizeof address);
      addresses.emplace_back(boost::asio::ip::address_v4(ntohl(address.sin_addr.s_addr)));
    } else if (at->ifa_addr->sa_family == AF_INET6 && wants_v6) {
      sockaddr_in6 address;
      std::memcpy(&address, at->ifa_addr, sizeof address);
      boost::asio::ip::address_v6::bytes_type bytes;
      std::memcpy(bytes.data(), &address.sin6_addr, bytes.size());
      const boost::asio::ip::address_v6 v6(bytes);
      if (!v6.is_link_local()) addresses.emplace_back(v6);
    }
  }
  ::freeifaddrs(first);
  return addresses;
}

}  // namespace

Multiaddr multiaddr_of(const boost::asio::ip::tcp::endpoint& endpoint) {
  boost::asio::ip::address address = endpoint.address();
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    address = boost::asio::ip::make_address_v4(boost::asio::ip::v4_mapped, address.to_v6());
  }
  if (address.is_v6()) {  // a multiaddr has no place for the scope
    address = boost::asio::ip::address_v6(address.to_v6().to_bytes());
  }
  return Multiaddr::tcp(address.to_string(), endpoint.port()).value();
}

Swarm::Swarm(boost::asio::io_context& io, Identity identity, HostConfig config)
    : loop_(std::make_shared<Loop>(io)),
      identity_(std::move(identity)),
      config_(std::move(config)) {}

// Listening.

Expected<Multiaddr> Swarm::listen(const Multiaddr& address) {
  if (loop_->is_stopped) return fail(ErrorCode::closed, "listen", "the host has stopped");
  error_code error;
  const auto ip = boost::asio::ip::make_address(address.host(), error);
  const auto port = address.tcp_port();
  if (error || !port) {
    return fail(ErrorCode::invalid_argument, "listen",
                "'" + address.text() + "' is not of the form /ip4/ADDRESS/tcp/PORT");
  }
  const auto listener = std::make_shared<Listener>(loop_->io);
  const Tcp::endpoint endpoint(ip, *port);
  if (listener->acceptor.open(endpoint.protocol(), error))
    return listen_error(error, "cannot open a socket");
  listener->acceptor.set_option(Tcp::acceptor::reuse_address(true), error);
  if (ip.is_v6()) listener->acceptor.set_option(boost::asio::ip::v6_only(true), error);
  if (listener->acceptor.bind(endpoint, error)) {
    return listen_error(error, ("cannot bind " + address.text()).c_str());
  }
  if (listener->acceptor.listen(Tcp::acceptor::max_listen_connections, error)) {
    return listen_error(error, ("cannot listen on " + address.text()).c_str());
  }
  listener->address = multiaddr_of(listener->acceptor.local_endpoint(error));
  listeners_.push_back(listener);
  accept(listener);
  announce_change();
  return listener->address;
}

void Swarm::accept(const std::shared_ptr<Listener>& listener) {
  listener->acceptor.async_accept(
      [weak = weak_from_this(), listener](const error_code& error, Tcp::socket socket) {
        const auto self = weak.lock();
        if (!self || self->loop_->is_stopped || error == boost::asio::error::operation_aborted)
          return;
        if (!error) {
          self->on_accepted(std::move(socket));
          return self->accept(listener);
        }
        // Out of descriptors, or the peer was gone already: a pause keeps this from spinning.
        listener->retry.expires_after(accept_retry);
        listener->retry.async_wait([weak, listener](const error_code& waited) {
          const auto again = weak.lock();
          if (!waited && again && !again->loop_->is_stopped) again->accept(listener);
        });
      });
}

void Swarm::on_accepted(Tcp::socket socket) {
  error_code error;
  const auto remote = socket.remote_endpoint(error);
  if (error || connections_.size() >= config_.connections_max) return;
  const Multiaddr address = multiaddr_of(remote);
  const auto from_there = std::ranges::count_if(connections_, [&](const auto& entry) {
    return !entry.second->is_outbound() && entry.second->remote().host() == address.host();
  });
  if (static_cast<std::size_t>(from_there) >= config_.connections_per_address_max) return;
  add_connection(std::move(socket), Role::listener, address, std::nullopt);
}

std::shared_ptr<Connection> Swarm::add_connection(Tcp::socket socket, Role role,
                                                  const Multiaddr& remote,
                                                  std::optional<PeerId> expected_peer) {
  auto connection = std::make_shared<Connection>(
      loop_, *this, identity_, config_, std::move(socket), role, remote, std::move(expected_peer));
  connections_.emplace(connection.get(), connection);
  connection->start();
  return connection;
}

std::vector<Multiaddr> Swarm::listen_addresses() const {
  std::vector<Multiaddr> addresses;
  for (const auto& listener : listeners_) {
    error_code error;
    const auto ip = boost::asio::ip::make_address(listener->address.host(), error);
    if (error || !ip.is_unspecified()) {
      addresses.push_back(listener->address);
      continue;
    }
    for (const auto& own : interface_addresses(ip.is_v6())) {
      addresses.push_back(multiaddr_of({own, *listener->address.tcp_port()}));
    }
  }
  return addresses;
}

// Connections.

void Swarm::on_ready(Connection& connection) {
  const PeerId& id = connection.peer();
  const auto [at, is_new] = peers_.try_emplace(id);
  Peer& peer = at->second;
  peer.connections.push_back(connections_.at(&connection));
  if (is_new) {
    peer.preferred = &connection;
    post(loop_, [weak = weak_from_this(),
                 info = ConnectionInfo{id, connection.remote(), connection.is_outbound()}] {
      const auto self = weak.lock();
      if (!self) return;
      const auto call = self->on_connected_call;  // a copy: the call may stop the host
      if (call) call(info);
    });
  } else {
    prefer(peer, connection);
  }
  const auto dial = std::ranges::find_if(
      dials_, [&](const auto& entry) { return entry.second->connection == &connection; });
  if (dial != dials_.end()) finish_dial(std::shared_ptr<Dial>(dial->second), id);
  identify(connection);
}

/// Chooses between the connection in use and a newer one.
void Swarm::prefer(Peer& peer, Connection& newer) {
  Connection& older = *peer.preferred;
  const bool are_crossed = older.is_outbound() != newer.is_outbound() &&
                           newer.ready_at() - older.ready_at() < crossing_window;
  const bool we_are_smaller = identity_.peer_id() < newer.peer();
  const bool takes_newer = !are_crossed || newer.is_outbound() == we_are_smaller;
  Connection& loser = takes_newer ? older : newer;
  if (takes_newer) peer.preferred = &newer;
  if (loser.is_outbound()) loser.retire();
  if (peer.connections.size() > config_.connections_per_peer_max) {
    // Posted: the newer one is still inside its own call.
    const auto oldest = std::ranges::find_if(peer.connections, [&](const auto& connection) {
      return connection.get() != peer.preferred;
    });
    post(loop_, [connection = *oldest] {
      connection->close({ErrorCode::unavailable, "connection", "too many connections to one peer"});
    });
  }
}

void Swarm::on_closed(Connection& connection, const Error& reason) {
  const auto held = connections_.extract(&connection);  // keeps it alive until the end of this call
  const auto dial = std::ranges::find_if(
      dials_, [&](const auto& entry) { return entry.second->connection == &connection; });
  if (dial != dials_.end())
    finish_dial(std::shared_ptr<Dial>(dial->second), tl::make_unexpected(reason));
  if (!connection.is_ready()) return;
  const auto at = peers_.find(connection.peer());
  if (at == peers_.end()) return;
  Peer& peer = at->second;
  std::erase_if(peer.connections, [&](const auto& entry) { return entry.get() == &connection; });
  if (!peer.connections.empty()) {
    if (peer.preferred == &connection) peer.preferred = peer.connections.back().get();
    return;
  }
  peers_.erase(at);
  post(loop_, [weak = weak_from_this(), id = connection.peer()] {
    const auto self = weak.lock();
    if (!self) return;
    const auto call = self->on_disconnected_call;
    if (call) call(id);
  });
}

void Swarm::disconnect(const PeerId& peer) {
  const auto at = peers_.find(peer);
  if (at == peers_.end()) return;
  const std::vector<std::shared_ptr<Connection>> all = at->second.connections;
  for (const auto& connection : all)
    connection->close({ErrorCode::closed, "connection", "disconnected by this host"});
}

std::vector<ConnectionInfo> Swarm::connections() const {
  std::vector<ConnectionInfo> all;
  for (const auto& [id, peer] : peers_) {
    for (const auto& connection : peer.connections) {
      all.push_back({id, connection->remote(), connection->is_outbound()});
    }
  }
  return all;
}

// Streams.

void Swarm::open_stream(const PeerId& peer, std::string protocol, Connection::Opened done) {
  const auto at = peers_.find(peer);
  if (at != peers_.end())
    return at->second.preferred->open_stream(std::move(protocol), std::move(done));
  post(loop_, [done = std::move(done), text = peer.text()] {
    done(fail(ErrorCode::not_found, "open_stream", "not connected to " + text));
  });
}

void Swarm::handle(std::string protocol, Accept accept) {
  CHECK(!protocol.empty() && protocol.size() < multistream_text_bytes_max);
  protocols_.insert_or_assign(std::move(protocol), std::move(accept));
  announce_change();
}

bool Swarm::is_served(std::string_view protocol) const {
  return protocols_.find(protocol) != protocols_.end();
}

void Swarm::on_stream(Connection&, std::shared_ptr<MuxedStream> stream) {
  post(loop_, [weak = weak_from_this(), stream = std::move(stream)] {
    const auto self = weak.lock();
    if (!self) return;
    const auto at = self->protocols_.find(stream->protocol());
    if (at == self->protocols_.end()) return;
    const Accept call = at->second;  // a copy: the call may replace itself
    call(stream);
  });
}

void Swarm::stop() {
  loop_->is_stopped = true;
  error_code ignored;
  for (const auto& listener : listeners_) {
    listener->acceptor.close(ignored);
    listener->retry.cancel();
  }
  for (const auto& [text, dial] : dials_) {
    dial->resolver.cancel();
    dial->socket.close(ignored);
    dial->deadline.cancel();
    dial->waiting.clear();
  }
  dials_.clear();
  peers_.clear();
  for (const auto& [key, connection] : std::exchange(connections_, {})) connection->abandon();
  listeners_.clear();
  protocols_.clear();
  on_connected_call = nullptr;
  on_disconnected_call = nullptr;
  on_identified_call = nullptr;
}

}  // namespace corelay::libp2p
