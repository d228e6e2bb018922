#include "tools/corelay/url.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>

#include "tools/corelay/text.h"

namespace corelay::tools {
namespace {

constexpr std::size_t url_bytes_max = 4096;

bool is_letter_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

}  // namespace

std::string Url::authority() const {
  const bool is_v6 = host.find(':') != std::string::npos;
  return (is_v6 ? "[" + host + "]" : host) + ":" + port;
}

std::string Url::origin() const { return (is_tls ? "https://" : "http://") + authority(); }

bool Url::is_here() const {
  in_addr address = {};  // 127.example.org is a name like any other
  const bool is_loopback = inet_pton(AF_INET, host.c_str(), &address) == 1 && (ntohl(address.s_addr) >> 24) == 127;
  return host == "localhost" || host == "::1" || is_loopback;
}

Url Url::at(std::string_view path) const {
  Url url = *this;
  url.target = std::string(path);
  return url;
}

Expected<Url> parse_url(std::string_view text) {
  const auto invalid = [&](const std::string& why) {
    return fail(ErrorCode::invalid_argument, "url",
                fmt::format("{} is not a URL: {}", in_quotes(shortened(text)), why));
  };
  if (text.size() > url_bytes_max) return invalid("it is too long");
  if (std::any_of(text.begin(), text.end(), [](unsigned char c) { return c <= ' ' || c == 0x7f; }))
    return invalid("it has a space or a control character");
  Url url;
  std::string_view rest = text;
  if (const auto scheme = rest.find("://"); scheme != std::string_view::npos) {
    url.is_tls = rest.substr(0, scheme) == "https";
    if (!url.is_tls && rest.substr(0, scheme) != "http") return invalid("it takes http:// or https://");
    rest.remove_prefix(scheme + 3);
  }
  rest = rest.substr(0, rest.find('#'));
  const std::string_view authority = rest.substr(0, rest.find_first_of("/?"));
  rest.remove_prefix(authority.size());
  url.target = rest.starts_with('/') ? std::string(rest) : "/" + std::string(rest);
  if (authority.find('@') != std::string_view::npos) return invalid("a user name has no place in it");
  const std::size_t bracket = authority.starts_with('[') ? authority.find(']') : std::string_view::npos;
  if (authority.starts_with('[') && bracket == std::string_view::npos) return invalid("']' is missing");
  const std::size_t host_end = bracket == std::string_view::npos ? authority.find(':') : bracket + 1;
  const std::string_view host = authority.substr(0, host_end);
  const std::string_view behind = authority.substr(host.size());
  url.host = bracket == std::string_view::npos ? std::string(host) : std::string(host.substr(1, bracket - 1));
  if (url.host.empty()) return invalid("it names no host");
  const bool is_v6 = bracket != std::string_view::npos;
  const std::string_view others = is_v6 ? ":.%" : "-._~";
  const auto is_of_host = [&](char c) { return is_letter_or_digit(c) || others.find(c) != std::string_view::npos; };
  if (!std::all_of(url.host.begin(), url.host.end(), is_of_host) || (is_v6 && url.host.find(':') == std::string::npos))
    return invalid("its host has a character that no host has, or brackets around a name");
  if (behind.empty()) {
    url.port = url.is_tls ? "443" : "80";
    return url;
  }
  const auto port = behind.starts_with(':') ? parse_number(behind.substr(1)) : std::nullopt;
  if (!port || *port == 0 || *port > 65535) return invalid("a port is a number from 1 to 65535");
  url.port = std::to_string(*port);
  return url;
}

std::string url_encoded(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (is_letter_or_digit(c) || std::string_view("-._~").find(c) != std::string_view::npos)
      out += c;
    else
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

}  // namespace corelay::tools
