/// The settings of a node (control/daemon/settings.h says how they are read). Every key is documented in default.toml,
/// which is embedded in the binary; a test holds the two together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "codec/expected.h"
#include "control/daemon/log.h"
#include "control/daemon/settings.h"
#include "dataplane/dataplane.h"

namespace corelay::node {

enum class NodeMode : std::uint8_t { optimum, gossipsub };
using daemon::LogFormat;
using daemon::LogLevel;

/// Every setting with its default. A section is a [table] of the file, a member is a key of it; units are in the names.
struct NodeConfig {
  struct Node {
    NodeMode mode = NodeMode::optimum;
    std::string cluster_id;
    std::string identity_dir = "/identity";
    std::vector<std::string> bootstrap_peers;
    std::string country;
    std::string country_iso;
    std::uint32_t drain_ms = 3000;
  } node;
  struct Log {
    LogLevel level = LogLevel::info;
    LogFormat format = LogFormat::text;
  } log;
  struct P2p {
    std::string address = "0.0.0.0";
    std::uint16_t port = 7070;
    std::vector<std::string> announce;
    std::uint32_t dial_timeout_ms = 10000;
    std::uint32_t keepalive_ms = 15000;
    std::uint32_t connections_max = 256;
    std::uint32_t connections_per_address_max = 64;
  } p2p;
  struct Session {
    std::uint32_t timeout_ms = 10000;
    std::uint32_t rekey_s = 3600;
    std::uint32_t exchanges_per_minute_max = 120;
  } session;
  struct Mesh {
    std::uint32_t degree_target = 6;
    std::uint32_t degree_min = 3;
    std::uint32_t degree_max = 12;
    std::uint32_t connections_target = 12;
    std::uint32_t heartbeat_ms = 700;
    std::uint32_t prune_backoff_ms = 10000;
    std::uint32_t redial_min_ms = 250;
    std::uint32_t redial_max_ms = 30000;
  } mesh;
  struct Relay {
    std::uint32_t message_bytes_max = 16u << 20;
    std::uint16_t path_mtu_bytes = 1400;
    std::uint16_t shard_factor = 0;
    double shard_mult = 0.0;
    double threshold = 0.0;
    dataplane::Router router = dataplane::Router::mesh;
    std::uint32_t random_message_bytes = 512;
    double redundancy = 0.05;
    bool verify_before_forward = true;
    std::uint64_t rate_bytes_per_second_max = 0;
    std::uint32_t peers_max = 128;
    std::uint32_t topics_max = 1024;
    std::uint32_t messages_max = 4096;
    std::uint32_t large_messages_max = 256;
    std::uint32_t messages_per_peer_max = 256;
    std::uint32_t cells_max = 131072;
    std::uint32_t generations_max = 4096;
    std::uint32_t seen_max = 262144;
    std::uint32_t seen_s = 120;
    std::uint32_t keep_s = 30;
    std::uint32_t incomplete_s = 30;
  } relay;
  struct Dataplane {
    std::uint16_t lanes = 1;
    dataplane::BackendChoice backend = dataplane::BackendChoice::automatic;
    dataplane::IdleMode idle = dataplane::IdleMode::polite;
    std::uint32_t spin_us = 50;
    bool pin_lcores = true;
    std::uint32_t command_ring_depth = 1024;
    std::uint32_t event_ring_depth = 8192;
    std::uint32_t socket_buffer_bytes = 8u << 20;
    double test_loss = 0.0;
  } dataplane;
  struct Publish {
    std::uint32_t hold_ms = 30000;
    std::uint32_t threads = 2;
    std::uint32_t in_flight_max = 4096;
    std::uint64_t in_flight_bytes_max = 256u << 20;
  } publish;
  struct Sidecar {
    std::string address = "127.0.0.1";
    std::uint16_t port = 33212;
    std::uint32_t streams_max = 256;
    std::uint32_t topics_per_stream_max = 1024;
    std::uint32_t publishes_per_stream_max = 64;
    std::uint32_t queue_messages_max = 16384;
    std::uint64_t queue_bytes_max = 128u << 20;
    bool traces = true;
    bool shard_traces = false;
  } sidecar;
  struct Api {
    std::string address = "127.0.0.1";
    std::uint16_t port = 9090;
    std::uint32_t connections_max = 128;
    std::uint32_t timeout_ms = 10000;
  } api;
  struct Gossipsub {
    std::uint16_t port = 6060;
    std::uint32_t message_bytes_max = 1u << 20;
    std::uint32_t degree_target = 6;
    std::uint32_t degree_min = 3;
    std::uint32_t degree_max = 12;
  } gossipsub;
};

using daemon::ConfigSources;
using daemon::FieldInfo;
using daemon::FlagValue;

/// All keys, in the order of default.toml.
[[nodiscard]] std::span<const FieldInfo> config_fields() noexcept;

/// default.toml as built in.
[[nodiscard]] std::string_view default_toml() noexcept;

using LoadedConfig = daemon::Loaded<NodeConfig>;

/// Applies the layers and checks the result (control/daemon/settings.h).
[[nodiscard]] Expected<LoadedConfig> load_config(const ConfigSources& sources);

/// The whole configuration as a TOML file, each value with its origin in a comment.
[[nodiscard]] std::string print_config(const LoadedConfig& loaded);

/// One value as TOML would write it.
[[nodiscard]] std::string field_text(const FieldInfo& field, const NodeConfig& config);

/// The settings of the other parts.
[[nodiscard]] dataplane::RelayParams relay_params(const NodeConfig& config);
[[nodiscard]] dataplane::DataplaneConfig dataplane_config(const NodeConfig& config);

}  // namespace corelay::node
