/// Addresses of this machine.
#pragma once

#include <string>
#include <vector>

#include "control/libp2p/multiaddr.h"

namespace corelay::node {

/// Addresses others can dial for a listener bound to `bound`: itself, or, where it is bound to every address, one
/// for each address of the machine's interfaces, loopback only where there is nothing else. Without /p2p.
[[nodiscard]] std::vector<libp2p::Multiaddr> reachable_addresses(const libp2p::Multiaddr& bound);

/// True for 127.0.0.0/8, ::1 and "localhost".
[[nodiscard]] bool is_loopback(const std::string& address);

}  // namespace corelay::node
