/// The sessions of one lane: opens and seals datagrams (proto/wire.md, "Datagram"). AES-128-GCM by libipsec-mb, OpenSSL's
/// EVP where that library has no path for the CPU; both give the same bytes. One owner thread; allocates nothing after
/// the constructor; no clock: `now` comes in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "dataplane/command.h"
#include "dataplane/instant.h"
#include "dataplane/session_keys.h"

namespace corelay::dataplane {

inline constexpr std::size_t datagram_header_bytes = 16;
inline constexpr std::size_t datagram_tag_bytes = 16;
inline constexpr std::size_t datagram_overhead_bytes = datagram_header_bytes + datagram_tag_bytes;

/// What became of a received datagram. Each but opened has a drop counter of its own and changes nothing else.
enum class Open : std::uint8_t { opened, malformed, wrong_lane, unknown_key, replayed, unauthentic };

struct Opened {
  Open outcome = Open::malformed;
  PeerIndex peer = peer_none;
  std::span<std::uint8_t> frame;  // plaintext, inside the datagram's own memory
};

class SessionTable {
 public:
  SessionTable(std::uint8_t lane, std::size_t peers_max);
  ~SessionTable();
  SessionTable(const SessionTable&) = delete;
  SessionTable& operator=(const SessionTable&) = delete;

  /// Starts or rekeys the session of `peer`; the previous receive keys open packets for another 10 s.
  void install(Instant now, PeerIndex peer, const SessionKeys& keys) noexcept;

  /// Ends the session of `peer` and wipes its keys.
  void remove(PeerIndex peer) noexcept;

  [[nodiscard]] bool has(PeerIndex peer) const noexcept;

  /// Decrypts `datagram` in place.
  [[nodiscard]] Opened open(Instant now, std::span<std::uint8_t> datagram) noexcept;

  /// Writes the datagram that carries `frame` to `peer` at `out`, which holds frame.size() + 32 bytes and does not
  /// overlap it. Returns the bytes written, 0 when the peer has no session.
  [[nodiscard]] std::size_t seal(PeerIndex peer, std::span<const std::uint8_t> frame, std::uint8_t* out) noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace corelay::dataplane
