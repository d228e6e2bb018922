#include "control/gateway/sidecar_message.h"

#include <cstring>

#include "codec/bytes.h"
#include "control/daemon/proto_fields.h"
#include "control/gateway/text.h"
#include "proto/trace.pb.h"

namespace corelay::gateway {
namespace {

constexpr std::size_t id_bytes_max = 128;
constexpr std::size_t topic_bytes_max = 1024;

/// Takes a JSON string off the front: what is between the quotes, escapes still in it.
std::optional<std::string_view> take_string(std::string_view& text, bool& has_escapes) {
  has_escapes = false;
  if (text.empty() || text.front() != '"') return std::nullopt;
  text.remove_prefix(1);
  std::size_t at = 0;
  for (;;) {
    const void* const quote = std::memchr(text.data() + at, '"', text.size() - at);
    if (quote == nullptr) return std::nullopt;
    const auto end = static_cast<std::size_t>(static_cast<const char*>(quote) - text.data());
    std::size_t slashes = 0;
    while (slashes < end && text[end - 1 - slashes] == '\\') ++slashes;
    if (slashes % 2 == 0) {
      const std::string_view found = text.substr(0, end);
      has_escapes = std::memchr(found.data(), '\\', found.size()) != nullptr;
      text.remove_prefix(end + 1);
      return found;
    }
    at = end + 1;
  }
}

void skip_space(std::string_view& text) {
  while (!text.empty() &&
         (text.front() == ' ' || text.front() == '\n' || text.front() == '\t' || text.front() == '\r')) {
    text.remove_prefix(1);
  }
}

/// Skips a value that is no string: a number, a name, or an object or list with what is inside it.
bool skip_value(std::string_view& text) {
  std::size_t depth = 0;
  while (!text.empty()) {
    const char c = text.front();
    if (c == '"') {
      bool ignored = false;
      if (!take_string(text, ignored)) return false;
      if (depth == 0) return true;
      continue;
    }
    if (depth == 0 && (c == ',' || c == '}')) return true;
    if (c == '{' || c == '[') ++depth;
    if (c == '}' || c == ']') --depth;
    text.remove_prefix(1);
    if (depth == 0 && (c == '}' || c == ']')) return true;
  }
  return false;
}

void append_utf8(std::uint32_t code, std::string& out) {
  const auto put = [&](std::uint32_t byte) { out += static_cast<char>(byte); };
  if (code < 0x80) return put(code);
  if (code < 0x800) {
    put(0xc0 | code >> 6);
  } else {
    if (code < 0x10000) {
      put(0xe0 | code >> 12);
    } else {
      put(0xf0 | code >> 18);
      put(0x80 | (code >> 12 & 63));
    }
    put(0x80 | (code >> 6 & 63));
  }
  put(0x80 | (code & 63));
}

std::optional<std::uint32_t> take_hex4(std::string_view& text) {
  if (text.size() < 4) return std::nullopt;
  std::uint32_t code = 0;
  for (const char c : text.substr(0, 4)) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) return std::nullopt;
    code = code << 4 | static_cast<std::uint32_t>(digit);
  }
  text.remove_prefix(4);
  return code;
}

/// The text of a JSON string with escapes.
std::optional<std::string> unescaped(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t plain = text.find('\\');
    out += text.substr(0, plain);
    if (plain == std::string_view::npos) break;
    text.remove_prefix(plain + 1);
    if (text.empty()) return std::nullopt;
    const char c = text.front();
    text.remove_prefix(1);
    constexpr std::string_view from = "\"\\/bfnrt";
    constexpr std::string_view to = "\"\\/\b\f\n\r\t";
    if (const std::size_t at = from.find(c); at != std::string_view::npos) {
      out += to[at];
      continue;
    }
    auto code = c == 'u' ? take_hex4(text) : std::nullopt;
    if (!code) return std::nullopt;
    if (*code >= 0xd800 && *code < 0xdc00 && text.starts_with("\\u")) {
      text.remove_prefix(2);
      const auto low = take_hex4(text);
      if (!low) return std::nullopt;
      code = 0x10000 + ((*code - 0xd800) << 10) + ((*low - 0xdc00) & 0x3ff);
    }
    append_utf8(*code, out);
  }
  return out;
}

}  // namespace

