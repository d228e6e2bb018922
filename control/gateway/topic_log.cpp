#include "control/gateway/topic_log.h"

#include <algorithm>

#include "control/gateway/encode.h"

namespace corelay::gateway {
namespace {

constexpr std::size_t item_overhead_bytes = 256;  // the item itself, its message's strings, its control blocks
constexpr std::size_t gone_max = 65536;

}  // namespace

std::size_t TopicLog::bytes_of(const Item& item) {
  std::size_t bytes = item_overhead_bytes + item.message->payload.size();
  for (const auto& encoded : item.encoded) bytes += encoded ? encoded->size() : 0;
  return bytes;
}

std::size_t TopicLog::append(std::uint64_t offset, SharedMessage message) {
  items_.push_back({offset, std::move(message), {}});
  count_bytes(bytes_of(items_.back()), 0);
  std::size_t dropped = 0;
  while (items_.size() > 1 && (items_.size() > bounds_.messages_max || bytes_ > bounds_.bytes_max)) {
    drop_first();
    ++dropped;
  }
  return dropped;
}

void TopicLog::drop_first() {
  count_bytes(0, bytes_of(items_.front()));
  gone_.push_back(items_.front().offset);
  if (gone_.size() > gone_max) gone_.pop_front();
  items_.pop_front();
  ++first_;
}

const SharedBytes& TopicLog::encoded(std::uint64_t index, Format format, std::string_view epoch) {
  Item& item = items_[static_cast<std::size_t>(index - first_)];
  SharedBytes& bytes = item.encoded[static_cast<std::size_t>(format)];
  if (!bytes) {
    bytes = encode(format, *item.message, item.offset, epoch);
    count_bytes(bytes->size(), 0);
  }
  return bytes;
}

TopicLog::Place TopicLog::after(std::uint64_t offset) const {
  const auto found = std::upper_bound(items_.begin(), items_.end(), offset,
                                      [](std::uint64_t value, const Item& item) { return value < item.offset; });
  const auto gone = std::upper_bound(gone_.begin(), gone_.end(), offset);
  return {first_ + static_cast<std::uint64_t>(found - items_.begin()), static_cast<std::uint64_t>(gone_.end() - gone)};
}

void TopicLog::remove(Reader* reader) {
  const auto found = std::find(readers_.begin(), readers_.end(), reader);
  if (found == readers_.end()) return;
  *found = readers_.back();
  readers_.pop_back();
}

}  // namespace corelay::gateway
