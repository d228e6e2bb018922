#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "tools/corelay/commands.h"
#include "tools/corelay/fleet.h"

namespace corelay::tools {

ExitCode down(const Console& console, const DownOptions& options) {
  auto fleet = Fleet::load(options.directory);
  if (!fleet) {
    if (fleet.error().code != ErrorCode::not_found)
      return console.fail(ExitCode::failed, fleet.error().describe());
    return console.fail(ExitCode::failed, fmt::format("no fleet runs from '{}'", options.directory),
                        "--dir DIR as it was given to 'corelay up'");
  }
  const std::size_t running = fleet->running().size();
  const std::size_t killed = fleet->stop(options.timeout);
  console.print_value({{"stopped", running},
                       {"killed", killed},
                       {"already_gone", fleet->nodes().size() - running}});
  std::string line = fmt::format("Stopped {} node{}", running, running == 1 ? "" : "s");
  if (running < fleet->nodes().size())
    line += fmt::format("; {} had ended before", fleet->nodes().size() - running);
  if (killed > 0) line += fmt::format("; {} did not end in time and had to be killed", killed);
  console.print_table(line + "\n");
  return killed > 0 ? ExitCode::failed : ExitCode::ok;
}

}  // namespace corelay::tools
