/// Which of a node's ports an address is, for errors that send a person to the right one.
#pragma once

#include <string>

namespace corelay::tools {

enum class PortKind { unknown, sidecar, api, p2p };

/// Asks whoever listens: the API speaks HTTP/1, the sidecar HTTP/2, p2p multistream. Takes up to a second where the
/// listener is none of them.
[[nodiscard]] PortKind kind_of_port(const std::string& address);

/// "that is the HTTP API of a node; its sidecar is localhost:33221", where `address` is one of a node's ports and not
/// of the kind that was `wanted`; else empty. The right port is the node's own word, or what the record of the local
/// fleet says; where neither knows, the setting is named.
[[nodiscard]] std::string port_hint(const std::string& address, PortKind wanted);

}  // namespace corelay::tools
