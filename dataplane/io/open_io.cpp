#include "dataplane/io/open_io.h"

#include <cerrno>

#include "dataplane/io/socket_io.h"
#include "dataplane/io/uring_io.h"

namespace corelay::dataplane {

Expected<std::unique_ptr<PacketIo>> open_io(BackendChoice choice, const IoConfig& config) {
  if (choice == BackendChoice::socket) return open_socket_io(config);
  Expected<std::unique_ptr<PacketIo>> uring = open_uring_io(config);
  // A port that stayed taken while io_uring waited for it is not waited for again.
  const bool is_taken = !uring && uring.error().system_errno == EADDRINUSE;
  if (uring || is_taken || choice == BackendChoice::uring) return uring;
  return open_socket_io(config);
}

}  // namespace corelay::dataplane
