#include "tools/corelay/gateway_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>

#include "tools/corelay/fleet.h"
#include "tools/corelay/gateway_frame.h"
#include "tools/corelay/port_hint.h"
#include "tools/corelay/text.h"

namespace corelay::tools {

namespace {

/// From the record of the fleet that 'corelay up' started; 0 where no gateway of it has the port.
std::uint64_t grpc_port_by_record(std::uint64_t port) {
  const auto fleet = Fleet::load(fleet_directory());
  if (!fleet) return 0;
  for (const FleetGateway& gateway : fleet->gateways()) {
    if (port == gateway.port || port == gateway.grpc_port) return gateway.grpc_port;
  }
  return 0;
}

std::uint64_t grpc_port_of(const Url& url, const GatewayOptions& options) {
  constexpr std::uint64_t first_http = 8081;
  constexpr std::uint64_t first_grpc = 50051;
  constexpr std::uint64_t gateways = 100;
  if (options.grpc_port != 0) return options.grpc_port;
  const std::uint64_t port = parse_number(url.port).value_or(0);
  if (const auto known = url.is_here() ? grpc_port_by_record(port) : 0; known != 0) return known;
  if (port >= first_http && port < first_http + gateways) return first_grpc + (port - first_http);
  if (port >= first_grpc && port < first_grpc + gateways) return port;
  return port == 80 || port == 443 || port == 8080 ? first_grpc : 0;
}

}  // namespace

Expected<Url> grpc_url(Url url, const GatewayOptions& options) {
  const std::uint64_t port = grpc_port_of(url, options);
  if (port == 0)
    return fail(ErrorCode::invalid_argument, "--service-url",
                fmt::format("'{}' does not tell which port the gateway's gRPC has", url.origin()));
  url.port = std::to_string(port);
  return url;
}

Expected<std::vector<Url>> parse_service_urls(const std::vector<std::string>& texts) {
  std::vector<Url> urls;
  for (const std::string& text : texts) {
    auto url = parse_url(text);
    if (!url) return fail(ErrorCode::invalid_argument, "--service-url", url.error().what);
    urls.push_back(std::move(*url));
  }
  return urls;
}

tl::expected<std::vector<ServiceUrl>, ExitCode> service_urls_of(const Console& console,
                                                                const GatewayOptions& options) {
  const auto urls = parse_service_urls(options.service_urls);
  if (!urls)
    return tl::make_unexpected(console.fail(ExitCode::usage, urls.error().describe(), "http://localhost:8081"));
  std::vector<ServiceUrl> services;
  for (const Url& url : *urls) {
    const auto grpc = options.is_grpc ? grpc_url(url, options) : Url{};
    if (!grpc)
      return tl::make_unexpected(console.fail(ExitCode::usage, grpc.error().describe(),
                                              "--grpc-port with the gateway's PROXY_GRPC_PORT (50051 where it has "
                                              "none), or without --grpc"));
    services.push_back({url, *grpc});
  }
  return services;
}

GatewayClient::GatewayClient(const Console& console, std::vector<ServiceUrl> urls, Access& access,
                             std::chrono::milliseconds timeout)
    : console_(console), urls_(std::move(urls)), access_(access), timeout_(timeout) {
  const auto is_open = [](const ServiceUrl& each) { return !each.http.is_tls && !each.http.is_here(); };
  const auto open = std::find_if(urls_.begin(), urls_.end(), is_open);
  if (open == urls_.end() || !access_.has_token()) return;
  static std::once_flag is_told;
  std::call_once(is_told, [&] {
    console_.note(fmt::format("Warning: our token goes to {} in the clear, for anybody on the way to read and use. "
                              "https:// keeps it to the gateway; --disable-auth sends none.", open->http.origin()));
  });
}

Url GatewayClient::at(const std::string& path) const {
  std::string prefix = url().target.substr(0, url().target.find('?'));
  while (prefix.ends_with('/')) prefix.pop_back();
  return url().at(prefix + path);
}

void GatewayClient::try_next() {
  index_ = (index_ + 1) % urls_.size();
  http_.reset();
}

Expected<HttpReply> GatewayClient::call(const std::string& method, const std::string& path, const std::string& body) {
  HttpRequest request;
  request.method = method;
  request.body = body;
  request.headers = access_.headers();
  if (!access_.refresh_failure().empty())
    console_.debug("the token could not be refreshed: " + access_.refresh_failure());
  for (std::size_t tried = 1;; ++tried) {
    if (!http_) http_ = std::make_unique<HttpClient>(url(), timeout_);
    request.target = at(path).target;
    const auto started_at = std::chrono::steady_clock::now();
    auto reply = http_->send(request);
    console_.debug(fmt::format("{} {}{}: {} after {}", method, url().origin(), request.target,
                               reply ? fmt::format("status {}", reply->status) : reply.error().what,
                               human_time(std::chrono::steady_clock::now() - started_at)));
    const bool is_down = reply ? reply->status == 503 : reply.error().code == ErrorCode::unavailable;
    if (!is_down || tried >= urls_.size()) return reply;
    try_next();
  }
}

ExitCode GatewayClient::unreachable(const Error& error) const {
  if (error.code == ErrorCode::timed_out)
    return console_.fail(ExitCode::timed_out, fmt::format("{} did not answer: {}", url().origin(), error.what),
                         "--service-url http://HOST:PORT of a running gateway; 'corelay health' shows how it is");
  if (error.code == ErrorCode::too_large)
    return console_.fail(ExitCode::failed, fmt::format("{} answered with too much: {}", url().origin(), error.what),
                         "--service-url with the HTTP port of a gateway");
  if (error.code == ErrorCode::malformed) {
    const PortKind kind = url().is_tls ? PortKind::unknown : kind_of_port(url().authority());
    const char* is = kind == PortKind::sidecar        ? ": that is the gRPC port of a node's sidecar"
                     : kind == PortKind::gateway_grpc ? ": that is the gRPC port of a gateway"
                     : kind == PortKind::p2p          ? ": that is the p2p port of a node"
                                                      : "";
    return console_.fail(ExitCode::unreachable, fmt::format("no gateway at {}: {}{}", url().origin(), error.what, is),
                         kind == PortKind::sidecar
                             ? "--addr for a node, or the port of a gateway's HTTP API (GATEWAY_PORT)"
                             : "--service-url with the port of a gateway's HTTP API (GATEWAY_PORT)");
  }
  return console_.fail(ExitCode::unreachable, fmt::format("no gateway at {}: {}", url().origin(), error.what),
                       "--service-url http://HOST:PORT of a running gateway; 'corelay up' starts two, at "
                       "http://localhost:8081 and 8082");
}

ExitCode GatewayClient::refused(const HttpReply& reply, const std::string& doing) const {
  return refused(reply.status, error_text(reply.body), doing, reply.retry_after);
}

ExitCode GatewayClient::refused(unsigned status, const std::string& why, const std::string& doing,
                                const std::string& retry_after) const {
  const std::string said = fmt::format("{} refused {}: {} (status {})", url().origin(), doing,
                                       why.empty() ? "no reason given" : why, status);
  switch (status) {
    case 401:
      return console_.fail(
          ExitCode::refused, said,
          access_.has_token() ? "'corelay refresh', else 'corelay login'; 'corelay whoami' shows the token"
                              : "'corelay login'; the gateway asks for a token (--auth-path names another token file)");
    case 403:
      return console_.fail(ExitCode::refused, said, "'corelay whoami', and whoever runs the accounts");
    case 404:
      if (why == "topic not assigned")
        return console_.fail(ExitCode::refused, said, "subscribe to the topic through this gateway first");
      if (!url().is_tls && kind_of_port(url().authority()) == PortKind::api)
        return console_.fail(
            ExitCode::unreachable,
            fmt::format("no gateway at {}: that is the HTTP API of a node, not of a gateway", url().origin()),
            "--service-url with a gateway's HTTP port, or --addr with the node's sidecar");
      return console_.fail(ExitCode::refused, said, "is this a gateway? 'corelay health --service-url ...'");
    case 429:
      return console_.fail(ExitCode::refused, said,
                           (retry_after.empty() ? "again later" : "again in " + retry_after + " s") +
                               std::string("; 'corelay usage' shows the limits"));
    case 503:
      return console_.fail(ExitCode::unreachable, said,
                           "'corelay health'; are the gateway's nodes (P2P_NODES) running?");
    case 504:
      return console_.fail(ExitCode::timed_out, said, "the message may yet arrive; the same bytes again do no harm");
    default:
      return console_.fail(status < 500 ? ExitCode::refused : ExitCode::failed, said);
  }
}

}  // namespace corelay::tools
