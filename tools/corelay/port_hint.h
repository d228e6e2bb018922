/// Which of a node's or a gateway's ports an address is, for errors that send a person to the right one.
#pragma once

#include <string>

namespace corelay::tools {

enum class PortKind { unknown, sidecar, api, p2p, gateway, gateway_grpc };

/// Asks whoever listens. A gateway's HTTP API is the one that its /openapi.json has the name of, a node's the one with
/// a sidecar's port in its settings; gRPC is told by the service it has, p2p by multistream. Anything else is unknown.
/// Takes up to a second where the listener says nothing, up to three where it does.
[[nodiscard]] PortKind kind_of_port(const std::string& address);

/// What is wrong with an address and what to give in its place; both empty where nothing is known.
struct PortHint {
  std::string what;
  std::string remedy;
};

/// "localhost:9091 is the HTTP API of a node; the sidecar is localhost:33221", where `address` is one of a node's or a
/// gateway's ports and not of the kind that was `wanted`, sidecar or api. The right port is the node's own word, or
/// what the record of the local fleet says; where neither knows, the setting is named.
[[nodiscard]] PortHint port_hint(const std::string& address, PortKind wanted);

}  // namespace corelay::tools
