#include <nlohmann/json.hpp>

#include "tools/corelay/commands.h"

namespace corelay::tools {

ExitCode version(const Console& console) {
  console.print_table("corelay " CORELAY_VERSION " (" CORELAY_COMMIT ")\n");
  console.print_value({{"version", CORELAY_VERSION}, {"commit_hash", CORELAY_COMMIT}});
  return ExitCode::ok;
}

}  // namespace corelay::tools
