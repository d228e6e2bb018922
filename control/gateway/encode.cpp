#include "control/gateway/encode.h"

#include <charconv>

#include "control/gateway/text.h"
#include "control/gateway/ws_frame.h"

namespace corelay::gateway {
namespace {

SharedBytes shared(std::string bytes) { return std::make_shared<const std::string>(std::move(bytes)); }

/// With both generations of field names, as the sidecar has them; "type" tells messages from notices.
std::string message_json(const Message& message, std::uint64_t offset, std::string_view epoch) {
  std::string out;
  out.reserve(message.payload.size() / 3 * 4 + 256 + message.topic.size());
  out += "{\"type\":\"message\",\"topic\":";
  append_json(message.topic, out);
  out += ",\"message\":\"";
  append_base64(message.payload, out);
  out += "\",\"message_id\":";
  append_json(message.id, out);
  out += ",\"source_node_id\":";
  append_json(message.source, out);
  out += ",\"offset\":\"" + position_text(offset, epoch) + "\"}";
  return out;
}

std::string lagged_json(std::string_view topic, std::uint64_t count, std::uint64_t offset, std::string_view epoch) {
  return "{\"type\":\"lagged\",\"topic\":" + json_text(topic) + ",\"count\":" + std::to_string(count) +
         ",\"offset\":\"" + position_text(offset, epoch) + "\"}";
}

/// Each line of the data gets its own field, as the format asks.
std::string sse_event(std::string_view name, std::string_view data, std::uint64_t offset, std::string_view epoch) {
  std::string out = "id: " + position_text(offset, epoch) + "\n";
  if (!name.empty()) out += "event: " + std::string(name) + "\n";
  for (;;) {
    const std::size_t end = data.find_first_of("\r\n");
    out += "data: ";
    out += data.substr(0, end);
    out += "\n";
    if (end == std::string_view::npos) break;
    data.remove_prefix(end + (data.substr(end).starts_with("\r\n") ? 2 : 1));
  }
  return out + "\n";
}

void put_field(unsigned number, std::string_view bytes, std::string& out) {
  out.push_back(static_cast<char>(number << 3 | 2));
  std::size_t size = bytes.size();
  for (; size >= 128; size >>= 7) out.push_back(static_cast<char>(size | 128));
  out.push_back(static_cast<char>(size));
  out += bytes;
}

/// A string field must be UTF-8.
std::string utf8_of(std::string_view text) {
  if (is_utf8(text)) return std::string(text);
  std::string out;
  for (const char c : text) out += static_cast<unsigned char>(c) < 0x80 ? std::string(1, c) : "\xef\xbf\xbd";
  return out;
}

std::string grpc_message(const Message& message) {
  std::string out;
  out.reserve(message.payload.size() + message.topic.size() + message.id.size() + 32);
  put_field(2, message.payload, out);
  put_field(3, utf8_of(message.topic), out);
  put_field(4, utf8_of(message.id), out);
  return out;
}

}  // namespace

std::string position_text(std::uint64_t offset, std::string_view epoch) {
  return std::string(epoch) + "-" + std::to_string(offset);
}

bool parse_position(std::string_view text, Position& position) {
  const std::size_t dash = text.rfind('-');
  position.epoch = dash == std::string_view::npos ? "" : std::string(text.substr(0, dash));
  if (dash != std::string_view::npos) text.remove_prefix(dash + 1);
  if (position.epoch.size() > 32) return false;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), position.offset);
  return code == std::errc{} && end == text.data() + text.size() && !text.empty();
}

SharedBytes encode(Format format, const Message& message, std::uint64_t offset, std::string_view epoch) {
  switch (format) {
    case Format::text:
      return shared(ws_frame(is_utf8(message.payload) ? WsOpcode::text : WsOpcode::binary, message.payload));
    case Format::json:
      return shared(ws_frame(WsOpcode::text, message_json(message, offset, epoch)));
    case Format::sse_text:
      return shared(sse_event("", message.payload, offset, epoch));
    case Format::sse_json:
      return shared(sse_event("", message_json(message, offset, epoch), offset, epoch));
    case Format::grpc:
      break;
  }
  return shared(grpc_message(message));
}

SharedBytes encode_lagged(Format format, std::string_view topic, std::uint64_t count, std::uint64_t offset,
                          std::string_view epoch) {
  const std::string json = lagged_json(topic, count, offset, epoch);
  switch (format) {
    case Format::text:
    case Format::json:
      return shared(ws_frame(WsOpcode::text, json));
    case Format::sse_text:
    case Format::sse_json:
      return shared(sse_event("lagged", json, offset, epoch));
    case Format::grpc:
      break;
  }
  std::string out;
  put_field(2, json, out);
  put_field(3, utf8_of(topic), out);
  put_field(5, "lagged", out);
  return shared(std::move(out));
}

}  // namespace corelay::gateway
