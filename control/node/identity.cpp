#include "control/node/identity.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace corelay::node {
namespace {

constexpr const char* folder_remedy = "Set node.identity_dir (IDENTITY_DIR) to one that can be written";

/// What a person does about a p2p.key that cannot be used.
std::string key_remedy(ErrorCode code) {
  if (code == ErrorCode::permission_denied) return "Let the user that runs corelayd read it";
  return "Put the right file there, or move it away: corelayd then makes a new key, and the node has a new peer id";
}

void warn_where_readable_by_others(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0 || (status.st_mode & (S_IRWXG | S_IRWXO)) == 0) return;
  spdlog::warn("{} is open to other users (mode {:o}): who reads it can pass for this node. chmod 600 it", path,
               status.st_mode & 07777);
}

}  // namespace

Expected<IdentityLock> IdentityLock::take(const NodeConfig& config) {
  const std::string& folder = config.node.identity_dir;
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    return fail(ErrorCode::permission_denied, "identity",
                fmt::format("cannot make the folder {}: {}. {}", folder, error.message(), folder_remedy));
  }
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) {
    return fail(ErrorCode::permission_denied, "identity",
                fmt::format("cannot open the folder {}: {}. {}", folder, std::strerror(errno), folder_remedy));
  }
  IdentityLock lock(descriptor);
  if (::flock(descriptor, LOCK_EX | LOCK_NB) == 0) return lock;
  if (errno != EWOULDBLOCK) {
    spdlog::warn("{} cannot be locked ({}): see that no second node uses it", folder, std::strerror(errno));
    return lock;
  }
  return fail(ErrorCode::already_exists, "identity",
              fmt::format("another corelayd runs with {}: two nodes with one key push each other out of the mesh. Stop "
                          "that one, or give this one a folder of its own with node.identity_dir (IDENTITY_DIR)",
                          folder));
}

IdentityLock::~IdentityLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Expected<libp2p::Identity> load_identity(const NodeConfig& config) {
  const std::string path = config.node.identity_dir + "/p2p.key";
  auto loaded = libp2p::Identity::load(path);
  if (loaded) {
    warn_where_readable_by_others(path);
    return loaded;
  }
  if (loaded.error().code != ErrorCode::not_found) {
    return fail(loaded.error().code, "",
                fmt::format("{}. {}", loaded.error().describe(), key_remedy(loaded.error().code)));
  }
  const auto made = libp2p::Identity::generate();
  if (auto saved = made.save(path); !saved) {
    return fail(saved.error().code, "", fmt::format("{}. {}", saved.error().describe(), folder_remedy));
  }
  spdlog::info("made a new identity in {}", path);
  return made;
}

}  // namespace corelay::node
