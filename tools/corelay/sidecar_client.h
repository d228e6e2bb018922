/// One conversation with a node's sidecar (gRPC /proto.CommandStream/ListenCommands). A reader
/// thread takes what the node sends from the moment the stream opens, so a publisher never blocks
/// the node; what it took waits in a queue bounded by bytes, after which the node is held back.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "codec/expected.h"
#include "tools/corelay/sidecar_event.h"

namespace corelay::tools {

struct SidecarArrival {
  std::chrono::steady_clock::time_point at;  // when the whole response had been read
  std::string json;                          // for parse_message()
};
struct SidecarEnded {
  Error error;  // `closed` where the node ended the stream with an OK status
};
using SidecarEvent = std::variant<SidecarArrival, Trace, SidecarEnded>;

class SidecarClient {
 public:
  /// Connects and opens the stream. Errors: unavailable (nobody answers; `what` has the system's
  /// reason), timed_out.
  [[nodiscard]] static Expected<std::unique_ptr<SidecarClient>> open(
      const std::string& address, std::chrono::milliseconds timeout);
  ~SidecarClient();
  SidecarClient(const SidecarClient&) = delete;
  SidecarClient& operator=(const SidecarClient&) = delete;

  /// Hands the command to gRPC; false once the stream has ended (next() says why).
  [[nodiscard]] bool publish(std::string_view topic, std::string_view payload);
  [[nodiscard]] bool subscribe(std::string_view topic);

  /// The next message, the next trace that answers a command, or the end; nothing when `timeout`
  /// passed.
  [[nodiscard]] std::optional<SidecarEvent> next(std::chrono::milliseconds timeout);

  /// Topics the node takes part in (unary call).
  [[nodiscard]] Expected<std::vector<std::string>> topics(std::chrono::milliseconds timeout);

 private:
  struct State;
  explicit SidecarClient(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace corelay::tools
