/// What a client of the HTTP API asks for, read from a request line.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "codec/expected.h"

namespace corelay::daemon {

struct HttpRequest {
  std::string method;
  std::string path;                                         // decoded, without the query
  std::vector<std::pair<std::string, std::string>> query;  // decoded

  /// The first value of a query parameter, empty when there is none.
  [[nodiscard]] std::string parameter(std::string_view name) const;
};

/// Splits and decodes a request target. Errors: malformed (bad escapes, no leading slash, control characters).
[[nodiscard]] Expected<HttpRequest> parse_target(std::string_view method, std::string_view target);

}  // namespace corelay::daemon
