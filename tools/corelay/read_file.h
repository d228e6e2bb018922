/// A whole file in memory.
#pragma once

#include <string>

#include "codec/expected.h"

namespace corelay::tools {

/// Everything from the file's start to its end; "-" is standard input. Errors: not_found,
/// permission_denied or internal, naming the file and the system's reason.
[[nodiscard]] Expected<std::string> read_file(const std::string& path);

/// Says before any work is done what read_file() would say: errors as there.
[[nodiscard]] Expected<void> check_readable(const std::string& path);

}  // namespace corelay::tools
