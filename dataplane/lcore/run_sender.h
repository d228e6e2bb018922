/// From the core's items to runs on the wire: seals each frame into the run its peer is building and hands the runs to
/// the backend. This is the one payload copy of the sending path: plaintext frame in, ciphertext run out.
///
/// Items of one peer stay in order. A run takes items of one size while they come, whatever goes to other peers in
/// between, and ends with the first that is shorter or longer, or at the limits of the backend.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "dataplane/core/outbox.h"
#include "dataplane/core/session_table.h"
#include "dataplane/counters.h"
#include "dataplane/instant.h"
#include "dataplane/io/packet_io.h"

namespace corelay::dataplane {

class RunSender {
 public:
  /// Everything named outlives the sender. Items are given up, with a counter, when the backend takes nothing for
  /// `give_up` while they wait.
  RunSender(PacketIo& io, SessionTable& sessions, Counters& counters, std::size_t peers_max, Duration give_up);

  /// Seals and sends what is in `outbox`. True when all of it is gone and the outbox has been cleared of frames; false
  /// when the backend is full: call again. Frames may be added in between; the outbox must not be cleared.
  bool send(Instant now, Outbox& outbox) noexcept;

  [[nodiscard]] bool is_blocked() const noexcept { return blocked_; }

 private:
  static constexpr std::uint16_t no_run = 0xffff;

  bool append(const TxItem& item) noexcept;
  std::uint16_t open_run(const TxItem& item, std::size_t datagram_bytes) noexcept;
  void close(PeerIndex peer) noexcept;
  void close_all() noexcept;
  bool transmit() noexcept;
  void give_up(Outbox& outbox) noexcept;

  PacketIo& io_;
  SessionTable& sessions_;
  Counters& counters_;
  Duration give_up_after_;
  std::uint32_t segments_max_;
  std::uint32_t bytes_max_;

  struct Open {
    TxRun run;
    std::uint8_t* write = nullptr;
    std::uint32_t segments = 0;
  };
  std::vector<std::uint16_t> open_of_peer_;  // index into open_, or no_run
  std::vector<Open> open_;                   // one a peer at most
  std::vector<TxRun> ready_;                 // closed, in sending order
  std::size_t cursor_ = 0;                   // items of the outbox already sealed
  bool blocked_ = false;
  Instant blocked_since_{};
};

}  // namespace corelay::dataplane
