/// The time, as it is passed to what does not read clocks itself.
#pragma once

#include <chrono>

namespace corelay::gateway {

using Instant = std::chrono::steady_clock::time_point;

}  // namespace corelay::gateway
