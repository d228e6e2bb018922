/// Time as a value. The core never reads a clock: whoever drives it (an lcore, the simulator) passes the Instant in.
#pragma once

#include <compare>
#include <cstdint>
#include <limits>

namespace corelay::dataplane {

/// A length of time, in nanoseconds; may be negative.
struct Duration {
  std::int64_t ns = 0;
  friend constexpr auto operator<=>(Duration, Duration) noexcept = default;
  friend constexpr Duration operator+(Duration a, Duration b) noexcept { return {a.ns + b.ns}; }
  friend constexpr Duration operator-(Duration a, Duration b) noexcept { return {a.ns - b.ns}; }
  friend constexpr Duration operator*(Duration a, std::int64_t n) noexcept { return {a.ns * n}; }
  friend constexpr Duration operator/(Duration a, std::int64_t n) noexcept { return {a.ns / n}; }
};

[[nodiscard]] constexpr Duration microseconds(std::int64_t n) noexcept { return {n * 1'000}; }
[[nodiscard]] constexpr Duration milliseconds(std::int64_t n) noexcept { return {n * 1'000'000}; }
[[nodiscard]] constexpr Duration seconds(std::int64_t n) noexcept { return {n * 1'000'000'000}; }

/// A point in time: nanoseconds since an origin that is the same for one run (CLOCK_MONOTONIC in the daemon, zero at
/// start in the simulator). Only differences mean anything.
struct Instant {
  std::int64_t ns = 0;
  friend constexpr auto operator<=>(Instant, Instant) noexcept = default;
  friend constexpr Instant operator+(Instant a, Duration d) noexcept { return {a.ns + d.ns}; }
  friend constexpr Instant operator-(Instant a, Duration d) noexcept { return {a.ns - d.ns}; }
  friend constexpr Duration operator-(Instant a, Instant b) noexcept { return {a.ns - b.ns}; }
};

inline constexpr Instant never{std::numeric_limits<std::int64_t>::max()};

}  // namespace corelay::dataplane
