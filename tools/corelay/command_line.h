/// From argc and argv to a verb and its options.
#pragma once

namespace corelay::tools {

/// Parses, runs the verb and returns the exit code for the shell.
[[nodiscard]] int run_command_line(int argc, char** argv);

}  // namespace corelay::tools
