#include "tools/corelay/http_get.h"

#include <fmt/format.h>

#include <algorithm>

namespace corelay::tools {

Expected<std::pair<std::string, std::string>> split_address(const std::string& address) {
  const auto colon = address.rfind(':');
  const bool has_port =
      colon != std::string::npos && colon + 1 < address.size() && address.back() != ']';
  const std::string port = has_port ? address.substr(colon + 1) : "";
  const bool is_number = has_port && std::all_of(port.begin(), port.end(),
                                                 [](char c) { return c >= '0' && c <= '9'; });
  if (colon == 0 || !is_number || port.size() > 5 || std::stoul(port) > 65535 ||
      std::stoul(port) == 0) {
    return fail(ErrorCode::invalid_argument, "address",
                fmt::format("'{}' is not HOST:PORT with a port from 1 to 65535", address));
  }
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  return std::pair{host, port};
}

Expected<HttpReply> http_get(const std::string& address, const std::string& path,
                             std::chrono::milliseconds timeout) {
  const auto parts = split_address(address);
  if (!parts) return tl::make_unexpected(parts.error());
  HttpRequest request;
  request.target = path;
  auto reply = http_send(Url{false, parts->first, parts->second, path}, request, timeout);
  if (!reply && reply.error().code == ErrorCode::timed_out)
    return fail(ErrorCode::timed_out, address, fmt::format("no answer to GET {} in {} ms", path, timeout.count()));
  return reply;
}

}  // namespace corelay::tools
