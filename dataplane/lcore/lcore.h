/// One pinned thread and its duty cycle: the page to read first.
///
///   take commands -> receive -> open -> relay.on_burst -> seal and send -> relay.on_tick -> seal and send -> report
///
/// An lcore owns its relay, sessions and backend; nothing is shared but the two rings and the counters. The clock is
/// read once a cycle, here and nowhere below.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "dataplane/command.h"
#include "dataplane/core/outbox.h"
#include "dataplane/core/relay.h"
#include "dataplane/core/session_table.h"
#include "dataplane/counters.h"
#include "dataplane/dataplane.h"
#include "dataplane/event.h"
#include "dataplane/io/packet_io.h"
#include "dataplane/lcore/run_sender.h"
#include "dataplane/lcore/spsc_ring.h"

namespace corelay::dataplane {

/// What an lcore and the control thread share.
struct LcoreLink {
  LcoreLink(std::size_t command_depth, std::size_t event_depth) : commands(command_depth), events(event_depth) {}

  SpscRing<Command> commands;
  SpscRing<Event> events;
  Counters counters;
  std::atomic<bool> stop{false};
  std::atomic<bool> asleep{false};  // the lcore is about to wait, or waits: a new command must wake it
};

struct LcoreConfig {
  RelayParams relay;                      // relay.lane is this lcore's
  std::uint64_t seed = 0;
  IdleMode idle = IdleMode::polite;
  Duration spin = microseconds(50);
  Duration tx_give_up = milliseconds(5);  // how long sealed datagrams wait for a backend that takes nothing
};

class Lcore {
 public:
  /// `io` becomes the lcore's; `link` and what `on_events` refers to outlive it. `on_events` is called after a cycle
  /// that put events into the ring. Allocates all it will ever need: call it on the thread that will run it.
  Lcore(const LcoreConfig& config, std::unique_ptr<PacketIo> io, LcoreLink& link, std::function<void()> on_events);

  /// Cycles until link.stop.
  void run() noexcept;

  /// One duty cycle at `now`; returns the amount of work done, 0 when idle. run() calls it; tests may.
  std::size_t cycle(Instant now) noexcept;

  [[nodiscard]] PacketIo& io() noexcept { return *io_; }

 private:
  std::size_t take_commands(Instant now) noexcept;
  void apply(Instant now, const Command& command) noexcept;
  std::size_t receive(Instant now) noexcept;
  void open_run(Instant now, const RxRun& run) noexcept;
  void hand_frames(Instant now) noexcept;
  std::size_t tick(Instant now, bool due) noexcept;
  std::size_t tick_once(Instant now) noexcept;
  std::size_t report_events() noexcept;
  void count_io() noexcept;
  void sleep(Instant now) noexcept;

  LcoreConfig config_;
  std::unique_ptr<PacketIo> io_;
  LcoreLink& link_;
  std::function<void()> on_events_;
  Counters& counters_;
  Relay relay_;
  SessionTable sessions_;
  Outbox outbox_;
  RunSender sender_;
  std::vector<RxRun> runs_;
  std::vector<RxFrame> frames_;
  std::size_t runs_wanted_ = 1;      // of the next burst
  std::size_t frames_received_ = 0;  // since the last tick
  bool outbox_was_full_ = false;
  IoStats counted_;  // the part of io_->stats() already in the counters
};

}  // namespace corelay::dataplane
