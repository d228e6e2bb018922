/// Timing two things against each other in one process: they take turns, and each keeps its best
/// round, because on a shared machine a median says more about the neighbours than about the code.
/// Time is the thread's own CPU time, which is the time that passes when nobody else wants the
/// core.
#pragma once

#include <algorithm>
#include <cstddef>
#include <ctime>
#include <functional>

namespace corelay::bench {

/// Runs something `times` times.
using Repeat = std::function<void(std::size_t times)>;

struct Effort {
  std::size_t rounds;    // at least 7 for figures that are quoted
  double round_seconds;  // what one round of either side should take
};

/// Seconds of one run, for both sides.
struct Pair {
  double ours;
  double reference;
};

inline double thread_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

inline double seconds_of(const Repeat& repeat, std::size_t times) {
  const double start = thread_seconds();
  repeat(times);
  return thread_seconds() - start;
}

/// How many times fill a round: doubled until a tenth of a round is reached, which also warms
/// caches and clocks.
inline std::size_t times_per_round(const Repeat& repeat, double round_seconds) {
  std::size_t times = 1;
  double seconds = seconds_of(repeat, times);
  while (seconds < round_seconds / 10) {
    times *= 2;
    seconds = seconds_of(repeat, times);
  }
  return std::max<std::size_t>(
      1, static_cast<std::size_t>(static_cast<double>(times) * round_seconds / seconds));
}

inline Pair best_of(const Effort& effort, const Repeat& ours, const Repeat& reference) {
  const std::size_t our_times = times_per_round(ours, effort.round_seconds);
  const std::size_t reference_times = times_per_round(reference, effort.round_seconds);
  Pair best{1e9, 1e9};
  for (std::size_t round = 0; round < effort.rounds; ++round) {
    best.ours = std::min(best.ours, seconds_of(ours, our_times) / static_cast<double>(our_times));
    best.reference = std::min(best.reference, seconds_of(reference, reference_times) /
                                                  static_cast<double>(reference_times));
  }
  return best;
}

}  // namespace corelay::bench
