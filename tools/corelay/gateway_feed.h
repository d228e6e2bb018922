/// The messages a gateway has for us: over its WebSocket, or over its gRPC stream.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "codec/expected.h"
#include "tools/corelay/gateway_frame.h"
#include "tools/corelay/url.h"

namespace corelay::tools {

struct FeedEnded {
  Error error;
};
using FeedEvent = std::variant<GatewayMessage, GatewayLagged, GatewayNotice, FeedEnded>;

class GatewayFeed {
 public:
  virtual ~GatewayFeed() = default;
  /// The next event; nothing where none came in `timeout`. After FeedEnded there is nothing more.
  [[nodiscard]] virtual std::optional<FeedEvent> next(std::chrono::milliseconds timeout) = 0;
  /// Says goodbye.
  virtual void close() = 0;
};

/// `url` is that of the WebSocket, with client_id and offset in it. Errors as WsClient::open.
[[nodiscard]] Expected<std::unique_ptr<GatewayFeed>> open_ws_feed(
    const Url& url, const std::vector<std::pair<std::string, std::string>>& headers, std::chrono::milliseconds timeout);

}  // namespace corelay::tools
