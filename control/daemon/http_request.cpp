#include "control/daemon/http_request.h"

#include <algorithm>
#include <optional>

namespace corelay::daemon {
namespace {

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<std::string> decoded(std::string_view text, bool plus_is_space) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      if (i + 2 >= text.size()) return std::nullopt;
      const int high = hex_value(text[i + 1]);
      const int low = hex_value(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    } else if (c == '+' && plus_is_space) {
      c = ' ';
    }
    out.push_back(c);
  }
  return out;
}

}  // namespace

std::string HttpRequest::parameter(std::string_view name) const {
  const auto found = std::find_if(query.begin(), query.end(), [&](const auto& item) { return item.first == name; });
  return found == query.end() ? std::string() : found->second;
}

Expected<HttpRequest> parse_target(std::string_view method, std::string_view target) {
  const auto malformed = [] { return fail(ErrorCode::malformed, "request", "the request target is malformed"); };
  if (target.empty() || target.front() != '/') return malformed();
  HttpRequest request;
  request.method = method;
  target = target.substr(0, target.find('#'));
  const std::size_t mark = target.find('?');
  const auto path = decoded(target.substr(0, mark), false);
  if (!path || std::any_of(path->begin(), path->end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; })) {
    return malformed();
  }
  request.path = *path;
  if (mark == std::string_view::npos) return request;
  for (std::string_view rest = target.substr(mark + 1); !rest.empty();) {
    const std::string_view item = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), item.size() + 1));
    const std::size_t equals = std::min(item.find('='), item.size());
    const auto name = decoded(item.substr(0, equals), true);
    const auto value = decoded(item.substr(std::min(item.size(), equals + 1)), true);
    if (!name || !value) return malformed();
    request.query.emplace_back(*name, *value);
  }
  return request;
}

}  // namespace corelay::daemon
