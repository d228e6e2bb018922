/// The node's identity: its folder, which one process at a time may use, and the key in it.
#pragma once

#include <string>
#include <utility>

#include "codec/expected.h"
#include "control/libp2p/identity.h"
#include "control/node/config.h"

namespace corelay::node {

/// Holds node.identity_dir for this process until it is destroyed or the process ends: two nodes with one key push each
/// other out of the mesh without end.
class IdentityLock {
 public:
  /// Makes the folder where there is none. Errors name the folder and the remedy; already_exists where another process
  /// holds it. On a file system without locks it holds nothing, and the log says so.
  [[nodiscard]] static Expected<IdentityLock> take(const NodeConfig& config);
  ~IdentityLock();
  IdentityLock(IdentityLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  IdentityLock& operator=(IdentityLock&&) = delete;
  IdentityLock(const IdentityLock&) = delete;
  IdentityLock& operator=(const IdentityLock&) = delete;

 private:
  explicit IdentityLock(int descriptor) noexcept : descriptor_(descriptor) {}
  int descriptor_;
};

/// Reads p2p.key from node.identity_dir, or makes one there; warns of a key that others can read. Errors name the file
/// and the remedy.
[[nodiscard]] Expected<libp2p::Identity> load_identity(const NodeConfig& config);

}  // namespace corelay::node
