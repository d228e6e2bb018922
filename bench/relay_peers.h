/// What the relay and hop benchmarks share: the neighbours of a relay under test, played by one thread on a core of its
/// own. They hold real sessions, send real signed messages and answer with real feedback.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/command.h"
#include "dataplane/core/session_table.h"
#include "dataplane/dataplane.h"
#include "dataplane/instant.h"
#include "dataplane/message.h"
#include "dataplane/params.h"

namespace corelay::bench {

using dataplane::Endpoint;
using dataplane::Instant;
using dataplane::PeerIndex;
using dataplane::PreparedMessage;
using dataplane::RelayParams;

inline constexpr std::string_view bench_topic = "bench";

[[nodiscard]] Instant read_clock() noexcept;
void pin_to(int cpu) noexcept;

/// CPU time used so far by the thread named `name` of this process, in ns, and how long it waited for a core; what the
/// scheduler keeps. Zero when there is no such thread.
struct ThreadTime {
  std::uint64_t run_ns = 0;
  std::uint64_t wait_ns = 0;
};
[[nodiscard]] ThreadTime thread_time(std::string_view name);
[[nodiscard]] ThreadTime own_thread_time();

[[nodiscard]] Endpoint loopback(std::uint16_t port) noexcept;

/// Both ends of a session, the same for the same seed.
struct SessionEnds {
  dataplane::SessionKeys here;
  dataplane::SessionKeys there;
};
[[nodiscard]] SessionEnds make_session(std::uint64_t seed);

/// `count` messages of `bytes` random bytes, signed.
[[nodiscard]] std::vector<std::unique_ptr<PreparedMessage>> make_messages(std::size_t count, std::size_t bytes,
                                                                          std::uint64_t seed,
                                                                          const RelayParams& params);

/// One UDP socket on loopback, non-blocking.
class LoopbackSocket {
 public:
  LoopbackSocket();
  ~LoopbackSocket();
  LoopbackSocket(const LoopbackSocket&) = delete;
  LoopbackSocket& operator=(const LoopbackSocket&) = delete;
  [[nodiscard]] int fd() const noexcept { return fd_; }
  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
  void connect_to(std::uint16_t port) const;

 private:
  int fd_ = -1;
  std::uint16_t port_ = 0;
};

/// What the peer knows of the frames it received on one link: enough to acknowledge them.
class ReceivedLink {
 public:
  /// Notes a link sequence.
  void note(std::uint32_t sequence, Instant now) noexcept;
  [[nodiscard]] std::uint32_t highest() const noexcept { return highest_; }
  [[nodiscard]] std::span<const std::uint64_t> words() const noexcept { return words_; }
  [[nodiscard]] std::uint32_t delay_us(Instant now) const noexcept;
  /// The receiver's clock when the highest sequence came, in microseconds, modulo 2^32.
  [[nodiscard]] std::uint32_t highest_us() const noexcept { return static_cast<std::uint32_t>(highest_at_.ns / 1000); }
  [[nodiscard]] std::uint32_t next_number() noexcept { return ++number_; }
  [[nodiscard]] std::uint32_t fresh() const noexcept { return fresh_; }
  void clear_fresh() noexcept { fresh_ = 0; }

 private:
  std::uint32_t highest_ = 0;
  Instant highest_at_{};
  std::array<std::uint64_t, 16> words_{};
  std::uint32_t number_ = 0;
  std::uint32_t fresh_ = 0;
};

/// The value below which the share `q` of `values` lies; sorts them.
[[nodiscard]] double quantile(std::vector<double>& values, double q);

}  // namespace corelay::bench
