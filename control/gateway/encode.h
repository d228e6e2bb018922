/// Messages and notices as clients get them. The bytes of a message are made once and shared.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "control/gateway/topic_log.h"

namespace corelay::gateway {

/// `offset` and `epoch` together say where in a gateway's stream the message is; `epoch` is the gateway's start.
///   text      a WebSocket frame: the payload as it is, text where it is UTF-8, else binary
///   json      a WebSocket text frame {"topic","message":base64,"message_id","source_node_id","offset"}
///   sse_text, sse_json   an event with id EPOCH-OFFSET
///   grpc      an encoded ProxyMessage without client_id
[[nodiscard]] SharedBytes encode(Format format, const Message& message, std::uint64_t offset, std::string_view epoch);

/// The notice that `count` messages of a topic left the window before this reader came to them:
/// {"type":"lagged","topic","count","offset"}. `offset` is that of the last message lost.
[[nodiscard]] SharedBytes encode_lagged(Format format, std::string_view topic, std::uint64_t count,
                                        std::uint64_t offset, std::string_view epoch);

/// EPOCH-OFFSET and back; nothing but the offset stands for this gateway's own epoch.
[[nodiscard]] std::string position_text(std::uint64_t offset, std::string_view epoch);
[[nodiscard]] bool parse_position(std::string_view text, Position& position);

}  // namespace corelay::gateway
