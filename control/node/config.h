/// The settings of a node: one typed struct, four layers. A flag beats the environment, the environment beats the file,
/// the file beats the default. Every key is documented in default.toml, which is embedded in the binary; a test holds
/// the two together. A wrong key, type or value is an error that names it; nothing is silently ignored.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "codec/expected.h"
#include "dataplane/dataplane.h"

namespace corelay::node {

enum class NodeMode : std::uint8_t { optimum, gossipsub };
enum class LogLevel : std::uint8_t { trace, debug, info, warn, error, off };
enum class LogFormat : std::uint8_t { text, json };

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

/// An enumerated setting: its raw value and the names of 0, 1, 2, ...
struct EnumRef {
  unsigned char* value = nullptr;
  std::span<const std::string_view> names;
};

/// Where one setting lives inside a NodeConfig.
using FieldRef = std::variant<bool*, std::uint16_t*, std::uint32_t*, std::uint64_t*, double*, std::string*,
                              std::vector<std::string>*, EnumRef>;

/// One key. `variable` is the published node's environment name for it, empty where it has none; besides, every key
/// answers to CORELAY_<SECTION>_<KEY>. `least` and `most` bound numbers.
struct FieldInfo {
  std::string_view section;
  std::string_view key;
  std::string_view variable;
  double least = 0;
  double most = 0;
  FieldRef (*at)(NodeConfig&) = nullptr;

  [[nodiscard]] std::string name() const { return std::string(section) + "." + std::string(key); }
};

/// All keys, in the order of default.toml.
[[nodiscard]] std::span<const FieldInfo> config_fields() noexcept;

/// default.toml as built in.
[[nodiscard]] std::string_view default_toml() noexcept;

/// A value given on the command line: key as section.key, value as text, and the flag it came by, for messages.
struct FlagValue {
  std::string key;
  std::string value;
  std::string flag = "--set";
};

/// What the layers are made from.
struct ConfigSources {
  std::string file_name;                                         // for messages; empty: no file
  std::string file_text;                                         // TOML
  std::vector<std::pair<std::string, std::string>> environment;  // all of it: other names are passed over
  std::vector<FlagValue> flags;
};

/// A checked configuration, and where each value came from, in the order of config_fields().
struct LoadedConfig {
  NodeConfig config;
  std::vector<std::string> origins;
};

/// Applies the layers and checks the result. Errors: invalid_argument, naming key, value and what is allowed, or the
/// nearest key; malformed, for a file that is not TOML, with line and column. An environment variable that is set but
/// empty counts as not set. Unknown names in the environment are errors only below CORELAY_<SECTION>_.
[[nodiscard]] Expected<LoadedConfig> load_config(const ConfigSources& sources);

/// The whole configuration as a TOML file, each value with its origin in a comment.
[[nodiscard]] std::string print_config(const LoadedConfig& loaded);

/// One value as TOML would write it.
[[nodiscard]] std::string field_text(const FieldInfo& field, const NodeConfig& config);

/// The settings of the other parts.
[[nodiscard]] dataplane::RelayParams relay_params(const NodeConfig& config);
[[nodiscard]] dataplane::DataplaneConfig dataplane_config(const NodeConfig& config);

}  // namespace corelay::node
