/// The gRPC API for local clients, as the published node has it:
/// /proto.CommandStream/{ListenCommands,Health,ListTopics}, with gRPC health and reflection. gRPC stays behind this
/// header.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "codec/expected.h"

namespace corelay::node {

class Node;

/// A request may be this much larger than relay.message_bytes_max: its other fields, and messages a little over the
/// limit, which are refused by the limit's name. gRPC refuses what is larger still before it takes the memory for it.
inline constexpr std::size_t request_overhead_bytes = 1u << 20;

/// What the sidecar counts, since start.
struct SidecarCounts {
  std::uint64_t streams = 0;            // open now
  std::uint64_t messages_sent = 0;      // messages and traces that left
  std::uint64_t bytes_sent = 0;
  std::uint64_t messages_received = 0;  // requests
  std::uint64_t bytes_received = 0;
  std::uint64_t dropped_messages = 0;   // messages a slow client's queue had no room for
  std::uint64_t dropped_traces = 0;     // likewise traces
};

class Sidecar {
 public:
  /// Listens where node.config() says. Errors: unavailable, naming the port and what to do.
  [[nodiscard]] static Expected<std::unique_ptr<Sidecar>> start(Node& node);
  /// Ends every stream at once.
  ~Sidecar();
  Sidecar(const Sidecar&) = delete;
  Sidecar& operator=(const Sidecar&) = delete;

  /// Says to health watchers that the node leaves.
  void set_serving(bool is_serving);
  /// Ends the streams with UNAVAILABLE and takes no new ones; returns within a second.
  void stop();

  [[nodiscard]] std::uint16_t port() const noexcept;
  [[nodiscard]] SidecarCounts counts() const;

 private:
  struct State;
  explicit Sidecar(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace corelay::node
