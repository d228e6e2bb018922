/// Message tag to slot number: open addressing with linear probing and backward-shift deletion, fixed capacity. Tags
/// come from strangers but are hashes of what they sign, and a seed of our own is mixed in, so nobody can aim at one
/// bucket without knowing it.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "codec/bytes.h"
#include "codec/check.h"
#include "dataplane/core/pool.h"
#include "dataplane/instant.h"
#include "dataplane/message.h"

namespace corelay::dataplane {

class TagMap {
 public:
  /// Holds up to `capacity` tags.
  TagMap(std::size_t capacity, std::uint64_t seed)
      : seed_(seed), mask_(std::bit_ceil(capacity * 2) - 1), entries_(mask_ + 1) {}

  /// The slot of `tag`, or slot_none.
  [[nodiscard]] std::uint32_t find(const MessageTag& tag) const noexcept {
    for (std::size_t i = home(tag);; i = (i + 1) & mask_) {
      if (entries_[i].slot == slot_none) return slot_none;
      if (entries_[i].tag == tag) return entries_[i].slot;
    }
  }

  /// The tag must not be there yet.
  void insert(const MessageTag& tag, std::uint32_t slot) noexcept {
    CHECK(++size_ * 2 <= entries_.size());
    std::size_t i = home(tag);
    while (entries_[i].slot != slot_none) i = (i + 1) & mask_;
    entries_[i] = {tag, slot};
  }

  /// The tag must be there.
  void replace(const MessageTag& tag, std::uint32_t slot) noexcept {
    std::size_t i = home(tag);
    while (entries_[i].tag != tag) i = (i + 1) & mask_;
    entries_[i].slot = slot;
  }

  void erase(const MessageTag& tag) noexcept {
    std::size_t i = home(tag);
    while (entries_[i].slot != slot_none && entries_[i].tag != tag) i = (i + 1) & mask_;
    if (entries_[i].slot == slot_none) return;
    --size_;
    for (std::size_t j = (i + 1) & mask_; entries_[j].slot != slot_none; j = (j + 1) & mask_) {
      const std::size_t distance_j = (j - home(entries_[j].tag)) & mask_;
      if (distance_j >= ((j - i) & mask_)) {
        entries_[i] = entries_[j];
        i = j;
      }
    }
    entries_[i].slot = slot_none;
  }

 private:
  struct Entry {
    MessageTag tag{};
    std::uint32_t slot = slot_none;
  };
  [[nodiscard]] std::size_t home(const MessageTag& tag) const noexcept {
    std::uint64_t x = load_le<std::uint64_t>(tag.data()) ^ seed_;
    x *= 0x9e3779b97f4a7c15ULL;
    return (x ^ (x >> 29)) & mask_;
  }

  std::uint64_t seed_;
  std::size_t mask_;
  std::size_t size_ = 0;
  std::vector<Entry> entries_;
};

/// The tags of messages taken in during the last `keep` time, at most `capacity` of them: the oldest goes first.
class SeenCache {
 public:
  SeenCache(std::size_t capacity, Duration keep, std::uint64_t seed)
      : keep_(keep), order_(capacity), map_(capacity, seed), tags_(capacity), at_(capacity), slots_(capacity) {}

  [[nodiscard]] bool contains(Instant now, const MessageTag& tag) const noexcept {
    const std::uint32_t slot = map_.find(tag);
    return slot != slot_none && now - at_[slot] <= keep_;
  }

  [[nodiscard]] bool is_empty() const noexcept { return order_.is_empty(); }

  /// Remembers `tag` from `now` on.
  void insert(Instant now, const MessageTag& tag) noexcept {
    if (const std::uint32_t known = map_.find(tag); known != slot_none) {
      at_[known] = now;
      return;
    }
    if (slots_.left() == 0) drop_oldest();
    const std::uint32_t slot = slots_.take();
    tags_[slot] = tag;
    at_[slot] = now;
    map_.insert(tag, slot);
    CHECK(order_.push(slot));
  }

  /// Forgets what is older than the keep time, a few entries a call.
  void expire(Instant now) noexcept {
    for (int i = 0; i < 64 && !order_.is_empty() && now - at_[order_.front()] > keep_; ++i) drop_oldest();
  }

 private:
  void drop_oldest() noexcept {
    const std::uint32_t slot = order_.front();
    order_.pop();
    map_.erase(tags_[slot]);
    slots_.give(slot);
  }

  Duration keep_;
  Fifo<std::uint32_t> order_;
  TagMap map_;
  std::vector<MessageTag> tags_;
  std::vector<Instant> at_;
  SlotList slots_;
};

}  // namespace corelay::dataplane
