#include "tools/corelay/sidecar_event.h"

#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>

#include <array>
#include <nlohmann/json.hpp>

#include "codec/bytes.h"
#include "control/node/sidecar.h"
#include "tools/corelay/digest.h"
#include "tools/corelay/text.h"

namespace corelay::tools {
namespace {

using google::protobuf::io::CodedInputStream;

/// The string under the first key that is there; empty where none is.
std::string string_at(const nlohmann::json& object, std::initializer_list<const char*> keys) {
  for (const char* key : keys) {
    const auto found = object.find(key);
    if (found != object.end() && found->is_string()) return found->get<std::string>();
  }
  return {};
}

/// Calls take(field number, value) for each length-delimited field; `varint` gets the last varint
/// of field 1. False where the bytes are not protobuf.
template <class Take>
bool read_fields(std::string_view bytes, std::uint64_t& varint, Take take) {
  CodedInputStream in(as_bytes(bytes).data(), static_cast<int>(bytes.size()));
  for (std::uint32_t tag = in.ReadTag(); tag != 0; tag = in.ReadTag()) {
    std::uint64_t number = 0;
    std::uint32_t small = 0;
    std::string text;
    switch (tag & 7u) {
      case 0:
        if (!in.ReadVarint64(&number)) return false;
        if (tag >> 3 == 1) varint = number;
        break;
      case 1:
        if (!in.ReadLittleEndian64(&number)) return false;
        break;
      case 2:
        if (!in.ReadVarint32(&small) || small > bytes.size() ||
            !in.ReadString(&text, static_cast<int>(small))) {
          return false;
        }
        take(tag >> 3, std::move(text));
        break;
      case 5:
        if (!in.ReadLittleEndian32(&small)) return false;
        break;
      default:
        return false;
    }
  }
  return in.CurrentPosition() == static_cast<int>(bytes.size());
}

/// Where a kind of trace keeps what we read: the number of its sub-message in TraceEvent, and of
/// the fields in that.
struct Shape {
  std::uint64_t type;
  TraceKind kind;
  std::uint32_t sub_message;
  std::uint32_t message_id;
  std::uint32_t topic;
  std::uint32_t reason;
};
constexpr std::array<Shape, 4> shapes{{{0, TraceKind::published, 4, 1, 2, 0},
                                       {1, TraceKind::rejected, 5, 1, 4, 3},
                                       {9, TraceKind::joined, 13, 0, 1, 0},
                                       {10, TraceKind::left, 14, 0, 2, 0}}};

}  // namespace

Expected<SidecarMessage> parse_message(std::string_view json) {
  const auto object = nlohmann::json::parse(json, nullptr, false);
  if (!object.is_object())
    return fail(ErrorCode::malformed, "sidecar", "a message that is not a JSON object");
  SidecarMessage message;
  message.topic = string_at(object, {"topic", "Topic"});
  message.message_id = string_at(object, {"message_id", "MessageID"});
  message.source_node_id = string_at(object, {"source_node_id", "SourceNodeID"});
  auto payload = from_base64(string_at(object, {"message", "Message"}));
  if (!payload)
    return fail(ErrorCode::malformed, "sidecar", "a message whose payload is not base64");
  message.payload = std::move(*payload);
  return message;
}

Expected<Trace> parse_trace(std::string_view bytes) {
  std::uint64_t type = ~std::uint64_t{0};
  std::array<std::string, 32> sub_messages;
  const bool is_whole = read_fields(bytes, type, [&](std::uint32_t field, std::string text) {
    if (field < sub_messages.size()) sub_messages[field] = std::move(text);
  });
  if (!is_whole) return fail(ErrorCode::malformed, "sidecar", "a trace event that is not protobuf");
  Trace trace;
  for (const Shape& shape : shapes) {
    if (shape.type != type) continue;
    trace.kind = shape.kind;
    std::uint64_t unused = 0;
    const bool is_sub_whole = read_fields(sub_messages[shape.sub_message], unused,
                                          [&](std::uint32_t field, std::string text) {
                                            if (field == shape.message_id)
                                              trace.message_id = std::move(text);
                                            else if (field == shape.topic)
                                              trace.topic = std::move(text);
                                            else if (field == shape.reason)
                                              trace.reason = std::move(text);
                                          });
    if (!is_sub_whole)
      return fail(ErrorCode::malformed, "sidecar", "a trace event whose content is not protobuf");
  }
  return trace;
}

std::optional<std::string> over_request_limit(std::string_view refusal, bool is_gateway) {
  constexpr std::string_view before = "larger than max (";
  constexpr std::string_view between = " vs. ";
  const auto start = refusal.find(before);
  const auto middle = refusal.find(between, start);
  const auto end = refusal.find(')', middle);
  if (start == std::string_view::npos || middle == std::string_view::npos || end == std::string_view::npos)
    return std::nullopt;
  const auto first = start + before.size();
  const auto second = middle + between.size();
  const auto bytes = parse_number(refusal.substr(first, middle - first));
  const auto taken = parse_number(refusal.substr(second, end - second));
  if (!bytes || !taken || *taken <= node::request_overhead_bytes) return std::nullopt;
  const std::uint64_t limit = *taken - node::request_overhead_bytes;
  if (is_gateway)
    return fmt::format("request of {} bytes is over delivery.message_bytes_max = {} bytes", *bytes, limit);
  return fmt::format("request of {} bytes is over relay.message_bytes_max = {} bytes (OPTIMUM_MAX_MSG_SIZE)", *bytes,
                     limit);
}

}  // namespace corelay::tools
