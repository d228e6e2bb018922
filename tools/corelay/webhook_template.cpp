#include "tools/corelay/webhook_template.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "tools/corelay/text.h"

namespace corelay::tools {
namespace {

using Json = nlohmann::json;

constexpr std::pair<std::string_view, std::string WebhookFields::*> names[] = {
    {"Message", &WebhookFields::message},      {"Timestamp", &WebhookFields::timestamp},
    {"Topic", &WebhookFields::topic},          {"ClientID", &WebhookFields::client_id},
    {"MessageID", &WebhookFields::message_id},
};

/// As it stands inside of a JSON string's quotes.
std::string escaped(const std::string& text) {
  std::string quoted = Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
  return quoted.substr(1, quoted.size() - 2);
}

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

/// Whether the end of JSON text lies inside of a string.
bool ends_in_string(std::string_view text, bool is_inside) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && is_inside)
      ++i;
    else if (text[i] == '"')
      is_inside = !is_inside;
  }
  return is_inside;
}

}  // namespace

Expected<WebhookTemplate> WebhookTemplate::parse(std::string_view text) {
  const auto invalid = [](const std::string& why) {
    return fail(ErrorCode::invalid_argument, "webhook template", why);
  };
  WebhookTemplate made;
  bool is_inside = false;
  for (;;) {
    const std::size_t open = text.find("{{");
    // JSON itself has "{{" nowhere but in strings.
    made.parts_.push_back({std::string(text.substr(0, open)), nullptr});
    if (open == std::string_view::npos) break;
    is_inside = ends_in_string(made.parts_.back().text, is_inside);
    text.remove_prefix(open + 2);
    const std::size_t close = text.find("}}");
    if (close == std::string_view::npos) return invalid("'{{' without '}}'");
    const std::string_view name = trimmed(text.substr(0, close));
    text.remove_prefix(close + 2);
    for (const auto& [known, field] : names) {
      if (name.starts_with('.') && name.substr(1) == known) made.parts_.back().field = field;
    }
    if (made.parts_.back().field == nullptr)
      return invalid(
          fmt::format("'{{{{{}}}}}' is none of {{{{.Message}}}}, {{{{.Timestamp}}}}, {{{{.Topic}}}}, "
                      "{{{{.ClientID}}}} and {{{{.MessageID}}}}",
                      shortened(name)));
    if (!is_inside)
      return invalid(fmt::format("'{{{{{}}}}}' must stand inside of a JSON string, in double quotes", name));
  }
  // Neither an escape nor a hexadecimal digit: a name right behind a backslash does not pass.
  const WebhookFields sample{"x", "x", "x", "x", "x"};
  if (!Json::accept(made.fill(sample))) return invalid("with its fields put in it is no valid JSON");
  return made;
}

std::string WebhookTemplate::fill(const WebhookFields& fields) const {
  std::string out;
  for (const Part& part : parts_) {
    out += part.text;
    if (part.field != nullptr) out += escaped(fields.*part.field);
  }
  return out;
}

std::string content_type_of(std::string_view payload) {
  if (Json::accept(payload)) return "application/json";
  return is_printable(payload) ? "text/plain; charset=utf-8" : "application/octet-stream";
}

}  // namespace corelay::tools
