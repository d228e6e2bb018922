/// What a node's sidecar sends, read without building a tree of it: a Response (proto/sidecar.proto), and the JSON of a
/// delivered message inside. A gateway reads each message once for every node, so only the id is looked at first; the
/// payload is decoded when it is the first to come.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace corelay::gateway {

enum class SidecarResponse : std::uint8_t { unknown = 0, message = 1, trace = 2, gossipsub_trace = 3 };

struct ResponseView {
  SidecarResponse kind = SidecarResponse::unknown;
  std::string_view data;
};

/// The two fields of a Response; unknown fields are passed over. Nothing for what is not a protobuf message. The view
/// is into `bytes`.
[[nodiscard]] std::optional<ResponseView> parse_response(std::string_view bytes);

/// A delivered message. Strings are decoded, but for the payload, which is a view into what was read, and base64 still
/// where that was JSON.
struct SidecarMessage {
  std::string topic;
  std::string id;
  std::string source;
  std::string_view payload;
  bool is_base64 = true;

  /// The payload, or what the first `length` characters of it as it came say. Nothing where those are not base64 and
  /// should be.
  [[nodiscard]] std::optional<std::string> decoded(std::size_t length = std::string_view::npos) const;
};

/// Reads both generations of field names. Nothing for what is not a JSON object with a topic and an id, or is longer
/// than such a thing may be.
[[nodiscard]] std::optional<SidecarMessage> parse_message(std::string_view json);

/// Reads a Delivery (proto/sidecar.proto). Nothing for what is none, has no topic or id, or a longer one than may be.
[[nodiscard]] std::optional<SidecarMessage> parse_delivery(std::string_view bytes);

/// What a node answers a publish with, out of its trace.
struct PublishAnswer {
  bool is_published = false;  // otherwise refused
  std::string id;             // hex; of refusals before the id was known empty
  std::string topic;
  std::string reason;  // of a refusal
};

/// Nothing for every other trace.
[[nodiscard]] std::optional<PublishAnswer> parse_publish_answer(std::string_view trace);

/// A Request of the sidecar, up to and without its data, which follows: command and topic, then the data's tag and
/// size.
[[nodiscard]] std::string request_head(std::int32_t command, std::string_view topic, std::size_t data_bytes);

}  // namespace corelay::gateway
