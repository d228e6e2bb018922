/// The io_uring backend: one multishot recvmsg fed from a ring of provided 64 KiB buffers, and one sendmsg a run with
/// its segment size (UDP GSO), on a ring that does its work only when the owner asks (DEFER_TASKRUN). An empty poll
/// looks at memory and makes no system call.
///
/// Each feature is probed when the backend is opened and named in caps(). Without provided buffer rings or multishot
/// recvmsg (Linux before 6.0), or where a policy forbids io_uring, opening fails and the socket backend serves.
#pragma once

#include <memory>

#include "codec/expected.h"
#include "dataplane/io/packet_io.h"

namespace corelay::dataplane {

/// Opens the backend on the thread that will own it. Errors: those of open_udp_socket(), and unavailable with the
/// feature that is missing.
[[nodiscard]] Expected<std::unique_ptr<PacketIo>> open_uring_io(const IoConfig& config);

/// Whether the kernel lets this process have any io_uring; in containers often not. Error: unavailable.
[[nodiscard]] Expected<void> probe_uring();

}  // namespace corelay::dataplane
