#include <nlohmann/json.hpp>

#include "tools/corelay/commands.h"

namespace corelay::tools {

std::string version_text() { return CORELAY_VERSION " (" CORELAY_COMMIT ")"; }

ExitCode version(const Console& console) {
  console.print_table("corelay " + version_text() + "\n");
  console.print_value({{"version", CORELAY_VERSION}, {"commit_hash", CORELAY_COMMIT}});
  return ExitCode::ok;
}

}  // namespace corelay::tools
