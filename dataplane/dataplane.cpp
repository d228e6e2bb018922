#include "dataplane/dataplane.h"

#include <sys/prctl.h>
#include <sys/random.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <future>
#include <memory>
#include <span>
#include <thread>
#include <utility>

#include "codec/check.h"
#include "dataplane/io/loss_io.h"
#include "dataplane/io/open_io.h"
#include "dataplane/lcore/lcore.h"
#include "dataplane/lcore/pinning.h"

namespace corelay::dataplane {
namespace {

/// One lcore as control sees it. The thread owns relay, sessions and backend; `io` is only ever woken from outside.
struct Lane {
  Lane(std::size_t command_depth, std::size_t event_depth) : link(command_depth, event_depth) {}
  LcoreLink link;
  PacketIo* io = nullptr;
  std::atomic<bool> may_close{false};  // nobody will wake `io` any more
  LcoreInfo info;
  std::thread thread;
};

std::uint64_t random_seed() noexcept {
  std::uint64_t seed = 0;
  CHECK(getrandom(&seed, sizeof seed, 0) == sizeof seed);
  return seed;
}

IoConfig io_config(const DataplaneConfig& config, std::size_t lane) {
  IoConfig io;
  io.bind_address = config.bind_address;
  io.port = config.port == 0 ? std::uint16_t{0} : static_cast<std::uint16_t>(config.port + lane);
  io.peers_max = config.relay.peers_max;
  io.socket_buffer_bytes = config.socket_buffer_bytes;
  return io;
}

LcoreConfig lcore_config(const DataplaneConfig& config, std::size_t lane) {
  LcoreConfig lcore;
  lcore.relay = config.relay;
  lcore.relay.lane = static_cast<std::uint8_t>(lane);
  lcore.seed = random_seed();
  lcore.idle = config.idle;
  lcore.spin = microseconds(config.spin_us);
  return lcore;
}

Expected<std::unique_ptr<PacketIo>> open_backend(const DataplaneConfig& config, std::size_t lane) {
  Expected<std::unique_ptr<PacketIo>> io = open_io(config.backend, io_config(config, lane));
  if (!io || config.test_loss <= 0.0) return io;
  return std::unique_ptr<PacketIo>(std::make_unique<LossIo>(std::move(*io), config.test_loss, random_seed()));
}

/// The planned cpu of each lane; all -1 when pinning is off or the machine cannot be read.
std::vector<int> plan(const DataplaneConfig& config) {
  const std::size_t lanes = config.relay.wire.lanes;
  if (!config.pin_lcores) return std::vector<int>(lanes, -1);
  const Expected<std::vector<Core>> cores = list_cores();
  if (!cores) return std::vector<int>(lanes, -1);
  return plan_lcores(*cores, lanes, nic_numa_node(config.bind_address));
}

}  // namespace

struct Dataplane::State {
  DataplaneConfig config;
  std::function<void()> on_ready;
  std::vector<std::unique_ptr<Lane>> lanes;
  std::vector<LcoreInfo> infos;
  std::size_t first_lane = 0;  // where the next poll begins
  std::atomic<bool> ready_said{false};  // control has been woken and has not polled since

  State(const DataplaneConfig& c, std::function<void()> ready) : config(c), on_ready(std::move(ready)) {}
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State();

  void run_lane(std::size_t lane, int cpu, std::promise<Expected<LcoreInfo>> started);
  Expected<void> start_lanes();
  void say_ready() {
    if (!ready_said.exchange(true, std::memory_order_acq_rel) && on_ready) on_ready();
  }
  void wake(Lane& lane);
};

Dataplane::State::~State() {
  for (const auto& lane : lanes) {
    if (!lane->thread.joinable()) continue;
    lane->link.stop.store(true, std::memory_order_release);
    if (lane->io != nullptr) lane->io->wake();
    lane->may_close.store(true, std::memory_order_release);
    lane->may_close.notify_one();
    lane->thread.join();
  }
}

/// The body of an lcore thread. Everything is made here, on the core that will use it, so that its memory lies near.
void Dataplane::State::run_lane(std::size_t index, int cpu, std::promise<Expected<LcoreInfo>> started) {
  Lane& lane = *lanes[index];
  std::unique_ptr<Lcore> lcore;
  try {
    LcoreInfo info;
    if (cpu >= 0 && pin_this_thread(cpu)) info.cpu = cpu;
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);  // deadlines are microseconds; the default slack is 50 of them
    prctl(PR_SET_NAME, ("lcore-" + std::to_string(index)).c_str(), 0UL, 0UL, 0UL);
    Expected<std::unique_ptr<PacketIo>> io = open_backend(config, index);
    if (!io) {
      started.set_value(tl::make_unexpected(io.error()));
      return;
    }
    info.port = (*io)->port();
    info.backend = (*io)->caps().name;
    lane.io = io->get();
    lcore = std::make_unique<Lcore>(lcore_config(config, index), std::move(*io), lane.link, [this] { say_ready(); });
    started.set_value(info);
  } catch (const std::exception& e) {
    lane.io = nullptr;
    started.set_value(fail(ErrorCode::unavailable, "start lcore " + std::to_string(index), e.what()));
    return;
  }
  lcore->run();
  lane.may_close.wait(false, std::memory_order_acquire);
}

