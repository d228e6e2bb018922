/// The counters of one lcore, from the one list in counters.def. One writer (the lcore), any number of readers:
/// relaxed atomics, so a reader sees each counter whole but not all at one instant.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace corelay::dataplane {

enum class Counter : std::uint8_t {
#define X(name, help) name,
#include "dataplane/counters.def"
#undef X
  count_
};

inline constexpr std::size_t counter_count = static_cast<std::size_t>(Counter::count_);

/// The name of a counter as in counters.def, and its one-sentence help.
struct CounterInfo {
  std::string_view name;
  std::string_view help;
};
inline constexpr std::array<CounterInfo, counter_count> counter_infos{{
#define X(name, help) {#name, help},
#include "dataplane/counters.def"
#undef X
}};

class Counters {
 public:
  /// Adds `n`; only the owning lcore may call it.
  void add(Counter counter, std::uint64_t n = 1) noexcept {
    auto& cell = cells_[static_cast<std::size_t>(counter)];
    cell.store(cell.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  /// For gauges.
  void set(Counter counter, std::uint64_t n) noexcept {
    cells_[static_cast<std::size_t>(counter)].store(n, std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t value(Counter counter) const noexcept {
    return cells_[static_cast<std::size_t>(counter)].load(std::memory_order_relaxed);
  }

 private:
  std::array<std::atomic<std::uint64_t>, counter_count> cells_{};
};

}  // namespace corelay::dataplane
