#include <filesystem>
#include <nlohmann/json.hpp>

#include "control/libp2p/identity.h"
#include "tools/corelay/commands.h"

namespace corelay::tools {

ExitCode keygen(const Console& console, const KeygenOptions& options) {
  std::filesystem::path path = options.out;
  if (path.extension() != ".key") path /= "p2p.key";
  std::error_code error;
  const bool exists = std::filesystem::exists(path, error);
  if (!exists && path.has_parent_path())
    std::filesystem::create_directories(path.parent_path(), error);
  if (error) {
    return console.fail(ExitCode::usage,
                        "cannot make " + path.parent_path().string() + ": " + error.message(),
                        "another folder: corelay keygen --out DIR");
  }

  libp2p::Identity identity;
  if (exists) {
    auto loaded = libp2p::Identity::load(path.string());
    if (!loaded) {
      return console.fail(
          ExitCode::usage,
          path.string() + " is there but no key can be read from it: " + loaded.error().describe(),
          "move it away, or name another file: corelay keygen --out FILE.key");
    }
    identity = std::move(*loaded);
  } else {
    identity = libp2p::Identity::generate();
    if (const auto saved = identity.save(path.string()); !saved) {
      return console.fail(ExitCode::failed,
                          "cannot write " + path.string() + ": " + saved.error().describe());
    }
  }

  const std::string peer_id = identity.peer_id().text();
  if (console.is_table()) {
    console.note(console.dim((exists ? "Kept " : "Wrote ") + path.string()));
    console.print("Peer ID: " + peer_id + "\n");
  }
  console.print_value({{"peer_id", peer_id}, {"file", path.string()}, {"created", !exists}});
  return ExitCode::ok;
}

}  // namespace corelay::tools
