/// http:// and https:// addresses, taken apart once and used in parts.
#pragma once

#include <string>
#include <string_view>

#include "codec/expected.h"

namespace corelay::tools {

struct Url {
  bool is_tls = false;
  std::string host;          // without brackets
  std::string port;          // always there: 80 or 443 where the text has none
  std::string target = "/";  // path and query; starts with a slash

  /// host:port, with brackets around an IPv6 address.
  [[nodiscard]] std::string authority() const;
  /// "http://localhost:8081", without a path.
  [[nodiscard]] std::string origin() const;
  /// It is this machine: localhost, ::1 or 127.0.0.0/8.
  [[nodiscard]] bool is_here() const;
  /// The same server, another path.
  [[nodiscard]] Url at(std::string_view path) const;
};

/// Takes "http://host:port/path?query", "https://..." and a bare "host:port". Errors: invalid_argument, naming the text
/// and what is wrong with it (another scheme, a user name, no host, a bad port, a space or control character).
[[nodiscard]] Expected<Url> parse_url(std::string_view text);

/// Percent-encodes everything but letters, digits, '-', '.', '_' and '~'.
[[nodiscard]] std::string url_encoded(std::string_view text);

}  // namespace corelay::tools
