/// The floor that always works: recvmmsg() and sendmmsg() on one non-blocking socket, with UDP GRO and GSO where the
/// kernel has them. An empty poll costs one system call.
#pragma once

#include <memory>

#include "codec/expected.h"
#include "dataplane/io/packet_io.h"

namespace corelay::dataplane {

/// Opens the backend. Errors: those of open_udp_socket().
[[nodiscard]] Expected<std::unique_ptr<PacketIo>> open_socket_io(const IoConfig& config);

}  // namespace corelay::dataplane
