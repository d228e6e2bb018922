/// One MeshControl (proto/mesh.proto) from a peer, checked against every bound before anything acts
/// on it.
#pragma once

#include <optional>

#include "codec/bytes.h"
#include "control/mesh/mesh.h"
#include "proto/mesh.pb.h"

namespace corelay::mesh {

/// Parses and checks sizes, names, addresses and topics. Nothing when any of them is over its bound
/// or malformed.
[[nodiscard]] std::optional<MeshControl> parse_control(Bytes bytes, const MeshParams& params);

/// True for 1 to 255 bytes.
[[nodiscard]] bool is_topic(const std::string& topic) noexcept;

}  // namespace corelay::mesh