std::optional<ResponseView> parse_response(std::string_view bytes) {
  ResponseView view;
  daemon::ProtoFields fields(bytes);
  while (const auto field = fields.next()) {
    if (field->number == 1 && !field->is_bytes) {
      view.kind = field->value <= 3 ? static_cast<SidecarResponse>(field->value) : SidecarResponse::unknown;
    } else if (field->number == 2 && field->is_bytes) {
      view.data = field->bytes;
    }
  }
  if (fields.is_malformed()) return std::nullopt;
  return view;
}

std::optional<std::string> SidecarMessage::decoded(std::size_t length) const {
  const std::string_view start = payload.substr(0, length);
  return is_base64 ? decode_base64(start) : std::string(start);
}

std::optional<SidecarMessage> parse_delivery(std::string_view bytes) {
  SidecarMessage message;
  message.is_base64 = false;
  daemon::ProtoFields fields(bytes);
  while (const auto field = fields.next()) {
    if (!field->is_bytes) continue;
    if (field->number < 4 && field->bytes.size() > topic_bytes_max) return std::nullopt;
    if (field->number == 1) message.topic = field->bytes;
    if (field->number == 2) message.id = to_hex(as_bytes(field->bytes));
    if (field->number == 3) message.source = field->bytes;
    if (field->number == 4) message.payload = field->bytes;
  }
  if (fields.is_malformed() || message.topic.empty() || message.id.empty() || message.id.size() > id_bytes_max) {
    return std::nullopt;
  }
  return message;
}

std::optional<SidecarMessage> parse_message(std::string_view json) {
  SidecarMessage message;
  skip_space(json);
  if (json.empty() || json.front() != '{') return std::nullopt;
  json.remove_prefix(1);
  for (;;) {
    skip_space(json);
    bool has_escapes = false;
    const auto key = take_string(json, has_escapes);
    if (!key) return std::nullopt;
    skip_space(json);
    if (json.empty() || json.front() != ':') return std::nullopt;
    json.remove_prefix(1);
    skip_space(json);
    if (!json.empty() && json.front() == '"') {
      const auto value = take_string(json, has_escapes);
      if (!value) return std::nullopt;
      const bool is_topic = *key == "topic" || *key == "Topic";
      const bool is_id = *key == "message_id" || *key == "MessageID";
      if (*key == "message" || *key == "Message") {
        if (has_escapes) return std::nullopt;
        message.payload = *value;
      } else if (is_topic || is_id || *key == "source_node_id" || *key == "SourceNodeID") {
        if (value->size() > topic_bytes_max) return std::nullopt;
        auto text = has_escapes ? unescaped(*value) : std::string(*value);
        if (!text) return std::nullopt;
        (is_topic ? message.topic : is_id ? message.id : message.source) = std::move(*text);
      }
    } else if (!skip_value(json)) {
      return std::nullopt;
    }
    skip_space(json);
    if (json.empty()) return std::nullopt;
    const char next = json.front();
    json.remove_prefix(1);
    if (next == '}') break;
    if (next != ',') return std::nullopt;
  }
  skip_space(json);
  if (!json.empty() || message.topic.empty() || message.id.empty() || message.id.size() > id_bytes_max) {
    return std::nullopt;
  }
  return message;
}

std::optional<PublishAnswer> parse_publish_answer(std::string_view trace) {
  optimum::pb::TraceEvent event;
  if (trace.size() > (1u << 20) || !event.ParseFromArray(trace.data(), static_cast<int>(trace.size()))) {
    return std::nullopt;
  }
  if (event.type() == optimum::pb::TraceEvent::PUBLISH_MESSAGE) {
    return PublishAnswer{true, event.publishmessage().messageid(), event.publishmessage().topic(), ""};
  }
  if (event.type() == optimum::pb::TraceEvent::REJECT_MESSAGE) {
    const auto& reject = event.rejectmessage();
    return PublishAnswer{false, reject.messageid(), reject.topic(), reject.reason()};
  }
  return std::nullopt;
}

std::string request_head(std::int32_t command, std::string_view topic, std::size_t data_bytes) {
  std::string out;
  const auto put_varint = [&](std::uint64_t value) {
    for (; value >= 128; value >>= 7) out.push_back(static_cast<char>(value | 128));
    out.push_back(static_cast<char>(value));
  };
  out.push_back('\x08');  // field 1, varint
  put_varint(static_cast<std::uint64_t>(command));
  out.push_back('\x1a');  // field 3, bytes
  put_varint(topic.size());
  out += topic;
  if (data_bytes != 0) {
    out.push_back('\x12');  // field 2, bytes
    put_varint(data_bytes);
  }
  return out;
}

}  // namespace corelay::gateway
