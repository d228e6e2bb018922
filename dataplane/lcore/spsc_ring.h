/// A bounded queue between exactly two threads, without locks. Each side keeps a copy of the other's index and looks at
/// the shared one only when the copy says full or empty, so a busy ring costs about one cache line transfer an item.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <utility>
#include <vector>

namespace corelay::dataplane {

template <class T>
class SpscRing {
 public:
  /// Holds at least `depth` items; the capacity is the next power of two.
  explicit SpscRing(std::size_t depth) : slots_(std::bit_ceil(depth < 2 ? std::size_t{2} : depth)) {}
  SpscRing(const SpscRing&) = delete;
  SpscRing& operator=(const SpscRing&) = delete;

  [[nodiscard]] std::size_t capacity() const noexcept { return slots_.size(); }

  /// Producer: how many pushes will succeed at least.
  [[nodiscard]] std::size_t room() noexcept {
    head_seen_ = head_.load(std::memory_order_acquire);
    return slots_.size() - (tail_.load(std::memory_order_relaxed) - head_seen_);
  }

  /// Producer: false when the ring is full.
  [[nodiscard]] bool push(const T& item) noexcept {
    const std::size_t tail = tail_.load(std::memory_order_relaxed);
    if (tail - head_seen_ == slots_.size()) {
      head_seen_ = head_.load(std::memory_order_acquire);
      if (tail - head_seen_ == slots_.size()) return false;
    }
    slots_[tail & (slots_.size() - 1)] = item;
    tail_.store(tail + 1, std::memory_order_release);
    return true;
  }

  /// Consumer: the oldest item, valid until pop_front(); nullptr when the ring is empty.
  [[nodiscard]] const T* front() noexcept {
    const std::size_t head = head_.load(std::memory_order_relaxed);
    if (head == tail_seen_) {
      tail_seen_ = tail_.load(std::memory_order_acquire);
      if (head == tail_seen_) return nullptr;
    }
    return &slots_[head & (slots_.size() - 1)];
  }

  /// Consumer: gives up what front() returned.
  void pop_front() noexcept {
    head_.store(head_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  }

  /// Consumer: false when the ring is empty.
  [[nodiscard]] bool pop(T& item) noexcept {
    const T* const oldest = front();
    if (oldest == nullptr) return false;
    item = *oldest;
    pop_front();
    return true;
  }

  /// Either side, or a third: true when nothing was in the ring at that moment.
  [[nodiscard]] bool is_empty() const noexcept {
    return head_.load(std::memory_order_acquire) == tail_.load(std::memory_order_acquire);
  }

 private:
  static constexpr std::size_t line_bytes = 64;
  std::vector<T> slots_;
  alignas(line_bytes) std::atomic<std::size_t> head_{0};  // written by the consumer
  std::size_t tail_seen_ = 0;
  alignas(line_bytes) std::atomic<std::size_t> tail_{0};  // written by the producer
  std::size_t head_seen_ = 0;
};

}  // namespace corelay::dataplane
