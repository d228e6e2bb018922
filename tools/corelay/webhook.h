/// Messages passed on to a URL by POST, on a thread of its own: a slow or dead receiver never holds up the
/// subscription. What waits is bounded; what does not fit is dropped, counted and told.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "tools/corelay/console.h"
#include "tools/corelay/url.h"
#include "tools/corelay/webhook_template.h"

namespace corelay::tools {

struct WebhookOptions {
  Url url;
  std::optional<WebhookTemplate> schema;  // none: the payload is the body
  std::size_t queue_max = 100;
  std::size_t queue_bytes_max = 64u << 20;  // of payloads; a larger one waits alone
  std::chrono::milliseconds timeout{3'000};  // of one POST
};

struct WebhookCounts {
  std::uint64_t sent = 0;     // answered with 2xx
  std::uint64_t failed = 0;   // another answer, or none in time
  std::uint64_t dropped = 0;  // no room, or no time at the end
};

class Webhook {
 public:
  Webhook(const Console& console, WebhookOptions options);
  ~Webhook();
  Webhook(const Webhook&) = delete;
  Webhook& operator=(const Webhook&) = delete;

  /// Never waits.
  void offer(WebhookFields fields);
  /// Sends what waits, for as long as two POSTs may take, and stops.
  WebhookCounts finish();

 private:
  void run();
  void tell(std::chrono::steady_clock::time_point& told_at, const std::string& text) const;

  const Console& console_;
  const WebhookOptions options_;
  std::chrono::steady_clock::time_point drop_told_at_{};     // the caller's
  std::chrono::steady_clock::time_point failure_told_at_{};  // the thread's
  std::mutex mutex_;                                         // guards what follows
  std::condition_variable changed_;
  std::deque<WebhookFields> queue_;
  std::size_t queue_bytes_ = 0;
  WebhookCounts counts_;
  bool is_stopping_ = false;
  bool is_busy_ = false;
  std::thread thread_;
};

}  // namespace corelay::tools
