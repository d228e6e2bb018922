/// All connections of a host: listening, dialling, which peer is connected by what, and the
/// protocols every libp2p peer serves (identify, identify push, ping).
///
/// Two connections to one peer come from two dials at the same time. Both ends keep the one dialled
/// by the smaller peer id, streams are accepted on both, and whoever dialled the other closes it
/// once it has no streams.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "control/libp2p/connection.h"
#include "control/libp2p/host.h"
#include "control/libp2p/loop.h"

namespace corelay::libp2p {

class Swarm final : public ConnectionOwner, public std::enable_shared_from_this<Swarm> {
 public:
  using Tcp = boost::asio::ip::tcp;
  using Dialed = std::function<void(Expected<PeerId>)>;
  using Accept = std::function<void(StreamPtr)>;
  using Pinged = std::function<void(Expected<std::chrono::microseconds>)>;

  Swarm(boost::asio::io_context& io, Identity identity, HostConfig config);

  // As in Host.
  [[nodiscard]] Expected<Multiaddr> listen(const Multiaddr& address);
  void dial(const Multiaddr& address, Dialed done);
  void disconnect(const PeerId& peer);
  void open_stream(const PeerId& peer, std::string protocol, Connection::Opened done);
  void handle(std::string protocol, Accept accept);
  void ping(const PeerId& peer, Pinged done);
  void set_announced(std::vector<Multiaddr> addresses);
  [[nodiscard]] std::vector<ConnectionInfo> connections() const;
  [[nodiscard]] std::vector<Multiaddr> listen_addresses() const;
  [[nodiscard]] const Identity& identity() const noexcept { return identity_; }
  void start();  // serves identify and ping; once, after construction
  void stop();

  std::function<void(const ConnectionInfo&)> on_connected_call;
  std::function<void(const PeerId&)> on_disconnected_call;
  std::function<void(const PeerId&, const PeerIdentity&)> on_identified_call;

 private:
  struct Listener {
    explicit Listener(boost::asio::io_context& io) : acceptor(io), retry(io) {}
    Tcp::acceptor acceptor;
    boost::asio::steady_timer retry;
    Multiaddr address;
  };
  struct Dial {
    explicit Dial(boost::asio::io_context& io) : resolver(io), socket(io), deadline(io) {}
    Multiaddr address;
    std::vector<Dialed> waiting;
    Tcp::resolver resolver;
    Tcp::socket socket;
    boost::asio::steady_timer deadline;
    const Connection* connection = nullptr;  // once TCP is up
  };
  struct Peer {
    std::vector<std::shared_ptr<Connection>> connections;  // oldest first
    Connection* preferred = nullptr;                       // new streams go here
    PeerIdentity identity;
    /// Of our record when the peer last heard from identify; 0: never.
    std::uint64_t told_sequence = 0;
  };

  // ConnectionOwner.
  [[nodiscard]] bool is_served(std::string_view protocol) const override;
  void on_ready(Connection& connection) override;
  void on_stream(Connection& connection, std::shared_ptr<MuxedStream> stream) override;
  void on_closed(Connection& connection, const Error& reason) override;

  void accept(const std::shared_ptr<Listener>& listener);
  void on_accepted(Tcp::socket socket);
  std::shared_ptr<Connection> add_connection(Tcp::socket socket, Role role, const Multiaddr& remote,
                                             std::optional<PeerId> expected_peer);
  [[nodiscard]] Expected<void> check_dial(const Multiaddr& address) const;
  void resolve(const std::shared_ptr<Dial>& dial);
  void connect(const std::shared_ptr<Dial>& dial, std::vector<Tcp::endpoint> endpoints);
  void finish_dial(const std::shared_ptr<Dial>& dial, const Expected<PeerId>& outcome);
  void prefer(Peer& peer, Connection& newer);

  void identify(Connection& connection);
  void read_identify(const StreamPtr& stream);
  void serve_identify(const StreamPtr& stream);
  void serve_ping(const StreamPtr& stream);
  void announce_change();
  void push_identify();
  [[nodiscard]] std::vector<std::uint8_t> identify_message(
      const std::optional<Multiaddr>& observed) const;
  [[nodiscard]] std::optional<Multiaddr> remote_of(const PeerId& peer) const;

  LoopPtr loop_;
  Identity identity_;
  HostConfig config_;
  std::vector<std::shared_ptr<Listener>> listeners_;
  std::map<std::string, std::shared_ptr<Dial>> dials_;  // by address text
  std::unordered_map<const Connection*, std::shared_ptr<Connection>> connections_;  // ready or not
  std::unordered_map<PeerId, Peer, PeerIdHash> peers_;
  std::map<std::string, Accept, std::less<>> protocols_;
  std::unordered_map<PeerId, int, PeerIdHash> ping_streams_;  // inbound, by peer
  std::vector<Multiaddr> announced_;
  std::uint64_t record_sequence_ = 0;
  bool is_push_posted_ = false;
};

/// /ip4/A/tcp/P or /ip6/A/tcp/P of an endpoint; an IPv4 address mapped into IPv6 is shown as IPv4.
[[nodiscard]] Multiaddr multiaddr_of(const boost::asio::ip::tcp::endpoint& endpoint);

}  // namespace corelay::libp2p
