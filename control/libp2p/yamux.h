/// Yamux: many streams over one ordered byte stream, each with its own window. I/O-free: bytes in,
/// events and bytes out.
///
/// A frame is 12 bytes, big-endian: version 0, type, flags (u16), stream (u32), length (u32), then
/// the payload of a data frame. The dialer's streams are odd, the listener's even. A stream starts
/// with a window of 256 KiB each way; what the reader has taken is given back in WindowUpdates, so
/// a reader that does not read stops its sender. Control frames (acknowledgements, windows, pings,
/// resets) go ahead of data, and streams take turns of 16 KiB, so neither a ping nor a short stream
/// waits behind a bulk transfer.
/// Source: https://github.com/hashicorp/yamux/blob/master/spec.md.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <unordered_map>
#include <vector>

#include "codec/bytes.h"
#include "codec/expected.h"
#include "control/libp2p/multistream.h"

namespace corelay::libp2p {

inline constexpr std::uint32_t yamux_window_bytes = 256 * 1024;  // fixed by the specification
inline constexpr std::uint32_t yamux_window_bytes_max = 16u << 20;
inline constexpr std::size_t yamux_header_bytes = 12;

struct YamuxLimits {
  std::size_t inbound_streams_max = 256;
  std::size_t unacknowledged_streams_max = 256;             // ours, opened and not yet acknowledged
  std::uint32_t receive_window_bytes = yamux_window_bytes;  // raised to at least 256 KiB
};

/// What arrived. Calls come from inside YamuxSession::receive and may call the session, except
/// receive itself.
class YamuxEvents {
 public:
  virtual ~YamuxEvents() = default;
  virtual void on_stream(std::uint32_t id) = 0;  // the peer opened it; already acknowledged
  virtual void on_data(std::uint32_t id, Bytes data) = 0;  // `data` is valid during the call
  virtual void on_end(std::uint32_t id) = 0;               // the peer writes no more
  virtual void on_reset(std::uint32_t id) = 0;             // the stream is gone
  virtual void on_pong(std::uint32_t value) = 0;
  virtual void on_go_away(std::uint32_t code) = 0;
};

class YamuxSession {
 public:
  enum class GoAway : std::uint32_t { normal = 0, protocol_error = 1, internal_error = 2 };

  YamuxSession(Role role, const YamuxLimits& limits);

  /// Takes bytes from the peer. An error (malformed) ends the session: a GoAway is queued and
  /// nothing more is read.
  [[nodiscard]] Expected<void> receive(Bytes in, YamuxEvents& events);

  /// Opens a stream; data may follow at once. Errors: unavailable (too many unacknowledged, ids
  /// used up), closed (GoAway).
  [[nodiscard]] Expected<std::uint32_t> open();
  /// Queues data, whatever the window is; the caller bounds queued_bytes(). False when the stream
  /// is gone or closed for writing.
  bool write(std::uint32_t id, Bytes data);
  /// No more writes: FIN follows the queued data.
  void close_write(std::uint32_t id);
  /// Forgets the stream and tells the peer; queued data is dropped.
  void reset(std::uint32_t id);
  /// The reader took `bytes` of what on_data gave it: the peer may send as much again.
  void consumed(std::uint32_t id, std::size_t bytes);
  void ping(std::uint32_t value);
  void go_away(GoAway code);

  [[nodiscard]] bool has_stream(std::uint32_t id) const noexcept { return streams_.contains(id); }
  [[nodiscard]] std::size_t stream_count() const noexcept { return streams_.size(); }
  /// Data and control bytes waiting to be sent, headers of data not counted.
  [[nodiscard]] std::size_t queued_bytes() const noexcept { return data_bytes_ + control_.size(); }
  [[nodiscard]] std::size_t control_bytes() const noexcept { return control_.size(); }
  [[nodiscard]] bool has_output() const noexcept { return !control_.empty() || !ready_.empty(); }
  /// Appends at most `bytes_max` bytes (at least 64) of frames. Returns the bytes appended; 0 when
  /// windows are shut or nothing waits.
  std::size_t take_output(std::vector<std::uint8_t>& out, std::size_t bytes_max);

 private:
  struct Stream {
    std::vector<std::uint8_t> pending;  // to be sent, from pending_at
    std::size_t pending_at = 0;
    std::uint64_t send_window = yamux_window_bytes;
    std::uint64_t receive_window = yamux_window_bytes;
    std::uint64_t unreported = 0;  // consumed, credit not sent yet
    bool is_ours = false;
    bool is_acknowledged = false;
    bool is_fin_wanted = false;
    bool is_fin_sent = false;
    bool is_fin_received = false;
    bool is_ready = false;  // in ready_
    [[nodiscard]] std::size_t pending_bytes() const noexcept { return pending.size() - pending_at; }
  };
  struct Header {
    std::uint8_t type = 0;
    std::uint16_t flags = 0;
    std::uint32_t id = 0;
    std::uint32_t length = 0;
  };

  [[nodiscard]] Expected<void> on_header(YamuxEvents& events);
  [[nodiscard]] Expected<void> on_stream_frame(const Header& header, YamuxEvents& events);
  [[nodiscard]] Expected<void> on_syn(const Header& header, YamuxEvents& events);
  void on_session_frame(const Header& header, YamuxEvents& events);
  void on_payload(Bytes data, YamuxEvents& events);
  void end_of_peer(std::uint32_t id, YamuxEvents& events);
  [[nodiscard]] tl::unexpected<Error> violation(std::string what);
  void send_control(std::uint8_t type, std::uint16_t flags, std::uint32_t id, std::uint32_t length);
  void make_ready(std::uint32_t id, Stream& stream);
  void send_turn(std::uint32_t id, Stream& stream, std::vector<std::uint8_t>& out,
                 std::size_t bytes_max);
  void erase(std::uint32_t id);
  void erase_if_done(std::uint32_t id);

  Role role_;
  YamuxLimits limits_;
  std::unordered_map<std::uint32_t, Stream> streams_;
  std::deque<std::uint32_t> ready_;  // streams that may send, each once
  std::vector<std::uint8_t> control_;
  std::uint32_t next_id_;
  std::size_t inbound_count_ = 0;
  std::size_t unacknowledged_count_ = 0;
  std::size_t data_bytes_ = 0;
  bool is_peer_leaving_ = false;
  bool is_broken_ = false;

  std::array<std::uint8_t, yamux_header_bytes> header_{};
  std::size_t header_bytes_ = 0;
  std::uint32_t payload_left_ = 0;
  std::uint32_t payload_id_ = 0;  // 0: skipped
  bool payload_ends_stream_ = false;
};

}  // namespace corelay::libp2p
