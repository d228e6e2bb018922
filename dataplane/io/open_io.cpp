#include "dataplane/io/open_io.h"

#include "dataplane/io/socket_io.h"

namespace corelay::dataplane {

Expected<std::unique_ptr<PacketIo>> open_io(BackendChoice choice, const IoConfig& config) {
  static_cast<void>(choice);
  return open_socket_io(config);
}

}  // namespace corelay::dataplane
