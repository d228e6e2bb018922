/// A gateway's gRPC service (/proto.ProxyStream): publish, subscribe, and the stream of messages.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "codec/expected.h"
#include "tools/corelay/gateway_feed.h"

namespace corelay::tools {

class GatewayGrpc {
 public:
  /// `authorization` is the value of that header, or empty. Connects when it is first used.
  GatewayGrpc(std::string address, bool is_tls, std::string authorization);
  ~GatewayGrpc();
  GatewayGrpc(const GatewayGrpc&) = delete;
  GatewayGrpc& operator=(const GatewayGrpc&) = delete;

  struct Published {
    std::string status;  // "published" or "deduplicated"
    std::string message_id;
  };
  /// Errors: unavailable, timed_out, unauthenticated, not_found (topic not assigned), malformed (the server has no such
  /// service), too_large (a limit), invalid_argument.
  [[nodiscard]] Expected<Published> publish(const std::string& client, const std::string& topic,
                                            std::string_view payload, std::chrono::milliseconds timeout);
  /// `threshold` 0: the gateway's own. Errors as publish().
  [[nodiscard]] Expected<void> subscribe(const std::string& client, const std::vector<std::string>& topics,
                                         double threshold, std::chrono::milliseconds timeout);
  /// Whether the server has the service at all: it answers, or asks for a token first.
  [[nodiscard]] bool is_served(std::chrono::milliseconds timeout);
  /// At most `queue_max` messages wait for next(); then the gateway is held back.
  [[nodiscard]] std::unique_ptr<GatewayFeed> open(const std::string& client, std::size_t queue_max);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace corelay::tools
