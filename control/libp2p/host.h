/// The libp2p host: TCP, multistream-select, Noise XX, Yamux, identify and ping, behind connections
/// and streams. Everything runs on one io_context with one thread, which must outlive the host;
/// callbacks run there and never inside the call that registers them. Every timeout and limit is in
/// HostConfig.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "codec/bytes.h"
#include "codec/expected.h"
#include "control/libp2p/identity.h"
#include "control/libp2p/multiaddr.h"

namespace corelay::libp2p {

struct HostConfig {
  std::string agent_version = "corelay/0.1.0";
  /// TCP, Noise and muxer together, for our dials and for those to us.
  std::chrono::milliseconds dial_timeout{10000};
  /// One multistream negotiation, one identify, one ping.
  std::chrono::milliseconds negotiate_timeout{10000};
  /// Yamux pings; two that are not answered, with nothing else received, close the connection.
  std::chrono::milliseconds keepalive_interval{15000};
  std::size_t connections_max = 256;
  std::size_t connections_per_address_max = 64;  // inbound, from one IP address
  std::size_t connections_per_peer_max = 4;
  std::size_t streams_per_connection_max = 256;       // inbound
  std::size_t stream_receive_bytes_max = 256 * 1024;  // yamux window, 256 KiB at least
  /// Queued for sending on one connection; above it writes fail with unavailable.
  std::size_t send_queue_bytes_max = 8u << 20;
  /// Received on one connection and not read; above it the stream that brought more is reset.
  std::size_t unread_bytes_max = 16u << 20;
  /// Offers the muxer inside the Noise handshake; false leaves it to multistream, as older peers do.
  bool offers_early_muxer = true;
};

/// One bidirectional stream. Kept alive by its holder; dropping the last pointer resets it, except
/// after close_write(): then what is queued still goes out and what still comes in is thrown away.
class Stream {
 public:
  virtual ~Stream() = default;
  /// Reads one message with an unsigned-varint length before it, of at most `bytes_max`. One read
  /// at a time. Errors: closed (end of stream), too_large, malformed, timed_out never (the caller
  /// owns deadlines).
  virtual void read_message(std::size_t bytes_max,
                            std::function<void(Expected<std::vector<std::uint8_t>>)> done) = 0;
  /// Reads at least one byte, at most `bytes_max`.
  virtual void read_some(std::size_t bytes_max,
                         std::function<void(Expected<std::vector<std::uint8_t>>)> done) = 0;
  /// Queues a message with its varint length. Errors: unavailable (the connection's queue is over
  /// its bound), too_large (it never fits the queue), closed.
  virtual Expected<void> write_message(Bytes message) = 0;
  /// Queues raw bytes.
  virtual Expected<void> write(Bytes bytes) = 0;
  /// No more writes; reading goes on.
  virtual void close_write() = 0;
  virtual void reset() = 0;
  [[nodiscard]] virtual const PeerId& peer() const noexcept = 0;
  [[nodiscard]] virtual const std::string& protocol() const noexcept = 0;
};
using StreamPtr = std::shared_ptr<Stream>;

struct ConnectionInfo {
  PeerId peer;
  Multiaddr remote;  // the TCP address it came from or went to
  bool is_outbound = false;
};

/// What identify told about a peer.
struct PeerIdentity {
  std::string agent_version;
  std::string protocol_version;
  std::vector<std::string> protocols;
  std::vector<Multiaddr> listen_addresses;
};

class Host {
 public:
  Host(boost::asio::io_context& io, Identity identity, HostConfig config);
  ~Host();
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  /// Listens on /ip4/.../tcp/N (or ip6); port 0 takes a free one. Returns the bound address without
  /// /p2p.
  [[nodiscard]] Expected<Multiaddr> listen(const Multiaddr& address);

  /// Connects and, where the address ends in /p2p/ID, insists on that peer. An open connection to
  /// that peer is reused.
  void dial(const Multiaddr& address, std::function<void(Expected<PeerId>)> done);

  /// Closes every connection to the peer (GoAway, then TCP).
  void disconnect(const PeerId& peer);

  /// Opens a stream and negotiates `protocol`. Errors: not_found (no connection, or the peer does
  /// not speak it), closed, timed_out.
  void open_stream(const PeerId& peer, std::string_view protocol,
                   std::function<void(Expected<StreamPtr>)> done);

  /// Serves inbound streams of `protocol`, which identify then lists.
  void handle(std::string protocol, std::function<void(StreamPtr)> accept);

  /// Called once for each peer when its first connection is up, and once when its last is gone.
  void on_connected(std::function<void(const ConnectionInfo&)> call);
  void on_disconnected(std::function<void(const PeerId&)> call);
  /// Called when identify has answered on a new connection, and again when the peer pushes a
  /// change.
  void on_identified(std::function<void(const PeerId&, const PeerIdentity&)> call);

  /// One /ipfs/ping/1.0.0 round trip.
  void ping(const PeerId& peer, std::function<void(Expected<std::chrono::microseconds>)> done);

  /// Addresses put into identify in place of the bound ones (announce addresses).
  void set_announced(std::vector<Multiaddr> addresses);

  [[nodiscard]] const PeerId& peer_id() const noexcept;
  [[nodiscard]] const Identity& identity() const noexcept;
  [[nodiscard]] std::vector<ConnectionInfo> connections() const;
  [[nodiscard]] std::vector<Multiaddr> listen_addresses() const;
  /// Closes everything; no callback runs after this returns.
  void stop();

 private:
  std::shared_ptr<class Swarm> swarm_;
};

}  // namespace corelay::libp2p
