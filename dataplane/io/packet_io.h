/// The one seam between an lcore and the network: a burst of runs in, a burst of runs out, never blocking.
///
/// A run is a piece of contiguous memory that holds datagrams of one size to or from one place; only the last may be
/// shorter. Runs are what the kernel takes and gives whole (UDP GSO and GRO), which is worth a factor of three to ten
/// over single datagrams (bench/io_bench). A backend without them still speaks in runs and splits them itself.
///
/// One owner thread calls everything but wake(). Nothing here allocates after opening, and nothing reads a clock.
/// Backends: socket_io.h, uring_io.h, memory_io.h; loss_io.h decorates any of them; open_io.h picks one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "dataplane/command.h"
#include "dataplane/instant.h"

namespace corelay::dataplane {

inline constexpr std::uint32_t run_bytes_max = 65'000;     // a GSO send may not reach 64 KiB with its headers
inline constexpr std::uint16_t run_segments_max = 64;      // UDP_MAX_SEGMENTS of the oldest kernels that have GSO
inline constexpr std::uint32_t no_buffer = 0xffff'ffff;

/// What a backend found when it was opened.
struct IoCaps {
  bool gso = false;                                   // the system splits a run sent as one
  bool gro = false;                                   // the system may hand over several datagrams as one run
  std::uint16_t segments_max = run_segments_max;      // datagrams in a TxRun
  std::uint32_t bytes_max = run_bytes_max;            // bytes in a TxRun, at most what a TxBuffer holds
  std::string name;                                   // "uring (multishot, buffer ring, GSO, GRO)"
};

/// Counts since opening, in datagrams unless the name says otherwise.
struct IoStats {
  std::uint64_t rx_runs = 0;
  std::uint64_t rx_datagrams = 0;
  std::uint64_t rx_bytes = 0;
  std::uint64_t rx_truncated = 0;      // longer than a receive buffer; not handed over
  std::uint64_t rx_empty = 0;          // without a payload; not handed over
  std::uint64_t rx_starved = 0;        // times the system had datagrams and no receive buffer was free
  std::uint64_t tx_runs = 0;
  std::uint64_t tx_datagrams = 0;
  std::uint64_t tx_bytes = 0;
  std::uint64_t tx_errors = 0;         // accepted or offered, and the system refused to send
  std::uint64_t tx_would_block = 0;    // times the system could take no more
  std::uint64_t gso_refused = 0;       // peers for which GSO was switched off after an error
};

/// Received datagrams. `data` is the backend's memory, writable by the holder until release().
struct RxRun {
  std::uint8_t* data = nullptr;
  std::uint32_t bytes = 0;
  std::uint32_t segment_bytes = 0;  // of each datagram; the last may be shorter; never 0
  Endpoint from;
  std::uint32_t token = no_buffer;  // the backend's
};

/// Memory for one TxRun, from tx_alloc().
struct TxBuffer {
  std::uint8_t* data = nullptr;  // caps().bytes_max writable bytes; nullptr when none was free
  std::uint32_t token = no_buffer;
};

/// Datagrams to one peer. `data` points into the buffer of `token`.
struct TxRun {
  const std::uint8_t* data = nullptr;
  std::uint32_t bytes = 0;
  std::uint16_t segment_bytes = 0;
  PeerIndex peer = peer_none;
  std::uint32_t token = no_buffer;
};

/// How many datagrams `bytes` in segments of `segment_bytes` are.
[[nodiscard]] constexpr std::uint32_t segment_count(std::uint32_t bytes, std::uint32_t segment_bytes) noexcept {
  return segment_bytes == 0 ? 0 : (bytes + segment_bytes - 1) / segment_bytes;
}

class PacketIo {
 public:
  virtual ~PacketIo() = default;

  [[nodiscard]] virtual const IoCaps& caps() const noexcept = 0;
  [[nodiscard]] virtual const IoStats& stats() const noexcept = 0;

  /// The UDP port bound.
  [[nodiscard]] virtual std::uint16_t port() const noexcept = 0;

  /// Where runs to `peer` go from now on. Indices at or over IoConfig::peers_max are ignored.
  virtual void set_destination(PeerIndex peer, const Endpoint& to) noexcept = 0;
  /// Runs to `peer` are counted as tx_errors from now on.
  virtual void clear_destination(PeerIndex peer) noexcept = 0;

  /// Fills the front of `out` with what has arrived and returns how many runs. Each must be given back by release().
  [[nodiscard]] virtual std::size_t rx_burst(std::span<RxRun> out) noexcept = 0;
  virtual void release(std::span<const RxRun> done) noexcept = 0;

  /// A buffer to build a run in; data == nullptr while all are in use.
  [[nodiscard]] virtual TxBuffer tx_alloc() noexcept = 0;
  /// Gives back a buffer that was not sent.
  virtual void tx_free(std::uint32_t token) noexcept = 0;

  /// Sends `runs` in order and returns how many were accepted: their buffers are the backend's again. The rest stays
  /// the caller's; the first of it has been advanced past the datagrams that did go out. A run without a destination
  /// counts as accepted and as tx_errors.
  [[nodiscard]] virtual std::size_t tx_burst(std::span<TxRun> runs) noexcept = 0;

  /// Blocks until a datagram is there, wake() was called or `timeout` has passed; with `transmit` also until the system
  /// may take more. May return early.
  virtual void wait(Duration timeout, bool transmit) noexcept = 0;

  /// Ends a wait() of the owner now, or else its next one. Any thread; does not block.
  virtual void wake() noexcept = 0;
};

/// How a backend is opened.
struct IoConfig {
  std::string bind_address = "0.0.0.0";       // IPv4, or IPv6 ("::" takes both)
  std::uint16_t port = 0;                     // 0: any free one
  std::size_t peers_max = 128;
  std::size_t socket_buffer_bytes = 8u << 20; // asked of the kernel for receiving; a quarter of it for sending
  std::size_t rx_buffers = 64;                // a power of two
  std::size_t tx_buffers = 192;
  bool use_gso = true;                        // false: as on a system without it
  bool use_gro = true;
};

}  // namespace corelay::dataplane
