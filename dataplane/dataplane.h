/// The door of the data plane: starts the lcores, carries commands to them and events back. Everything below runs on
/// the lcores' own threads; every method here may be called from one control thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "codec/expected.h"
#include "dataplane/command.h"
#include "dataplane/counters.h"
#include "dataplane/event.h"
#include "dataplane/params.h"

namespace corelay::dataplane {

enum class BackendChoice : std::uint8_t { automatic, uring, socket };
enum class IdleMode : std::uint8_t {
  polite,  // spin for spin_us, then sleep until a packet, a command or a deadline
  spin,    // never sleep
};

/// How long start() waits for a port that another process holds: one that was killed may hold it for a moment.
inline constexpr int bind_wait_ms_max = 2400;

struct DataplaneConfig {
  RelayParams relay;
  std::string bind_address = "0.0.0.0";
  std::uint16_t port = 7070;          // lane n binds port + n; 0 = any free port (tests; one lane only)
  BackendChoice backend = BackendChoice::automatic;
  IdleMode idle = IdleMode::polite;
  std::uint32_t spin_us = 50;
  bool pin_lcores = true;             // to cores found by hwloc, the first left to control where there are several
  std::size_t command_ring_depth = 1024;
  std::size_t event_ring_depth = 8192;
  std::size_t socket_buffer_bytes = 8u << 20;
  double test_loss = 0.0;             // share of received datagrams dropped on purpose (a decorator over the backend)
};

/// One lcore as it was started.
struct LcoreInfo {
  int cpu = -1;                 // -1 when not pinned
  std::uint16_t port = 0;
  std::string backend;          // "uring (multishot, buffer ring, GSO, GRO)" or "socket (...)": what the probe found
};

class Dataplane {
 public:
  /// Opens the sockets and starts the lcores. `on_ready` is called from an lcore thread when events wait; it must only
  /// wake the control thread (which then calls poll_events()).
  [[nodiscard]] static Expected<std::unique_ptr<Dataplane>> start(const DataplaneConfig& config,
                                                                  std::function<void()> on_ready);
  /// Stops the lcores and closes the sockets; events not yet polled are lost.
  ~Dataplane();
  Dataplane(const Dataplane&) = delete;
  Dataplane& operator=(const Dataplane&) = delete;

  /// Sends a command to every lcore (peers, routes, trace). False when a ring is full: try again after poll_events().
  [[nodiscard]] bool command_all(const Command& command);
  /// Sends Publish or Release to the lcore that owns `tag`.
  [[nodiscard]] bool command_lane(const MessageTag& tag, const Command& command);

  /// Hands waiting events, at most `max`, to `take`, in order per lcore, every lcore its share. Returns how many.
  std::size_t poll_events(std::size_t max, const std::function<void(std::size_t lane, const Event&)>& take);

  [[nodiscard]] const std::vector<LcoreInfo>& lcores() const noexcept;
  [[nodiscard]] const Counters& counters(std::size_t lane) const noexcept;

 private:
  struct State;
  explicit Dataplane(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace corelay::dataplane
