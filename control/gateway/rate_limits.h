/// Counts what callers publish against the limits of their tokens: by hour, second and day. Without clocks; several
/// gateways may share their counts, which then come in by judge().
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

#include "control/gateway/gatekeeper.h"

namespace corelay::gateway {

class RateLimits {
 public:
  /// Counts a publish where it is within every limit, and says what is left.
  [[nodiscard]] Verdict charge(const Admission& admission, std::size_t bytes, std::int64_t now_s);
  [[nodiscard]] Usage usage(const std::string& client, std::int64_t now_s) const;
  /// Judges a publish that was charged here by what all gateways together have counted, it included.
  [[nodiscard]] Verdict judge(const Admission& admission, std::int64_t now_s, std::uint64_t hour, std::uint64_t second,
                              std::uint64_t day_bytes);
  /// Forgets clients of whom nothing counts any more.
  void expire(std::int64_t now_s);
  [[nodiscard]] std::size_t size() const noexcept { return counters_.size(); }

 private:
  struct Counter {
    std::int64_t hour = 0;
    std::int64_t second = 0;
    std::int64_t day = 0;
    std::uint64_t publishes_this_hour = 0;
    std::uint64_t publishes_this_second = 0;
    std::uint64_t bytes_today = 0;
    void roll(std::int64_t now_s) noexcept;
  };
  std::unordered_map<std::string, Counter> counters_;
};

}  // namespace corelay::gateway
