#include "control/gateway/publish_order.h"

#include <algorithm>

namespace corelay::gateway {

std::uint64_t PublishOrder::enter(Instant now) {
  slots_.push_back({nullptr, 0, false, now});
  return base_ + slots_.size() - 1;
}

void PublishOrder::reached(std::uint64_t place, const SharedMessage& message, unsigned before, unsigned nodes,
                           const std::vector<unsigned>& levels, const Deliver& deliver) {
  const bool is_here = place >= base_ && place < base_ + slots_.size();
  if (is_here) {
    Slot& slot = slots_[place - base_];
    slot.message = message;
    slot.nodes = nodes;
  }
  for (const unsigned level : levels) {  // what was given up on is late, and goes at once
    const auto next = next_.find(level);
    const bool is_past = !is_here || (next != next_.end() && next->second > place);
    if (is_past && level > before && level <= nodes) deliver(level, message);
  }
  drain(levels, deliver);
}

void PublishOrder::failed(std::uint64_t place, const std::vector<unsigned>& levels, const Deliver& deliver) {
  if (place >= base_ && place < base_ + slots_.size()) slots_[place - base_].is_over = true;
  drain(levels, deliver);
}

void PublishOrder::give_up(Instant limit, const std::vector<unsigned>& levels, const Deliver& deliver) {
  for (auto& slot : slots_) {
    if (slot.at > limit) break;
    slot.is_over = true;
  }
  drain(levels, deliver);
}

void PublishOrder::drain(const std::vector<unsigned>& levels, const Deliver& deliver) {
  const std::uint64_t end = base_ + slots_.size();
  std::uint64_t done = end;
  for (const unsigned level : levels) {
    std::uint64_t& next = next_.try_emplace(level, base_).first->second;
    for (next = std::max(next, base_); next < end; ++next) {
      const Slot& slot = slots_[next - base_];
      if (slot.nodes >= level) {
        deliver(level, slot.message);
      } else if (!slot.is_over) {
        break;
      }
    }
    done = std::min(done, next);
  }
  for (; base_ < done; ++base_) slots_.pop_front();
}

}  // namespace corelay::gateway
