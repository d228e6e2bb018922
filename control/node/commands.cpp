#include "control/node/commands.h"

#include <chrono>

namespace corelay::node {

CommandQueue::CommandQueue(boost::asio::io_context& io, dataplane::Dataplane& dataplane)
    : dataplane_(dataplane), retry_(io), for_lane_(dataplane.lcores().size()) {}

void CommandQueue::all(const dataplane::Command& command) {
  if (for_all_.empty() && dataplane_.command_all(command)) return;
  for_all_.push_back(command);
  retry_soon();
}

void CommandQueue::lane(const dataplane::MessageTag& tag, const dataplane::Command& command) {
  auto& queue = for_lane_[tag[0] % for_lane_.size()];
  if (queue.empty() && dataplane_.command_lane(tag, command)) return;
  queue.push_back({tag, command});
  retry_soon();
}

void CommandQueue::flush() {
  while (!for_all_.empty() && dataplane_.command_all(for_all_.front())) for_all_.pop_front();
  for (auto& queue : for_lane_) {
    while (!queue.empty() && dataplane_.command_lane(queue.front().tag, queue.front().command)) queue.pop_front();
  }
  if (waiting() != 0) retry_soon();
}

std::size_t CommandQueue::waiting() const noexcept {
  std::size_t count = for_all_.size();
  for (const auto& queue : for_lane_) count += queue.size();
  return count;
}

void CommandQueue::retry_soon() {
  if (is_retrying_) return;
  is_retrying_ = true;
  retry_.expires_after(std::chrono::milliseconds(1));
  retry_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    is_retrying_ = false;
    flush();
  });
}

}  // namespace corelay::node
