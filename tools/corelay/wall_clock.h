/// The time of day, for what is shown to people and told to servers. Never for durations: it may jump.
#pragma once

#include <chrono>
#include <cstdint>

namespace corelay::tools {

/// Since 1970 (UTC).
[[nodiscard]] inline std::chrono::nanoseconds wall_time() {
  return std::chrono::system_clock::now().time_since_epoch();
}

/// The same in whole seconds.
[[nodiscard]] inline std::int64_t wall_s() {
  return std::chrono::duration_cast<std::chrono::seconds>(wall_time()).count();
}

}  // namespace corelay::tools
