/// What a node sends on the sidecar stream: messages as JSON, traces as protobuf. Decoded here
/// without gRPC, so that it can be tested on bytes alone.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "codec/expected.h"

namespace corelay::tools {

/// One delivered message.
struct SidecarMessage {
  std::string topic;
  std::string message_id;      // 64 hex digits
  std::string source_node_id;  // peer id in base58, as the node gave it
  std::string payload;
};

/// Reads the JSON of a message: either spelling of its keys ("message_id", "MessageID"), payload in
/// base64. Errors: malformed.
[[nodiscard]] Expected<SidecarMessage> parse_message(std::string_view json);

/// The trace events that answer a command; all others are `other`.
enum class TraceKind { published, rejected, joined, left, other };

struct Trace {
  TraceKind kind = TraceKind::other;
  std::string message_id;  // as sent: raw bytes or hex text
  std::string topic;
  std::string reason;  // rejected only
};

/// Reads an optimum.pb TraceEvent. Errors: malformed.
[[nodiscard]] Expected<Trace> parse_trace(std::string_view bytes);

/// gRPC's refusal of a request over the limit of a node or gateway, "... larger than max (A vs. B)", in words that name
/// the setting. Nothing for other text.
[[nodiscard]] std::optional<std::string> over_request_limit(std::string_view refusal, bool is_gateway = false);

}  // namespace corelay::tools
