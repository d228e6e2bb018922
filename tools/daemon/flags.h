/// The command line of a daemon: its settings, what to print in place of running.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "control/daemon/settings.h"

namespace corelay {

enum class Action { run, config_check, config_print, config_default, version };

struct CommandLine {
  Action action = Action::run;
  std::string config_file;  // from --config, else from CORELAY_CONFIG, else empty
  std::vector<daemon::FlagValue> flags;
};

/// A setting with a flag of its own.
struct ShortFlag {
  const char* flag;
  const char* key;
  const char* help;
};

struct Program {
  const char* name;
  const char* description;
  const char* footer;
  const char* setting;  // an example for --set
  std::span<const ShortFlag> flags;
};

/// Parses the arguments. Prints help or a usage error itself; `exit_code` then says with what to exit.
[[nodiscard]] bool parse_command_line(const Program& program, int argc, char** argv, CommandLine& line,
                                      int& exit_code);

/// "NAME version (commit)".
[[nodiscard]] std::string version_text(const Program& program);

/// "NAME: what" and "  try: remedy" on standard error, as corelay says it. Returns 2, the exit code of wrong usage.
int report_usage(const Program& program, const std::string& what, const std::string& remedy);

}  // namespace corelay
