/// The sessions of one lane: opens and seals datagrams (proto/wire.md, "Datagram"). AES-128-GCM by libipsec-mb,
/// OpenSSL's EVP where that library has no path for the CPU; both give the same bytes. One owner thread; allocates
/// nothing after the constructor; no clock: `now` comes in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "dataplane/command.h"
#include "dataplane/core/aead.h"
#include "dataplane/instant.h"
#include "dataplane/session_keys.h"

namespace corelay::dataplane {

inline constexpr std::size_t datagram_header_bytes = 16;
inline constexpr std::size_t datagram_tag_bytes = 16;
inline constexpr std::size_t datagram_overhead_bytes = datagram_header_bytes + datagram_tag_bytes;
inline constexpr std::size_t datagram_bytes_max = 1972;
inline constexpr std::size_t source_lanes_max = 16;
inline constexpr std::size_t replay_window_packets = 1024;                // a lane of a peer
inline constexpr std::uint64_t packet_number_end = std::uint64_t{1} << 48;  // the first number no key may use
inline constexpr Duration rekey_grace = seconds(10);   // the previous receive key opens for so long
inline constexpr Duration rekey_switch = seconds(5);  // the previous send key is used for so long at most

/// What became of a received datagram. Each but opened has a drop counter of its own and changes nothing else.
enum class Open : std::uint8_t { opened, malformed, wrong_lane, unknown_key, replayed, unauthentic };

struct Opened {
  Open outcome = Open::malformed;
  PeerIndex peer = peer_none;
  std::span<std::uint8_t> frame{};  // plaintext, inside the datagram's own memory
};

class SessionTable {
 public:
  /// For the lane `lane` (below 16) and peers 0 to peers_max - 1. Memory: about 8 KiB a peer.
  SessionTable(std::uint8_t lane, std::size_t peers_max);
  SessionTable(std::uint8_t lane, std::size_t peers_max, AeadBackend backend);
  ~SessionTable();
  SessionTable(const SessionTable&) = delete;
  SessionTable& operator=(const SessionTable&) = delete;

  /// Starts or rekeys the session of `peer`. After a rekey the previous receive keys open packets for another 10 s, or
  /// until the next rekey; packets leave under the previous send key until one under the new keys has been opened, at
  /// most 5 s, since the peer may install its keys later. A receive key id that is still in use passes to the new keys.
  void install(Instant now, PeerIndex peer, const SessionKeys& keys) noexcept;

  /// Ends the session of `peer` and wipes its keys.
  void remove(PeerIndex peer) noexcept;

  [[nodiscard]] bool has(PeerIndex peer) const noexcept;

  [[nodiscard]] AeadBackend backend() const noexcept;

  /// Decrypts `datagram` in place. Checks in the order of wire.md: length, version and ranges (malformed), destination
  /// lane, key id, replay window, tag. Whatever the outcome but opened, the table is as before; after unauthentic the
  /// datagram's own bytes are rubbish.
  [[nodiscard]] Opened open(Instant now, std::span<std::uint8_t> datagram) noexcept;

  /// Ends what is over by `now`, as open() does too: a lane that only sends must call it now and then.
  void on_time(Instant now) noexcept;

  /// Writes the datagram that carries `frame` to `peer` at `out`, which holds frame.size() + 32 bytes and does not
  /// overlap it. Returns the bytes written, 0 when the peer has no session or its key has no packet number left.
  [[nodiscard]] std::size_t seal(PeerIndex peer, std::span<const std::uint8_t> frame, std::uint8_t* out) noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace corelay::dataplane
