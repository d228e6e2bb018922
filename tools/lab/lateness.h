/// How late things were, as a histogram: bounded memory, exact to the microsecond up to 100 ms.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "dataplane/instant.h"

namespace corelay::lab {

class Lateness {
 public:
  void note(dataplane::Duration late) noexcept {
    const auto us = static_cast<std::uint64_t>(std::max<std::int64_t>(late.ns, 0) / 1000);
    ++counts_[std::min<std::uint64_t>(us, counts_.size() - 1)];
    ++count_;
    max_us_ = std::max(max_us_, us);
  }
  void reset() noexcept { *this = Lateness{}; }

  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
  [[nodiscard]] double max_ms() const noexcept { return static_cast<double>(max_us_) / 1e3; }
  /// The least time that `share` of all do not exceed, rounded down to a microsecond; 0 where nothing was noted.
  [[nodiscard]] double quantile_ms(double share) const noexcept {
    const auto wanted = static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(count_)));
    std::uint64_t seen = 0;
    for (std::size_t us = 0; us < counts_.size(); ++us) {
      seen += counts_[us];
      if (seen >= wanted && seen != 0) return static_cast<double>(us) / 1e3;
    }
    return 0;
  }

 private:
  std::array<std::uint64_t, 100'001> counts_{};
  std::uint64_t count_ = 0;
  std::uint64_t max_us_ = 0;
};

}  // namespace corelay::lab
