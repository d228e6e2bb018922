/// The command line of corelayd.
#pragma once

#include <string>
#include <vector>

#include "control/node/config.h"

namespace corelay {

enum class Action { run, config_check, config_print, config_default, version };

struct CommandLine {
  Action action = Action::run;
  std::string config_file;  // from --config, else from CORELAY_CONFIG, else empty
  std::vector<node::FlagValue> flags;
};

/// Parses the arguments. Prints help or a usage error itself; `exit_code` then says with what to exit.
[[nodiscard]] bool parse_command_line(int argc, char** argv, CommandLine& line, int& exit_code);

/// "corelayd: what" and "  try: remedy" on standard error, as corelay says it. Returns 2, the exit code of wrong usage.
int report_usage(const std::string& what, const std::string& remedy);

/// The environment, the file named on the command line and its flags. Errors: not_found, for a file that cannot be
/// read.
[[nodiscard]] Expected<node::ConfigSources> config_sources(const CommandLine& line);

}  // namespace corelay
