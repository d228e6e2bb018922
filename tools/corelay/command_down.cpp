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
  const std::size_t gateways = fleet->running_gateways().size();
  const std::size_t killed = fleet->stop(options.timeout);
  const std::size_t gone = fleet->nodes().size() - running + fleet->gateways().size() - gateways;
  console.print_value(
      {{"stopped", running}, {"gateways_stopped", gateways}, {"killed", killed}, {"already_gone", gone}});
  std::string line = "Stopped " + counted(running, gateways);
  if (gone != 0) line += fmt::format("; {} had ended before", gone);
  if (killed > 0) line += fmt::format("; {} did not end in time and had to be killed", killed);
  console.print_table(line + "\n");
  return killed > 0 ? ExitCode::failed : ExitCode::ok;
}

}  // namespace corelay::tools
