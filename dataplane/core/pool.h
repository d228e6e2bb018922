/// Fixed-size memory without allocation: slots from one region, handed out last-in first-out so that a lightly loaded
/// node touches little of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "codec/check.h"

namespace corelay::dataplane {

struct FreeMemory {
  void operator()(std::uint8_t* memory) const noexcept { std::free(memory); }
};
using AlignedMemory = std::unique_ptr<std::uint8_t, FreeMemory>;

/// `bytes` of 64-byte aligned memory, not touched (the system gives pages on first use).
[[nodiscard]] inline AlignedMemory aligned_memory(std::size_t bytes) noexcept {
  AlignedMemory memory(static_cast<std::uint8_t*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64)));
  CHECK(memory != nullptr);
  return memory;
}

inline constexpr std::uint32_t slot_none = 0xffffffff;

/// Numbers 0..count-1, taken and given back.
class SlotList {
 public:
  explicit SlotList(std::size_t count) : free_(count) {
    for (std::size_t i = 0; i < count; ++i) free_[i] = static_cast<std::uint32_t>(count - 1 - i);
    count_ = count;
  }
  /// slot_none when all are taken.
  [[nodiscard]] std::uint32_t take() noexcept { return count_ == 0 ? slot_none : free_[--count_]; }
  /// What take() will return.
  [[nodiscard]] std::uint32_t top() const noexcept { return count_ == 0 ? slot_none : free_[count_ - 1]; }
  void give(std::uint32_t slot) noexcept {
    CHECK(count_ < free_.size());
    free_[count_++] = slot;
  }
  [[nodiscard]] std::size_t left() const noexcept { return count_; }
  [[nodiscard]] std::size_t used() const noexcept { return free_.size() - count_; }

 private:
  std::vector<std::uint32_t> free_;
  std::size_t count_;
};

/// A bounded first-in first-out ring owned by one thread.
template <class T>
class Fifo {
 public:
  explicit Fifo(std::size_t capacity) : items_(capacity) {}
  [[nodiscard]] bool is_empty() const noexcept { return size_ == 0; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] T& front() noexcept { return items_[head_]; }
  /// False when full.
  bool push(const T& item) noexcept {
    if (size_ == items_.size()) return false;
    std::size_t at = head_ + size_;
    if (at >= items_.size()) at -= items_.size();
    items_[at] = item;
    ++size_;
    return true;
  }
  void pop() noexcept {
    CHECK(size_ != 0);
    if (++head_ == items_.size()) head_ = 0;
    --size_;
  }
  void clear() noexcept { head_ = size_ = 0; }
  /// Takes out all items but those of which `is_kept` says so; the order stays.
  template <class Kept>
  void keep(Kept is_kept) noexcept {
    for (std::size_t left = size_; left != 0; --left) {
      const T item = front();
      pop();
      if (is_kept(item)) push(item);
    }
  }

 private:
  std::vector<T> items_;
  std::size_t head_ = 0;
  std::size_t size_ = 0;
};

}  // namespace corelay::dataplane
