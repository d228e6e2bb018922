#include "control/gateway/api_input.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "control/gateway/text.h"

namespace corelay::gateway {
namespace {

using nlohmann::json;

constexpr std::size_t id_bytes_max = 128;

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

/// Reads the common case in place: one flat object of known fields, each once, strings without escapes. Whatever is not
/// that, right or wrong, is left to the parser.
class PlainInput {
 public:
  explicit PlainInput(std::string_view text) : text_(text) {}

  [[nodiscard]] bool read(ApiInput& input) {
    if (!take('{')) return false;
    do {
      const auto key = take_string();
      if (!key || !take(':') || !read_value(*key, input)) return false;
    } while (take(','));
    return take('}') && (skip_space(), text_.empty());
  }

 private:
  enum Field : unsigned { type = 1, client_id = 2, topic = 4, message = 8, timestamp = 16, no_dedup = 32, id = 64 };

  [[nodiscard]] bool read_value(std::string_view key, ApiInput& input) {
    if (key == "message") return is_first(message) && copy_string(input.message.emplace());
    if (key == "topic") return is_first(topic) && copy_string(input.topic);
    if (key == "type") return is_first(type) && copy_string(input.type);
    if (key == "client_id") return is_first(client_id) && copy_string(input.client_id);
    if (key == "timestamp") return is_first(timestamp) && take_count(input.timestamp.emplace());
    if (key == "no_dedup") return is_first(no_dedup) && take_flag(input.no_dedup);
    if (key != "id" || !is_first(id)) return false;
    std::uint64_t number = 0;
    skip_space();
    const bool is_string = text_.starts_with('"');
    if (!(is_string ? copy_string(input.id) : take_count(number))) return false;
    input.id = is_string ? '"' + input.id + '"' : std::to_string(number);
    return input.id.size() <= id_bytes_max;
  }

  [[nodiscard]] bool is_first(Field field) noexcept { return (std::exchange(seen_, seen_ | field) & field) == 0; }

  void skip_space() noexcept {
    const std::size_t at = text_.find_first_not_of(" \t\r\n");
    text_.remove_prefix(std::min(at, text_.size()));
  }

  [[nodiscard]] bool take(char wanted) noexcept {
    skip_space();
    if (!text_.starts_with(wanted)) return false;
    text_.remove_prefix(1);
    return true;
  }

  [[nodiscard]] std::optional<std::string_view> take_string() {
    if (!take('"')) return std::nullopt;
    const std::string_view found = text_.substr(0, text_.find('"'));
    if (found.size() == text_.size() || !is_plain_text(found)) return std::nullopt;
    text_.remove_prefix(found.size() + 1);
    return found;
  }

  [[nodiscard]] bool copy_string(std::string& to) {
    const auto found = take_string();
    if (found) to = *found;
    return found.has_value();
  }

  [[nodiscard]] bool take_count(std::uint64_t& to) {
    skip_space();
    const auto [end, code] = std::from_chars(text_.data(), text_.data() + text_.size(), to);
    const auto digits = static_cast<std::size_t>(end - text_.data());
    if (code != std::errc{} || (text_.starts_with('0') && digits > 1)) return false;
    text_.remove_prefix(digits);
    return true;  // a fraction or an exponent is no comma and no brace
  }

  [[nodiscard]] bool take_flag(bool& to) {
    skip_space();
    to = text_.starts_with("true");
    if (!to && !text_.starts_with("false")) return false;
    text_.remove_prefix(to ? 4 : 5);
    return true;
  }

  std::string_view text_;
  unsigned seen_ = 0;
};

}  // namespace

Expected<ApiInput> parse_input(std::string_view text) {
  if (ApiInput plain; PlainInput(text).read(plain)) return plain;
  const bool has_zero = text.find('\0') != std::string_view::npos;  // the parser would take it for the end
  json object = has_zero ? json() : json::parse(text, nullptr, false);
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
    if (input.id.size() > id_bytes_max) return wrong("id", "at most 128 bytes");
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
