#include "tools/corelay/gateway_frame.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tools/corelay/json_field.h"
#include "tools/corelay/text.h"

namespace corelay::tools {
namespace {

using Json = nlohmann::json;

constexpr std::size_t offset_bytes_max = 64;
constexpr std::size_t error_bytes_max = 300;

/// It goes into a URL; a gateway's is letters, digits and a dash.
std::string offset_of(const Json& object) {
  std::string offset = string_at(object, "offset");
  const bool is_plain = std::all_of(offset.begin(), offset.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
  });
  return is_plain && offset.size() <= offset_bytes_max ? offset : "";
}

}  // namespace

Expected<GatewayFrame> parse_gateway_frame(std::string_view json) {
  const Json object = Json::parse(json, nullptr, false);
  if (!object.is_object()) return fail(ErrorCode::malformed, "gateway", "a frame that is not a JSON object");
  const std::string type = string_at(object, "type");
  if (type == "lagged") {
    const auto count = object.find("count");
    return GatewayLagged{string_at(object, "topic"),
                         count != object.end() && count->is_number_unsigned() ? count->get<std::uint64_t>() : 0,
                         offset_of(object)};
  }
  // Messages of older gateways have no type.
  if (type == "message" || (type.empty() && (object.contains("message") || object.contains("Message")))) {
    auto message = parse_message(json);
    if (!message) return tl::make_unexpected(message.error());
    return GatewayMessage{std::move(*message), offset_of(object)};
  }
  return GatewayNotice{type, string_at(object, "error")};
}

std::string error_text(std::string_view body) {
  const Json object = Json::parse(body, nullptr, false);
  std::string text = object.is_object() ? string_at(object, "error_description") : std::string(body);
  if (object.is_object() && text.empty()) text = string_at(object, "error");
  if (object.is_object() && text.empty()) text = std::string(body);
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  if (!is_printable(text)) return "(bytes that are no text)";
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c == '\n' || c == '\r' || c == '\t'; }, ' ');
  if (text.size() > error_bytes_max) {
    text.resize(error_bytes_max);
    while (!text.empty() && !is_printable(text)) text.pop_back();
    text += "…";
  }
  return text;
}

}  // namespace corelay::tools
