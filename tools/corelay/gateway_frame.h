/// What a gateway sends over its WebSocket, as JSON: messages and notices. Decoded here without sockets, so that it can
/// be tested on bytes alone.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "codec/expected.h"
#include "tools/corelay/sidecar_event.h"

namespace corelay::tools {

struct GatewayMessage {
  SidecarMessage message;
  std::string offset;  // to go on behind it; empty where the gateway gives none
};
/// Messages that left the gateway's window before they could be sent.
struct GatewayLagged {
  std::string topic;
  std::uint64_t count = 0;
  std::string offset;
};
/// Any other notice: the answer to a command, or an error.
struct GatewayNotice {
  std::string type;
  std::string text;
};
using GatewayFrame = std::variant<GatewayMessage, GatewayLagged, GatewayNotice>;

/// Errors: malformed.
[[nodiscard]] Expected<GatewayFrame> parse_gateway_frame(std::string_view json);

/// The words of an error in an answer's body: {"error":...} or plain text, on one line and shortened.
[[nodiscard]] std::string error_text(std::string_view body);

}  // namespace corelay::tools
