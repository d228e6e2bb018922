/// Subscribing through a gateway: over its WebSocket, or gRPC; a connection that breaks is made again, where possible
/// at the next gateway, and goes on behind the last message.
#pragma once

#include <string>
#include <vector>

#include "tools/corelay/commands.h"

namespace corelay::tools {

[[nodiscard]] ExitCode subscribe_at_gateway(const Console& console, const SubscribeOptions& options);

/// Ids of the last messages that came, so that what comes again after a reconnect is shown once. Only then: the same
/// bytes may be published anew later.
class RecentMessages {
 public:
  explicit RecentMessages(std::size_t kept_max) : kept_max_(kept_max) {}
  /// What came until now may come again.
  void on_reconnect();
  /// From now on nothing is taken for something that came before.
  void settle() { had_.clear(); }
  /// False where it came before the last reconnect and had not been seen again since. Takes the id.
  [[nodiscard]] bool is_new(const std::string& id);

 private:
  const std::size_t kept_max_;
  std::vector<std::string> ring_;
  std::size_t next_ = 0;
  std::vector<std::string> had_;
};

}  // namespace corelay::tools
