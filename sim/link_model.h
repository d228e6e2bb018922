/// The network of a simulated run: when a datagram leaves, when it arrives, and whether it does.
/// Holds no datagrams and no clock: the simulator asks at the moment something is sent or arrives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "codec/rng.h"
#include "sim/scenario.h"

namespace corelay::sim {

/// A transmitter: takes bytes one after the other at a fixed rate, exactly (no rounding adds up).
class Serializer {
 public:
  explicit Serializer(std::uint64_t bytes_per_second) : bytes_per_second_(bytes_per_second) {}

  /// Puts `bytes` behind what is queued; returns when their last bit is out.
  Instant take(Instant now, std::size_t bytes) noexcept;
  /// Bytes taken that are not out at `now`, a half-sent datagram with its rest.
  [[nodiscard]] std::uint64_t backlog_bytes(Instant now) const noexcept;

 private:
  std::uint64_t bytes_per_second_;
  Instant busy_since_{};          // start of this busy period
  std::uint64_t busy_bytes_ = 0;  // taken in it
  Instant free_at_{};
};

enum class Fate : std::uint8_t { passes, up_queue_full, lost, lost_in_burst };

/// What happens to one datagram on its way to the receiver's downlink.
struct Passage {
  Fate fate = Fate::passes;
  Instant arrives{};
  bool is_corrupt = false;
  bool is_twice = false;
  Instant arrives_again{};  // where is_twice
};

class LinkModel {
 public:
  LinkModel(const LinkParams& params, std::size_t nodes, std::uint64_t seed);

  /// `bytes` of datagram (overhead included) leave `from` for `to`.
  [[nodiscard]] Passage send(Instant now, std::size_t from, std::size_t to, std::size_t bytes,
                             Rng& rng);
  /// `bytes` arrive at `to`. Sets when they are through the downlink; false when its queue is full.
  [[nodiscard]] bool receive(Instant now, std::size_t to, std::size_t bytes,
                             Instant& through) noexcept;
  /// One-way delay between two nodes.
  [[nodiscard]] Duration delay(std::size_t a, std::size_t b) const noexcept;
  /// Loss, bursts, reordering, duplicates and corruption on or off (off at start). Rates and delays
  /// stay.
  void set_faults(bool is_on) noexcept { is_faulty_ = is_on; }
  [[nodiscard]] bool is_faulty() const noexcept { return is_faulty_; }

 private:
  struct Direction {
    bool is_bad = false;
    Instant last{};  // latest ordered arrival
  };
  const LinkParams params_;
  std::uint64_t seed_;
  bool is_faulty_ = false;
  std::vector<Serializer> up_;
  std::vector<Serializer> down_;
  std::unordered_map<std::uint64_t, Direction> directions_;
};

}  // namespace corelay::sim
