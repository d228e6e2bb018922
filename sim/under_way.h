/// Things under way that an event names by number. A number is used again once its thing has been taken, so memory
/// stays at the most that was ever under way at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace corelay::sim {

template <class T>
class UnderWay {
 public:
  /// The number of `thing` until it is taken.
  std::uint32_t put(T thing) {
    if (free_.empty()) {
      things_.push_back(std::move(thing));
      return static_cast<std::uint32_t>(things_.size() - 1);
    }
    const std::uint32_t number = free_.back();
    free_.pop_back();
    things_[number] = std::move(thing);
    return number;
  }
  [[nodiscard]] const T& operator[](std::uint32_t number) const { return things_[number]; }
  [[nodiscard]] T take(std::uint32_t number) {
    free_.push_back(number);
    return std::move(things_[number]);
  }

 private:
  std::vector<T> things_;
  std::vector<std::uint32_t> free_;
};

}  // namespace corelay::sim
