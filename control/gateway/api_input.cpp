#include "control/gateway/api_input.h"

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "control/gateway/text.h"

namespace corelay::gateway {
namespace {

using nlohmann::json;

tl::unexpected<Error> wrong(const char* field, const char* what) {
  return fail(ErrorCode::invalid_argument, field, std::string(field) + " must be " + what);
}

Expected<void> take_text(json& object, const char* field, std::string& to) {
  const auto at = object.find(field);
  if (at == object.end() || at->is_null()) return {};
  if (!at->is_string()) return wrong(field, "a string");
  to = std::move(at->get_ref<std::string&>());
  return {};
}

Expected<void> take_count(const json& object, const char* field, std::optional<std::uint64_t>& to) {
  const auto at = object.find(field);
  if (at == object.end() || at->is_null()) return {};
  if (at->is_number_unsigned()) {
    to = at->get<std::uint64_t>();
  } else if (at->is_number_float() && at->get<double>() >= 0 && at->get<double>() < 9e15 &&
             at->get<double>() == std::floor(at->get<double>())) {
    to = static_cast<std::uint64_t>(at->get<double>());
  } else {
    return wrong(field, "a whole number, 0 or more");
  }
  return {};
}

Expected<void> take_payload(json& object, ApiInput& input) {
  if (const auto at = object.find("message"); at != object.end() && !at->is_null()) {
    if (!at->is_string()) return wrong("message", "a string");
    input.message = std::move(at->get_ref<std::string&>());
  }
  const auto at = object.find("message_base64");
  if (at == object.end() || at->is_null()) return {};
  auto bytes = at->is_string() ? decode_base64(at->get_ref<const std::string&>()) : std::nullopt;
  if (!bytes) return wrong("message_base64", "base64");
  if (input.message) return wrong("message", "left out where message_base64 is given");
  input.message = std::move(*bytes);
  return {};
}

Expected<void> take_threshold(const json& object, ApiInput& input) {
  const auto at = object.find("threshold");
  if (at == object.end() || at->is_null()) return {};
  if (!at->is_number()) return wrong("threshold", "a number");
  const double threshold = at->get<double>();
  if (!(threshold >= 0 && threshold <= 1)) return wrong("threshold", "from 0.1 to 1.0");
  input.threshold = threshold;
  return {};
}

}  // namespace

Expected<ApiInput> parse_input(std::string_view text) {
  json object = json::parse(text, nullptr, false);
  if (!object.is_object()) return fail(ErrorCode::malformed, "body", "invalid JSON");
  ApiInput input;
  for (const auto& [field, to] :
       {std::pair{"type", &input.type}, {"client_id", &input.client_id}, {"topic", &input.topic}}) {
    if (auto ok = take_text(object, field, *to); !ok) return tl::make_unexpected(ok.error());
  }
  if (auto ok = take_payload(object, input); !ok) return tl::make_unexpected(ok.error());
  if (auto ok = take_threshold(object, input); !ok) return tl::make_unexpected(ok.error());
  if (auto ok = take_count(object, "message_length", input.message_length); !ok) return tl::make_unexpected(ok.error());
  if (auto ok = take_count(object, "timestamp", input.timestamp); !ok) return tl::make_unexpected(ok.error());
  if (const auto at = object.find("no_dedup"); at != object.end() && !at->is_null()) {
    if (!at->is_boolean()) return wrong("no_dedup", "true or false");
    input.no_dedup = at->get<bool>();
  }
  if (const auto at = object.find("id"); at != object.end()) {
    if (!at->is_string() && !at->is_number()) return wrong("id", "a string or a number");
    input.id = at->dump();
    if (input.id.size() > 128) return wrong("id", "at most 128 bytes");
  }
  return input;
}

std::optional<double> parse_number(std::string_view text) {
  double number = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (code != std::errc{} || end != text.data() + text.size() || !std::isfinite(number)) return std::nullopt;
  return number;
}

}  // namespace corelay::gateway
