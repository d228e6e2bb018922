#include "tools/corelay/port_hint.h"

#include <fmt/format.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>

#include "tools/corelay/fleet.h"
#include "tools/corelay/gateway_grpc.h"
#include "tools/corelay/http_get.h"
#include "tools/corelay/sidecar_client.h"

namespace corelay::tools {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using std::chrono::milliseconds;

constexpr milliseconds patience{500};  // with a listener that says nothing
constexpr milliseconds call_timeout{1000};  // with one that speaks HTTP or gRPC
constexpr std::string_view multistream = "\x13/multistream/1.0.0\n";

/// What comes back first to a few bytes; empty where nothing does in time.
std::string first_answer(const std::string& address, std::string_view said) {
  const auto parts = split_address(address);
  if (!parts) return "";
  asio::io_context loop;
  error_code failed;
  const auto endpoints = asio::ip::tcp::resolver(loop).resolve(parts->first, parts->second, failed);
  if (failed) return "";
  asio::ip::tcp::socket socket(loop);
  std::string answer(64, '\0');
  std::size_t got = 0;
  asio::async_connect(socket, endpoints, [&](error_code error, const auto&) {
    if (error) return;
    asio::async_write(socket, asio::buffer(said), [&](error_code write_error, std::size_t) {
      if (write_error) return;
      socket.async_read_some(asio::buffer(answer), [&](error_code, std::size_t bytes) { got = bytes; });
    });
  });
  loop.run_for(patience);
  answer.resize(got);
  return answer;
}

const char* name_of(PortKind kind) {
  switch (kind) {
    case PortKind::sidecar: return "the sidecar";
    case PortKind::api: return "the HTTP API";
    case PortKind::p2p: return "the p2p port";
    case PortKind::gateway: return "the HTTP API";
    case PortKind::gateway_grpc: return "the gRPC port";
    case PortKind::unknown: break;
  }
  return "";
}

std::uint16_t port_of(const FleetNode& node, PortKind kind) {
  if (kind == PortKind::sidecar) return node.sidecar_port;
  return kind == PortKind::api ? node.api_port : node.p2p_port;
}

/// A JSON document of an HTTP API; null where there is none.
nlohmann::json document_at(const std::string& address, const char* path) {
  const auto reply = http_get(address, path, call_timeout);
  const bool is_answered = reply && reply->status == 200;
  auto document = is_answered ? nlohmann::json::parse(reply->body, nullptr, false) : nlohmann::json();
  return document.is_object() ? document : nlohmann::json();
}

/// From the node's own API: its settings have the port of a sidecar, and nobody else's have.
std::optional<std::uint16_t> port_by_api(const std::string& address, PortKind wanted) {
  const auto config = document_at(address, "/api/v1/config");
  const auto at = nlohmann::json::json_pointer(wanted == PortKind::sidecar ? "/sidecar/port" : "/api/port");
  if (!config.contains(at) || !config[at].is_number_unsigned()) return std::nullopt;
  const auto port = config[at].get<std::uint64_t>();
  if (port == 0 || port > 65535) return std::nullopt;
  return static_cast<std::uint16_t>(port);
}

/// From the record of the fleet that 'corelay up' started.
std::optional<std::uint16_t> port_by_record(const std::string& port, PortKind is, PortKind wanted) {
  const auto fleet = Fleet::load(fleet_directory());
  if (!fleet) return std::nullopt;
  for (const FleetNode& node : fleet->nodes()) {
    if (std::to_string(port_of(node, is)) == port) return port_of(node, wanted);
  }
  return std::nullopt;
}

/// By what a gateway alone or a node alone answers; many web servers know every path.
PortKind kind_of_http(const std::string& address) {
  const auto title = nlohmann::json::json_pointer("/info/title");
  const auto api = document_at(address, "/openapi.json");
  if (api.contains(title) && api[title] == "Corelay gateway") return PortKind::gateway;
  return port_by_api(address, PortKind::sidecar) ? PortKind::api : PortKind::unknown;
}

/// By which service there is. A server that asks for a token before it looks for the service is neither.
PortKind kind_of_grpc(const std::string& address) {
  const auto client = SidecarClient::open(address, call_timeout);
  if (!client) return PortKind::unknown;
  const auto topics = (*client)->topics(call_timeout);
  if (topics) return PortKind::sidecar;
  const bool is_other = topics.error().code == ErrorCode::malformed;
  return is_other && GatewayGrpc(address, false, "").is_served(call_timeout) ? PortKind::gateway_grpc
                                                                             : PortKind::unknown;
}

PortHint gateway_hint(const std::string& address, PortKind is, PortKind wanted) {
  const bool is_http = is == PortKind::gateway;
  const std::string url = is_http ? "http://" + address : "the gateway's HTTP port";
  const std::string right = wanted == PortKind::sidecar ? "--service-url with " + url + " in place of --addr"
                                                        : "'corelay health --service-url' with " + url;
  const char* node = wanted == PortKind::sidecar ? "--addr with a node's sidecar (SIDECAR_PORT, 33212 unless set)"
                                                 : "--api with a node's HTTP API (API_PORT, 9090 unless set)";
  return {fmt::format("{} is {} of a gateway, not of a node", address, name_of(is)), right + ", or " + node};
}

}  // namespace

PortKind kind_of_port(const std::string& address) {
  const std::string to_http = first_answer(address, "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  if (to_http.starts_with("HTTP/1.")) return kind_of_http(address);
  // A SETTINGS frame: three bytes of length, then type 4.
  if (to_http.size() >= 9 && to_http[0] == '\0' && to_http[3] == '\x04') return kind_of_grpc(address);
  return first_answer(address, multistream).starts_with(multistream) ? PortKind::p2p : PortKind::unknown;
}

PortHint port_hint(const std::string& address, PortKind wanted) {
  const auto parts = split_address(address);
  const PortKind is = parts ? kind_of_port(address) : PortKind::unknown;
  if (is == PortKind::unknown || is == wanted) return {};
  if (is == PortKind::gateway || is == PortKind::gateway_grpc) return gateway_hint(address, is, wanted);
  auto port = is == PortKind::api ? port_by_api(address, wanted) : std::nullopt;
  if (!port) port = port_by_record(parts->second, is, wanted);
  const std::string right =
      port ? fmt::format("is {}:{}", parts->first, *port)
           : fmt::format("has a port of its own ({})",
                         wanted == PortKind::sidecar ? "SIDECAR_PORT, 33212 unless set" : "API_PORT, 9090 unless set");
  return {fmt::format("{} is {} of a node; {} {}", address, name_of(is), name_of(wanted), right),
          wanted == PortKind::sidecar ? "--addr with the port of the sidecar" : "--api with the port of the HTTP API"};
}

}  // namespace corelay::tools
