/// The settings of a gateway (control/daemon/settings.h says how they are read). Every key is documented in
/// default.toml, which is embedded in the binary; a test holds the two together.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "codec/expected.h"
#include "control/daemon/log.h"
#include "control/daemon/settings.h"

namespace corelay::gateway {

/// Every setting with its default. A section is a [table] of the file, a member is a key of it; units are in the names.
struct GatewayConfig {
  struct Gateway {
    std::string cluster_id;
    std::uint32_t drain_ms = 3000;
  } gateway;
  struct Log {
    daemon::LogLevel level = daemon::LogLevel::info;
    daemon::LogFormat format = daemon::LogFormat::text;
  } log;
  struct Http {
    std::string address;
    std::string port = "8080";
    std::uint32_t connections_max = 16384;
    std::uint32_t connections_per_address_max = 16384;
    std::uint32_t timeout_ms = 10000;
    std::uint32_t idle_ms = 60000;
    std::uint32_t ping_ms = 20000;
    std::uint32_t header_bytes_max = 16384;
    std::uint64_t buffered_bytes_max = 256u << 20;
    std::uint32_t send_buffer_bytes = 256u << 10;
    std::string cors_origin;
    std::string tls_certificate;
    std::string tls_key;
  } http;
  struct Grpc {
    std::string address;
    std::string port = "50051";
    std::uint32_t streams_max = 4096;
  } grpc;
  struct Nodes {
    std::vector<std::string> sidecars;
    std::uint32_t health_ms = 2000;
    std::uint32_t timeout_ms = 2000;
    std::uint32_t redial_min_ms = 100;
    std::uint32_t redial_max_ms = 3000;
  } nodes;
  struct Delivery {
    double threshold = 0.1;
    std::uint32_t fallback_ms = 2000;
    std::uint32_t order_ms = 1000;
    std::uint32_t dedup_s = 120;
    std::uint32_t dedup_messages_max = 262144;
    std::uint32_t message_bytes_max = 16u << 20;
    std::uint32_t publish_timeout_ms = 35000;
    std::uint32_t in_flight_max = 4096;
    std::uint64_t in_flight_bytes_max = 256u << 20;
    bool unassigned_topics = false;
  } delivery;
  struct Replay {
    std::uint32_t messages_max = 65536;
    std::uint64_t bytes_max = 64u << 20;
    std::uint64_t total_bytes_max = 512u << 20;
    std::uint32_t topics_max = 4096;
    std::uint32_t topics_per_client_max = 1024;
    std::uint32_t clients_max = 100000;
    std::uint32_t client_keep_s = 3600;
  } replay;
  struct Auth {
    bool enable = false;
    std::string domain;
    std::string audience;
    std::string issuer;
    std::string jwks_url;
    std::uint32_t refresh_s = 600;
    std::uint32_t stale_s = 86400;
    std::uint32_t leeway_s = 60;
  } auth;
  struct Bus {
    std::string url;
  } bus;
  struct Quota {
    std::string redis;
  } quota;
};

using daemon::ConfigSources;
using daemon::FieldInfo;
using daemon::FlagValue;

/// All keys, in the order of default.toml.
[[nodiscard]] std::span<const FieldInfo> config_fields() noexcept;

/// default.toml as built in.
[[nodiscard]] std::string_view default_toml() noexcept;

using LoadedConfig = daemon::Loaded<GatewayConfig>;

/// Applies the layers and checks the result.
[[nodiscard]] Expected<LoadedConfig> load_config(const ConfigSources& sources);
[[nodiscard]] std::string print_config(const LoadedConfig& loaded);

/// A place to listen at, from an address and a port: "8080", ":8080" and "127.0.0.1:8080" are all ports. An empty
/// address is loopback while anybody may use the API, and every address where tokens are asked for.
struct Listen {
  std::string address;
  std::uint16_t port = 0;
};
[[nodiscard]] Expected<Listen> listen_of(std::string_view address, std::string_view port, bool has_auth);

}  // namespace corelay::gateway
