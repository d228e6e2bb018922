/// Backends joined in memory, for tests: everything of one network runs on one thread. It keeps to the seam as strictly
/// as the system does, bounds included: a receiver without a free buffer loses datagrams, and a network that does not
/// flow takes no more than it can hold.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>

#include "dataplane/io/packet_io.h"

namespace corelay::dataplane {

class MemoryIo;

class MemoryNetwork {
 public:
  /// `held_runs_max`: how many runs each end may have under way while the network does not flow.
  explicit MemoryNetwork(std::size_t held_runs_max = 16) : held_runs_max_(held_runs_max) {}
  MemoryNetwork(const MemoryNetwork&) = delete;
  MemoryNetwork& operator=(const MemoryNetwork&) = delete;

  /// A new end at 127.0.0.1 and `config.port`, or a free port for 0. The network outlives it.
  [[nodiscard]] std::unique_ptr<PacketIo> open(const IoConfig& config);

  /// While true (at first) what is sent arrives at once; while false it stays under way. Setting it delivers.
  void set_flowing(bool flowing) noexcept;

 private:
  friend class MemoryIo;
  std::size_t held_runs_max_;
  bool flowing_ = true;
  std::uint16_t next_port_ = 20'000;
  std::map<std::uint16_t, MemoryIo*> ends_;
};

}  // namespace corelay::dataplane
