/// Picks and opens a backend, and puts the decorators asked for around it.
#pragma once

#include <cstdint>
#include <memory>

#include "codec/expected.h"
#include "dataplane/dataplane.h"
#include "dataplane/io/packet_io.h"

namespace corelay::dataplane {

/// Opens the backend `choice` names; automatic takes io_uring and falls back to the socket where the system refuses it.
/// Call it on the thread that will own the backend: an io_uring has one issuer.
[[nodiscard]] Expected<std::unique_ptr<PacketIo>> open_io(BackendChoice choice, const IoConfig& config);

}  // namespace corelay::dataplane
