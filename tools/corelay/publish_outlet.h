/// Where published messages go: a node's sidecar or a gateway. What is shown of a message is the same.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "codec/expected.h"
#include "tools/corelay/commands.h"

namespace corelay::tools {

/// One payload and how it is called in what we print.
struct Payload {
  std::string bytes;
  std::string name;  // file name; empty for text given on the command line
};

class PublishOutlet {
 public:
  virtual ~PublishOutlet() = default;
  /// Sends one payload, waits for the word on it and reports it.
  [[nodiscard]] virtual ExitCode send(const Payload& payload) = 0;
};

/// An outlet, or the exit code of a failure that has been reported.
using OpenedOutlet = tl::expected<std::unique_ptr<PublishOutlet>, ExitCode>;
[[nodiscard]] OpenedOutlet open_gateway_outlet(const Console& console, const PublishOptions& options);

struct PublishReport {
  std::string topic;
  std::string status;      // "published" or "deduplicated"
  std::string message_id;  // hex
};
ExitCode report_published(const Console& console, const PublishReport& report, const Payload& payload,
                          std::chrono::nanoseconds took);

}  // namespace corelay::tools
