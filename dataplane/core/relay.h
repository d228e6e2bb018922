/// The relay protocol, without sockets, clock or threads: bursts of authenticated frames, commands and time in; frames
/// and events out. The daemon and the simulator run this very class. Allocates in the constructor and never again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "dataplane/command.h"
#include "dataplane/counters.h"
#include "dataplane/core/outbox.h"
#include "dataplane/instant.h"
#include "dataplane/params.h"

namespace corelay::dataplane {

/// One authenticated frame as it came out of a datagram.
struct RxFrame {
  PeerIndex peer = peer_none;
  std::span<const std::uint8_t> bytes;
};

class Relay {
 public:
  /// `counters` outlives the relay. `seed` drives every random choice: same seed, same inputs, same outputs.
  Relay(const RelayParams& params, std::uint64_t seed, Counters& counters);
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  /// Takes a burst of frames, in arrival order, and puts what they call for into `out`.
  void on_burst(Instant now, std::span<const RxFrame> frames, Outbox& out) noexcept;

  /// Takes one command. Publish and Release never fail here: outcomes come as events.
  void on_command(Instant now, const Command& command, Outbox& out) noexcept;

  /// False while outcomes of earlier commands wait for room in the outbox: leave further commands in their ring.
  [[nodiscard]] bool can_take_command() const noexcept;

  /// Does what is due: timers, and one bounded share of queued work (copying in a publish, decoding, hashing, sending).
  /// Call it after every burst, and again whenever next_deadline() has passed or the outbox had been full.
  void on_tick(Instant now, Outbox& out) noexcept;

  /// When on_tick must be called next at the latest; an Instant in the past means there is work now.
  [[nodiscard]] Instant next_deadline() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace corelay::dataplane
