#include "tools/corelay/webhook.h"

#include <fmt/format.h>

#include <utility>

#include "tools/corelay/gateway_frame.h"
#include "tools/corelay/http_client.h"
#include "tools/corelay/text.h"

namespace corelay::tools {
namespace {

constexpr std::chrono::seconds tell_pause{1};

}  // namespace

Webhook::Webhook(const Console& console, WebhookOptions options) : console_(console), options_(std::move(options)) {
  thread_ = std::thread([this] { run(); });
}

Webhook::~Webhook() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
    queue_.clear();
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

/// At most once a second: the counts at the end say how many there were.
void Webhook::tell(std::chrono::steady_clock::time_point& told_at, const std::string& text) const {
  const auto now = std::chrono::steady_clock::now();
  if (told_at != std::chrono::steady_clock::time_point{} && now - told_at < tell_pause) return;
  told_at = now;
  console_.note(text);
}

void Webhook::offer(WebhookFields fields) {
  std::uint64_t dropped = 0;
  {
    const std::lock_guard lock(mutex_);
    const std::size_t bytes = queue_bytes_ + fields.message.size();
    if (queue_.empty() || (queue_.size() < options_.queue_max && bytes <= options_.queue_bytes_max)) {
      queue_bytes_ = bytes;
      queue_.push_back(std::move(fields));
    } else {
      dropped = ++counts_.dropped;
    }
  }
  changed_.notify_all();
  if (dropped != 0)
    tell(drop_told_at_,
         fmt::format("Webhook queue full ({}), message dropped; {} so far (--webhook-queue-size; {} at most)",
                     options_.queue_max, dropped, human_bytes(options_.queue_bytes_max)));
}

void Webhook::run() {
  HttpClient client(options_.url, options_.timeout);
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return is_stopping_ || !queue_.empty(); });
    if (queue_.empty()) return;
    const WebhookFields fields = std::move(queue_.front());
    queue_.pop_front();
    queue_bytes_ -= fields.message.size();
    is_busy_ = true;
    lock.unlock();
    HttpRequest request;
    request.method = "POST";
    request.target = options_.url.target;
    request.body = options_.schema ? options_.schema->fill(fields) : fields.message;
    request.content_type = options_.schema ? "application/json" : content_type_of(fields.message);
    const auto reply = client.send(request);
    const bool is_sent = reply && reply->status >= 200 && reply->status < 300;
    if (!is_sent) {
      const std::string why =
          reply ? fmt::format("status {}: {}", reply->status, error_text(reply->body)) : reply.error().what;
      tell(failure_told_at_, fmt::format("Webhook {}: {}", options_.url.origin(), why));
    }
    lock.lock();
    ++(is_sent ? counts_.sent : counts_.failed);
    is_busy_ = false;
    changed_.notify_all();
  }
}

WebhookCounts Webhook::finish() {
  {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, 2 * options_.timeout, [&] { return queue_.empty() && !is_busy_; });
    counts_.dropped += queue_.size();
    queue_.clear();
    is_stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
  return counts_;
}

}  // namespace corelay::tools
