/// The log of a daemon: lines for people or JSON objects, on standard error.
#pragma once

#include "control/node/config.h"

namespace corelay::node {

/// Makes spdlog's default logger write as the settings say. Call it once, before other threads start.
void start_log(LogLevel level, LogFormat format);

}  // namespace corelay::node
