/// The client's end of a WebSocket: reads messages, answers pings, notices a server that is silent.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "codec/expected.h"
#include "tools/corelay/url.h"

namespace corelay::tools {

class WsClient {
 public:
  /// Connects and upgrades. Errors: unavailable, timed_out; refused upgrades by the status of the answer:
  /// unauthenticated (401), permission_denied (403), invalid_argument (other 4xx), unavailable; `what` has the answer.
  [[nodiscard]] static Expected<std::unique_ptr<WsClient>> open(
      const Url& url, const std::vector<std::pair<std::string, std::string>>& headers,
      std::chrono::milliseconds timeout);
  ~WsClient();
  WsClient(const WsClient&) = delete;
  WsClient& operator=(const WsClient&) = delete;

  /// The next message; nothing where none came in `timeout`. Reads no further than that: a server is held back by a
  /// caller that is slow. Errors, for good: closed (by the server; `what` has its reason), unavailable, timed_out (30 s
  /// of silence, pings unanswered).
  [[nodiscard]] Expected<std::optional<std::string>> next(std::chrono::milliseconds timeout);
  /// Says goodbye and waits for the server's, for a second at most.
  void close();

 private:
  struct State;
  explicit WsClient(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace corelay::tools
