#include "dataplane/lcore/lcore.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <span>
#include <utility>

namespace corelay::dataplane {
namespace {

constexpr std::size_t commands_per_cycle = 16;
constexpr std::size_t runs_per_cycle_max = 16;
constexpr std::size_t frames_per_cycle = 128;  // aimed at: a longer cycle makes the time it read stale
constexpr std::size_t frames_per_burst = 512;
constexpr std::size_t frames_per_tick = 32;
constexpr std::size_t outbox_frames = 256;  // frames and the runs they are sealed into stay in the second-level cache
constexpr std::size_t outbox_events = 1024;
constexpr std::size_t outbox_spare = 16;  // with less room left, the core may have held something back
constexpr Duration sleep_max = seconds(1);
constexpr Duration retry_time = milliseconds(1);  // between looks at a backend or an event ring that is full

Instant read_clock() noexcept {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return {t.tv_sec * 1'000'000'000 + t.tv_nsec};
}

Counter drop_counter(Open outcome) noexcept {
  switch (outcome) {
    case Open::wrong_lane: return Counter::drop_wrong_lane_total;
    case Open::unknown_key: return Counter::drop_unknown_key_total;
    case Open::replayed: return Counter::drop_replayed_total;
    case Open::unauthentic: return Counter::drop_authentication_total;
    default: return Counter::drop_malformed_datagram_total;
  }
}

/// Events that control must see; the others may be dropped while it is behind.
bool must_arrive(const Event& event) noexcept {
  return !std::holds_alternative<PeerFaulted>(event) && !std::holds_alternative<ShardTraced>(event);
}

}  // namespace

Lcore::Lcore(const LcoreConfig& config, std::unique_ptr<PacketIo> io, LcoreLink& link,
             std::function<void()> on_events)
    : config_(config),
      io_(std::move(io)),
      link_(link),
      on_events_(std::move(on_events)),
      counters_(link.counters),
      relay_(config.relay, config.seed, link.counters),
      sessions_(config.relay.lane, config.relay.peers_max),
      outbox_(outbox_frames, outbox_events),
      sender_(*io_, sessions_, link.counters, config.relay.peers_max, config.tx_give_up),
      runs_(runs_per_cycle_max) {
  frames_.reserve(frames_per_burst);
}

void Lcore::run() noexcept {
  Instant busy_until = read_clock();
  while (!link_.stop.load(std::memory_order_relaxed)) {
    const Instant now = read_clock();
    if (cycle(now) != 0) {
      busy_until = now + config_.spin;
    } else if (config_.idle == IdleMode::polite && now >= busy_until) {
      sleep(now);
    }
  }
}

std::size_t Lcore::cycle(Instant now) noexcept {
  std::size_t work = 0;
  sessions_.on_time(now);
  // What could not be sent goes first: nothing new is made while it waits.
  if (!sender_.is_blocked() || sender_.send(now, outbox_)) {
    work += take_commands(now);
    work += receive(now);
    work += tick(now, work != 0);
  }
  work += report_events();
  count_io();
  counters_.add(Counter::cycles_total);
  if (work != 0) counters_.add(Counter::cycles_busy_total);
  return work;
}

std::size_t Lcore::take_commands(Instant now) noexcept {
  std::size_t taken = 0;
  while (taken < commands_per_cycle && !sender_.is_blocked() && relay_.can_take_command()) {
    const Command* const command = link_.commands.front();
    if (command == nullptr) break;
    apply(now, *command);
    link_.commands.pop_front();
    ++taken;
    sender_.send(now, outbox_);
  }
  return taken;
}

/// Peers also live in the session table and the backend: first of all when they come, last when they go.
void Lcore::apply(Instant now, const Command& command) noexcept {
  if (const PeerUp* const up = std::get_if<PeerUp>(&command)) {
    sessions_.install(now, up->peer, up->keys);
    Endpoint lane = up->endpoint;
    lane.port = static_cast<std::uint16_t>(lane.port + config_.relay.lane);
    io_->set_destination(up->peer, lane);
  }
  relay_.on_command(now, command, outbox_);
  if (const PeerDown* const down = std::get_if<PeerDown>(&command)) {
    sender_.send(now, outbox_);
    sessions_.remove(down->peer);
    io_->clear_destination(down->peer);
  }
}

std::size_t Lcore::receive(Instant now) noexcept {
  if (sender_.is_blocked()) return 0;
  const std::size_t count = io_->rx_burst(std::span(runs_).first(runs_wanted_));
  if (count == 0) {
    runs_wanted_ = 1;  // the first datagram after a pause is the one somebody waits for: no second look for more
    return 0;
  }
  const std::span<const RxRun> received = std::span(runs_).first(count);
  std::size_t datagrams = 0;
  for (const RxRun& run : received) {
    datagrams += segment_count(run.bytes, run.segment_bytes);
    open_run(now, run);
  }
  runs_wanted_ = std::clamp(frames_per_cycle * count / datagrams, std::size_t{1}, runs_per_cycle_max);
  hand_frames(now);
  io_->release(received);
  return count;
}

/// Opens every datagram of a run where it lies.
void Lcore::open_run(Instant now, const RxRun& run) noexcept {
  for (std::uint32_t offset = 0; offset < run.bytes; offset += run.segment_bytes) {
    const std::uint32_t bytes = std::min(run.segment_bytes, run.bytes - offset);
    const Opened opened = sessions_.open(now, {run.data + offset, bytes});
    if (opened.outcome != Open::opened) {
      counters_.add(drop_counter(opened.outcome));
      continue;
    }
    if (frames_.size() == frames_per_burst) hand_frames(now);
    frames_.push_back({opened.peer, opened.frame});
  }
}

void Lcore::hand_frames(Instant now) noexcept {
  if (frames_.empty()) return;
  relay_.on_burst(now, frames_, outbox_);
  frames_received_ += frames_.size();
  frames_.clear();
  sender_.send(now, outbox_);
}

/// One tick does one bounded share of the relay's queued work (a generation decoded, a generation hashed), so a burst
/// is followed by as many as it may have called for.
std::size_t Lcore::tick(Instant now, bool due) noexcept {
  std::size_t made = 0;
  for (std::size_t ticks = 1 + frames_received_ / frames_per_tick; ticks != 0; --ticks) {
    if (sender_.is_blocked() || (!due && !outbox_was_full_ && relay_.next_deadline() > now)) break;
    made += tick_once(now);
    due = false;
  }
  frames_received_ = 0;
  return made;
}

std::size_t Lcore::tick_once(Instant now) noexcept {
  relay_.on_tick(now, outbox_);
  outbox_was_full_ = outbox_.frames_left() < outbox_spare || outbox_.items_left() < outbox_spare ||
                     outbox_.events_left() < outbox_spare;
  const std::size_t made = outbox_.items().size() + outbox_.events().size();
  sender_.send(now, outbox_);
  return made;
}

std::size_t Lcore::report_events() noexcept {
  if (outbox_.events().empty()) return 0;
  std::size_t pushed = 0;
  bool full = false;
  outbox_.take_events([&](const Event& event) noexcept {
    full = full || !link_.events.push(event);
    if (!full) {
      ++pushed;
      return true;
    }
    if (must_arrive(event)) return false;
    counters_.add(Counter::drop_event_full_total);
    return true;
  });
  if (pushed != 0 && on_events_) on_events_();
  return pushed;
}

/// Moves what the backend counted since the last cycle into the counters.
void Lcore::count_io() noexcept {
  const IoStats& stats = io_->stats();
  const auto move = [&](std::uint64_t IoStats::*field, Counter counter) {
    const std::uint64_t fresh = stats.*field - counted_.*field;
    if (fresh == 0) return;
    counters_.add(counter, fresh);
    counted_.*field = stats.*field;
  };
  move(&IoStats::rx_datagrams, Counter::rx_datagrams_total);
  move(&IoStats::rx_bytes, Counter::rx_bytes_total);
  move(&IoStats::rx_truncated, Counter::drop_rx_truncated_total);
  move(&IoStats::rx_empty, Counter::drop_malformed_datagram_total);
  move(&IoStats::tx_datagrams, Counter::tx_datagrams_total);
  move(&IoStats::tx_bytes, Counter::tx_bytes_total);
  move(&IoStats::tx_runs, Counter::tx_runs_total);
  move(&IoStats::tx_errors, Counter::drop_tx_error_total);
}

/// Waits for a datagram, a command or the next deadline. The flag is raised before the last look at the ring, and
/// control exchanges it after its push; both are read-modify-writes of one atomic, so either this thread sees the push
/// or control sees the flag.
void Lcore::sleep(Instant now) noexcept {
  Instant until = std::min(relay_.next_deadline(), now + sleep_max);
  const bool retry = sender_.is_blocked() || !outbox_.events().empty();
  if (retry) until = std::min(until, now + retry_time);
  if (until <= now) return;
  link_.asleep.exchange(true, std::memory_order_acq_rel);
  if (link_.commands.is_empty() && !link_.stop.load(std::memory_order_acquire)) {
    io_->wait(until - now, sender_.is_blocked());
  }
  link_.asleep.exchange(false, std::memory_order_acq_rel);
}

}  // namespace corelay::dataplane