Expected<void> Dataplane::State::start_lanes() {
  const std::vector<int> cpus = plan(config);
  std::vector<std::future<Expected<LcoreInfo>>> started;
  for (std::size_t i = 0; i < cpus.size(); ++i) {
    lanes.push_back(std::make_unique<Lane>(config.command_ring_depth, config.event_ring_depth));
  }
  for (std::size_t i = 0; i < cpus.size(); ++i) {
    std::promise<Expected<LcoreInfo>> promise;
    started.push_back(promise.get_future());
    lanes[i]->thread = std::thread(&State::run_lane, this, i, cpus[i], std::move(promise));
  }
  Expected<void> outcome;
  for (auto& future : started) {
    Expected<LcoreInfo> info = future.get();
    if (info) {
      infos.push_back(std::move(*info));
    } else if (outcome) {
      outcome = tl::make_unexpected(info.error());
    }
  }
  return outcome;
}

/// After a push: see Lcore::sleep for the other half.
void Dataplane::State::wake(Lane& lane) {
  if (lane.link.asleep.exchange(false, std::memory_order_acq_rel)) lane.io->wake();
}

Expected<std::unique_ptr<Dataplane>> Dataplane::start(const DataplaneConfig& config,
                                                      std::function<void()> on_ready) {
  const std::size_t lanes = config.relay.wire.lanes;
  if (lanes == 0 || lanes > source_lanes_max) {
    return fail(ErrorCode::invalid_argument, "start data plane",
                "lanes must be 1 to " + std::to_string(source_lanes_max));
  }
  if (config.port == 0 ? lanes != 1 : config.port + lanes - 1 > 65'535) {
    return fail(ErrorCode::invalid_argument, "start data plane",
                "the ports of all lanes must exist: give a lower port");
  }
  auto state = std::make_unique<State>(config, std::move(on_ready));
  if (Expected<void> started = state->start_lanes(); !started) return tl::make_unexpected(started.error());
  return std::unique_ptr<Dataplane>(new Dataplane(std::move(state)));
}

Dataplane::Dataplane(std::unique_ptr<State> state) : state_(std::move(state)) {}
Dataplane::~Dataplane() = default;

bool Dataplane::command_all(const Command& command) {
  // Only this thread pushes, so room seen now is room later: either every lcore gets the command or none.
  for (const auto& lane : state_->lanes) {
    if (lane->link.commands.room() == 0) return false;
  }
  for (const auto& lane : state_->lanes) {
    CHECK(lane->link.commands.push(command));
    state_->wake(*lane);
  }
  return true;
}

bool Dataplane::command_lane(const MessageTag& tag, const Command& command) {
  Lane& lane = *state_->lanes[tag[0] % state_->lanes.size()];
  if (!lane.link.commands.push(command)) return false;
  state_->wake(lane);
  return true;
}

std::size_t Dataplane::poll_events(std::size_t max,
                                   const std::function<void(std::size_t lane, const Event&)>& take) {
  // Lowered before looking: an event that comes after the look calls again.
  state_->ready_said.exchange(false, std::memory_order_acq_rel);
  const std::size_t lanes = state_->lanes.size();
  state_->first_lane = (state_->first_lane + 1) % lanes;
  std::size_t taken = 0;
  // Every lane gets its share of `max` before any gets more, and who is first changes: a lane that is always full
  // must not keep the others waiting.
  for (const std::size_t share : {(max + lanes - 1) / lanes, max}) {
    for (std::size_t i = 0; i < lanes; ++i) {
      const std::size_t lane = (state_->first_lane + i) % lanes;
      const std::size_t end = std::min(max, taken + share);
      for (Event event; taken < end && state_->lanes[lane]->link.events.pop(event); ++taken) take(lane, event);
    }
  }
  bool more = false;
  for (const auto& lane : state_->lanes) more = more || !lane->link.events.is_empty();
  if (more) state_->say_ready();
  return taken;
}

const std::vector<LcoreInfo>& Dataplane::lcores() const noexcept { return state_->infos; }

const Counters& Dataplane::counters(std::size_t lane) const noexcept { return state_->lanes[lane]->link.counters; }

}  // namespace corelay::dataplane
