/// A queue of events for virtual time that never goes back: a monotone radix heap (Ahuja, Mehlhorn,
/// Orlin, Tarjan 1990). Events of one instant come out in the order they went in, so a run depends
/// on nothing but its inputs. No allocation once its buckets have grown; a handful of sequential
/// moves an event, where a binary heap of millions would miss the cache at every level.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "codec/check.h"
#include "dataplane/instant.h"

namespace corelay::sim {

/// `Event` has a member `at` (Instant, not negative).
template <class Event>
class EventQueue {
 public:
  [[nodiscard]] bool is_empty() const noexcept { return size_ == 0; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  /// `event.at` is not before the event popped last.
  void push(const Event& event) {
    CHECK(event.at.ns >= last_);
    buckets_[bucket_of(event.at.ns)].push_back(event);
    ++size_;
  }

  /// The earliest event. The queue is not empty.
  Event pop() {
    CHECK(size_ != 0);
    if (next_ == buckets_[0].size()) refill();
    --size_;
    return buckets_[0][next_++];
  }

 private:
  [[nodiscard]] std::size_t bucket_of(std::int64_t at) const noexcept {
    return static_cast<std::size_t>(std::bit_width(static_cast<std::uint64_t>(at ^ last_)));
  }

  /// Moves the lowest bucket that holds something down; its earliest events go to bucket 0. Equal
  /// times share a bucket always, and order within a bucket is kept.
  void refill() {
    buckets_[0].clear();
    next_ = 0;
    std::size_t lowest = 1;
    while (buckets_[lowest].empty()) ++lowest;
    std::vector<Event>& from = buckets_[lowest];
    last_ = from.front().at.ns;
    for (const Event& event : from) last_ = std::min(last_, event.at.ns);
    for (const Event& event : from) buckets_[bucket_of(event.at.ns)].push_back(event);
    from.clear();
  }

  std::array<std::vector<Event>, 65> buckets_;
  std::size_t next_ = 0;  // of bucket 0
  std::size_t size_ = 0;
  std::int64_t last_ = 0;
};

}  // namespace corelay::sim
