// The table of settings, one line a key, and the checks that span several. Adding a setting is a member of
// GatewayConfig, a line here and its prose in default.toml.
#include "control/gateway/config.h"

#include <fmt/format.h>

#include <array>
#include <charconv>

#include "control/daemon/fields.h"
#include "control/daemon/setting_value.h"

namespace corelay::gateway {
namespace {

using daemon::reference;

constexpr double bytes_max = 64.0 * 1024 * 1024 * 1024;
constexpr double hour_ms = 3600e3;
constexpr std::size_t nodes_max = 64;

#define FIELD(section, key, variable, least, most) CORELAY_FIELD(GatewayConfig, section, key, variable, least, most)

const auto fields = std::to_array<FieldInfo>({
    FIELD(gateway, cluster_id, "CLUSTER_ID", 0, 0),
    FIELD(gateway, drain_ms, "", 0, 600000),
    FIELD(log, level, "LOG_LEVEL", 0, 0),
    FIELD(log, format, "", 0, 0),
    FIELD(http, address, "", 0, 0),
    FIELD(http, port, "GATEWAY_PORT,PROXY_PORT", 0, 0),
    FIELD(http, connections_max, "", 1, 1e6),
    FIELD(http, connections_per_address_max, "", 1, 1e6),
    FIELD(http, timeout_ms, "", 100, hour_ms),
    FIELD(http, idle_ms, "", 100, hour_ms),
    FIELD(http, ping_ms, "", 100, hour_ms),
    FIELD(http, header_bytes_max, "", 1024, 1 << 20),
    FIELD(http, buffered_bytes_max, "", 65536, bytes_max),
    FIELD(http, send_buffer_bytes, "", 4096, 1 << 26),
    FIELD(http, cors_origin, "", 0, 0),
    FIELD(http, tls_certificate, "", 0, 0),
    FIELD(http, tls_key, "", 0, 0),
    FIELD(grpc, address, "", 0, 0),
    FIELD(grpc, port, "PROXY_GRPC_PORT", 0, 0),
    FIELD(grpc, streams_max, "", 1, 65536),
    FIELD(nodes, sidecars, "P2P_NODES", 0, 0),
    FIELD(nodes, health_ms, "", 100, hour_ms),
    FIELD(nodes, timeout_ms, "", 100, hour_ms),
    FIELD(nodes, redial_min_ms, "", 10, hour_ms),
    FIELD(nodes, redial_max_ms, "", 10, hour_ms),
    FIELD(delivery, threshold, "SUBSCRIBER_THRESHOLD", 0, 1),
    FIELD(delivery, fallback_ms, "", 0, hour_ms),
    FIELD(delivery, order_ms, "", 1, hour_ms),
    FIELD(delivery, dedup_s, "", 1, 86400),
    FIELD(delivery, dedup_messages_max, "", 16, 1 << 24),
    FIELD(delivery, message_bytes_max, "", 1, 1 << 30),
    FIELD(delivery, publish_timeout_ms, "", 100, hour_ms),
    FIELD(delivery, in_flight_max, "", 1, 1 << 20),
    FIELD(delivery, in_flight_bytes_max, "", 1, bytes_max),
    FIELD(delivery, unassigned_topics, "", 0, 0),
    FIELD(replay, messages_max, "", 1, 1 << 24),
    FIELD(replay, bytes_max, "", 1024, bytes_max),
    FIELD(replay, total_bytes_max, "", 1024, bytes_max),
    FIELD(replay, topics_max, "", 1, 1 << 20),
    FIELD(replay, topics_per_client_max, "", 1, 65536),
    FIELD(replay, clients_max, "", 1, 1 << 24),
    FIELD(replay, client_keep_s, "", 1, 86400 * 30),
    FIELD(auth, enable, "ENABLE_AUTH", 0, 0),
    FIELD(auth, domain, "AUTH0_DOMAIN", 0, 0),
    FIELD(auth, audience, "AUTH0_AUDIENCE", 0, 0),
    FIELD(auth, issuer, "", 0, 0),
    FIELD(auth, jwks_url, "", 0, 0),
    FIELD(auth, refresh_s, "", 1, 86400 * 30),
    FIELD(auth, stale_s, "", 1, 86400 * 365),
    FIELD(auth, leeway_s, "", 0, 3600),
    FIELD(bus, url, "", 0, 0),
    FIELD(quota, redis, "", 0, 0),
});

#undef FIELD

daemon::Schema schema() noexcept { return {fields, "corelay-gateway"}; }

bool has_port(std::string_view sidecar) {
  const auto colon = sidecar.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  const auto text = sidecar.substr(colon + 1);
  std::uint16_t port = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), port);
  return code == std::errc{} && end == text.data() + text.size() && port != 0;
}

Expected<void> check_together(const GatewayConfig& config) {
  const auto invalid = [](std::string text) { return fail(ErrorCode::invalid_argument, "config", std::move(text)); };
  if (config.nodes.sidecars.size() > nodes_max) {
    return invalid(
        fmt::format("nodes.sidecars (P2P_NODES) has {} entries: at most {}", config.nodes.sidecars.size(), nodes_max));
  }
  for (const auto& sidecar : config.nodes.sidecars) {
    if (has_port(sidecar)) continue;
    return invalid(
        fmt::format("nodes.sidecars (P2P_NODES) has \"{}\": must be host:port, such as localhost:33212", sidecar));
  }
  if (config.nodes.redial_min_ms > config.nodes.redial_max_ms) {
    return invalid("nodes.redial_min_ms must not be above nodes.redial_max_ms");
  }
  if (config.http.tls_certificate.empty() != config.http.tls_key.empty()) {
    return invalid("http.tls_certificate and http.tls_key are given together or not at all");
  }
  const auto& auth = config.auth;
  if (auth.enable && auth.domain.empty() && auth.jwks_url.empty()) {
    return invalid("auth.enable (ENABLE_AUTH) needs auth.domain (AUTH0_DOMAIN) or auth.jwks_url, to know whose tokens");
  }
  for (const bool is_http : {true, false}) {
    const auto listen = is_http ? listen_of(config.http.address, config.http.port, auth.enable)
                                : listen_of(config.grpc.address, config.grpc.port, auth.enable);
    if (!listen) return invalid((is_http ? "http.port: " : "grpc.port: ") + listen.error().what);
  }
  return {};
}

}  // namespace

std::span<const FieldInfo> config_fields() noexcept { return fields; }

Expected<Listen> listen_of(std::string_view address, std::string_view port, bool has_auth) {
  Listen listen;
  listen.address = address;
  const auto colon = port.rfind(':');
  if (colon != std::string_view::npos) {
    if (colon != 0 && address.empty()) listen.address = port.substr(0, colon);
    port.remove_prefix(colon + 1);
  }
  const auto [end, code] = std::from_chars(port.data(), port.data() + port.size(), listen.port);
  if (code != std::errc{} || end != port.data() + port.size()) {
    return fail(ErrorCode::invalid_argument, "listen", fmt::format("\"{}\" is not a port from 0 to 65535", port));
  }
  if (listen.address.empty()) listen.address = has_auth ? "0.0.0.0" : "127.0.0.1";
  return listen;
}

Expected<LoadedConfig> load_config(const ConfigSources& sources) {
  return daemon::load<GatewayConfig>(schema(), sources, check_together);
}

std::string print_config(const LoadedConfig& loaded) { return daemon::print(schema(), loaded); }

}  // namespace corelay::gateway
