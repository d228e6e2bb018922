/// The log of a daemon: lines for people or JSON objects, on standard error.
#pragma once

#include <cstdint>

namespace corelay::daemon {

enum class LogLevel : std::uint8_t { trace, debug, info, warn, error, off };
enum class LogFormat : std::uint8_t { text, json };

/// Makes spdlog's default logger write as the settings say. Call it once, before other threads start.
void start_log(LogLevel level, LogFormat format);

}  // namespace corelay::daemon
