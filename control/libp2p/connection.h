/// One TCP connection: moves bytes between its socket and a Link, keeps the time limits, and turns
/// Yamux streams into Streams.
///
/// Reading stops while answers to control frames pile up, so a peer that sends and does not read is
/// not served for free. At most 128 KiB are given to the socket at a time and the kernel is asked
/// to hold little unsent, so a ping waits behind little.
#pragma once

#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "control/libp2p/host.h"
#include "control/libp2p/link.h"
#include "control/libp2p/loop.h"
#include "control/libp2p/muxed_stream.h"

namespace corelay::libp2p {

/// What a connection tells its swarm. None of these is called from inside a call of the swarm's.
class ConnectionOwner {
 public:
  virtual ~ConnectionOwner() = default;
  [[nodiscard]] virtual bool is_served(std::string_view protocol) const = 0;
  virtual void on_ready(Connection& connection) = 0;
  virtual void on_stream(Connection& connection, std::shared_ptr<MuxedStream> stream) = 0;
  /// Once, at the end; `reason` says why.
  virtual void on_closed(Connection& connection, const Error& reason) = 0;
};

class Connection final : public LinkEvents, public std::enable_shared_from_this<Connection> {
 public:
  using Tcp = boost::asio::ip::tcp;
  using Opened = std::function<void(Expected<StreamPtr>)>;

  Connection(LoopPtr loop, ConnectionOwner& owner, const Identity& identity,
             const HostConfig& config, Tcp::socket socket, Role role, Multiaddr remote,
             std::optional<PeerId> expected_peer);

  void start();
  /// Ends every stream now and tells the owner; what is queued, with a GoAway, is still sent for a
  /// second.
  void close(Error reason);
  /// Closes the socket at once and tells nobody: the host has stopped.
  void abandon();
  /// Closes once no stream is left: another connection to the same peer has taken over.
  void retire();

  [[nodiscard]] bool is_ready() const noexcept { return link_.is_ready(); }
  [[nodiscard]] bool is_outbound() const noexcept { return role_ == Role::dialer; }
  [[nodiscard]] const PeerId& peer() const noexcept { return link_.peer(); }
  [[nodiscard]] const Multiaddr& remote() const noexcept { return remote_; }
  [[nodiscard]] std::chrono::steady_clock::time_point ready_at() const noexcept {
    return ready_at_;
  }

  /// As Host::open_stream, on this connection.
  void open_stream(std::string protocol, Opened done);

  // What its streams ask for.
  [[nodiscard]] Expected<void> write(std::uint32_t id, Bytes bytes);
  void close_write(std::uint32_t id);
  void reset_stream(std::uint32_t id);
  void consumed(std::uint32_t id, std::size_t bytes);
  void unread_shrank(std::size_t bytes) noexcept { unread_bytes_ -= bytes; }
  void drop_stream(std::uint32_t id, bool is_write_closed, std::size_t unread_bytes);

 private:
  /// A stream whose protocol is being agreed.
  struct Opening {
    Negotiation negotiation;
    Opened done;  // empty for the peer's streams
  };
  struct Slot {
    std::unique_ptr<Opening> opening;
    std::weak_ptr<MuxedStream> stream;
    std::unique_ptr<boost::asio::steady_timer>
        deadline;  // of the negotiation, or of what is left after the holder let go
  };

  // LinkEvents.
  void on_ready() override;
  void on_stream(std::uint32_t id) override;
  void on_data(std::uint32_t id, Bytes data) override;
  void on_end(std::uint32_t id) override;
  void on_reset(std::uint32_t id) override;
  void on_pong(std::uint32_t value) override;
  void on_go_away(std::uint32_t code) override;

  void read();
  void on_read(std::size_t bytes);
  void flush();
  void write_some();
  void finish_close();
  void arm(boost::asio::steady_timer& timer, std::chrono::milliseconds after,
           void (Connection::*call)());
  void on_deadline();
  void on_keepalive();
  void on_retire();
  void on_negotiation(std::uint32_t id, Slot& slot, Bytes data);
  void agreed(std::uint32_t id, Slot& slot, Bytes rest);
  void fail_opening(std::uint32_t id, Error reason);
  void set_slot_deadline(std::uint32_t id, Slot& slot);

  LoopPtr loop_;
  ConnectionOwner* owner_;  // null once closed
  const HostConfig& config_;
  Tcp::socket socket_;
  Role role_;
  Multiaddr remote_;
  Link link_;
  boost::asio::steady_timer deadline_;  // of the upgrade; later of closing
  boost::asio::steady_timer keepalive_;
  boost::asio::steady_timer retire_;
  std::unordered_map<std::uint32_t, Slot> slots_;
  std::array<std::uint8_t, 64 * 1024> read_buffer_{};
  std::vector<std::uint8_t> write_buffer_;
  std::size_t unread_bytes_ = 0;
  std::chrono::steady_clock::time_point ready_at_{};
  int pings_unanswered_ = 0;
  bool has_received_ = false;  // since the last keepalive
  bool is_reading_ = false;
  bool is_writing_ = false;
  bool is_flush_posted_ = false;
  bool is_closing_ = false;
};

}  // namespace corelay::libp2p
