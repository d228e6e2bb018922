// The table of settings: one line a key. Adding a setting is a member of NodeConfig, a line here and its prose in
// default.toml.
#include <array>

#include "control/daemon/fields.h"
#include "control/node/config.h"

namespace corelay::node {
namespace {

using daemon::FieldRef;
using daemon::names_of;
using daemon::reference;

constexpr std::array<std::string_view, 2> mode_names{"optimum", "gossipsub"};
constexpr std::array<std::string_view, 2> router_names{"mesh", "two-hop"};
constexpr std::array<std::string_view, 3> backend_names{"auto", "uring", "socket"};
constexpr std::array<std::string_view, 2> idle_names{"polite", "spin"};

constexpr double port_max = 65535;
constexpr double any_max = 4294967295.0;
constexpr double bytes_max = 64.0 * 1024 * 1024 * 1024;

FieldRef reference(NodeMode& value) { return names_of(value, mode_names); }
FieldRef reference(dataplane::Router& value) { return names_of(value, router_names); }
FieldRef reference(dataplane::BackendChoice& value) { return names_of(value, backend_names); }
FieldRef reference(dataplane::IdleMode& value) { return names_of(value, idle_names); }

#define FIELD(section, key, variable, least, most) CORELAY_FIELD(NodeConfig, section, key, variable, least, most)

const auto fields = std::to_array<FieldInfo>({
    FIELD(node, mode, "NODE_MODE", 0, 0),
    FIELD(node, cluster_id, "CLUSTER_ID", 0, 0),
    FIELD(node, identity_dir, "IDENTITY_DIR", 0, 0),
    FIELD(node, bootstrap_peers, "BOOTSTRAP_PEERS", 0, 0),
    FIELD(node, country, "", 0, 0),
    FIELD(node, country_iso, "", 0, 0),
    FIELD(node, drain_ms, "", 0, 600000),
    FIELD(log, level, "LOG_LEVEL", 0, 0),
    FIELD(log, format, "", 0, 0),
    FIELD(p2p, address, "", 0, 0),
    FIELD(p2p, port, "OPTIMUM_PORT", 0, port_max),
    FIELD(p2p, announce, "", 0, 0),
    FIELD(p2p, dial_timeout_ms, "", 100, 600000),
    FIELD(p2p, keepalive_ms, "", 100, 600000),
    FIELD(p2p, connections_max, "", 1, 65535),
    FIELD(p2p, connections_per_address_max, "", 1, 65535),
    FIELD(session, timeout_ms, "", 100, 600000),
    FIELD(session, rekey_s, "", 1, 3600),
    FIELD(session, exchanges_per_minute_max, "", 1, 60000),
    FIELD(mesh, degree_target, "OPTIMUM_MESH_TARGET", 1, dataplane::next_hops_max),
    FIELD(mesh, degree_min, "OPTIMUM_MESH_MIN", 0, dataplane::next_hops_max),
    FIELD(mesh, degree_max, "OPTIMUM_MESH_MAX", 1, dataplane::next_hops_max),
    FIELD(mesh, connections_target, "", 0, 65535),
    FIELD(mesh, heartbeat_ms, "", 10, 60000),
    FIELD(mesh, prune_backoff_ms, "", 0, 3600000),
    FIELD(mesh, redial_min_ms, "", 10, 600000),
    FIELD(mesh, redial_max_ms, "", 10, 3600000),
    FIELD(relay, message_bytes_max, "OPTIMUM_MAX_MSG_SIZE", 1, dataplane::message_bytes_limit),
    FIELD(relay, path_mtu_bytes, "", 576, 1972),
    FIELD(relay, shard_factor, "OPTIMUM_SHARD_FACTOR", 0, 128),
    FIELD(relay, shard_mult, "OPTIMUM_SHARD_MULT", 0, 16),
    FIELD(relay, threshold, "OPTIMUM_THRESHOLD", 0, 1),
    FIELD(relay, router, "", 0, 0),
    FIELD(relay, random_message_bytes, "OPTIMUM_RANDOM_MSG_SIZE", 0, dataplane::message_bytes_limit),
    FIELD(relay, redundancy, "", 0, 4),
    FIELD(relay, verify_before_forward, "", 0, 0),
    FIELD(relay, rate_bytes_per_second_max, "", 0, 1e12),
    FIELD(relay, peers_max, "", 1, 4096),
    FIELD(relay, topics_max, "", 1, 1024),
    FIELD(relay, messages_max, "", 4, 1048576),
    FIELD(relay, large_messages_max, "", 1, 65536),
    FIELD(relay, messages_per_peer_max, "", 1, 1048576),
    FIELD(relay, cells_max, "", 256, 16777216),
    FIELD(relay, generations_max, "", 16, 1048576),
    FIELD(relay, seen_max, "", 16, 16777216),
    FIELD(relay, seen_s, "", 1, 86400),
    FIELD(relay, keep_s, "", 1, 86400),
    FIELD(relay, incomplete_s, "", 1, 86400),
    FIELD(dataplane, lanes, "", 1, 16),
    FIELD(dataplane, backend, "", 0, 0),
    FIELD(dataplane, idle, "", 0, 0),
    FIELD(dataplane, spin_us, "", 0, 1000000),
    FIELD(dataplane, pin_lcores, "", 0, 0),
    FIELD(dataplane, command_ring_depth, "", 64, 1048576),
    FIELD(dataplane, event_ring_depth, "", 64, 1048576),
    FIELD(dataplane, socket_buffer_bytes, "", 65536, 1073741824),
    FIELD(dataplane, test_loss, "", 0, 1),
    FIELD(publish, hold_ms, "", 0, 3600000),
    FIELD(publish, threads, "", 1, 64),
    FIELD(publish, in_flight_max, "", 1, 1048576),
    FIELD(publish, in_flight_bytes_max, "", 1, bytes_max),
    FIELD(sidecar, address, "", 0, 0),
    FIELD(sidecar, port, "SIDECAR_PORT", 0, port_max),
    FIELD(sidecar, streams_max, "", 1, 65536),
    FIELD(sidecar, topics_per_stream_max, "", 1, 65536),
    FIELD(sidecar, publishes_per_stream_max, "", 1, 65536),
    FIELD(sidecar, queue_messages_max, "", 1, any_max),
    FIELD(sidecar, queue_bytes_max, "", 1, bytes_max),
    FIELD(sidecar, traces, "", 0, 0),
    FIELD(sidecar, shard_traces, "", 0, 0),
    FIELD(api, address, "", 0, 0),
    FIELD(api, port, "API_PORT", 0, port_max),
    FIELD(api, connections_max, "", 1, 65536),
    FIELD(api, timeout_ms, "", 100, 600000),
    FIELD(gossipsub, port, "GOSSIPSUB_PORT", 0, port_max),
    FIELD(gossipsub, message_bytes_max, "GOSSIPSUB_MAX_MSG_SIZE", 1, dataplane::message_bytes_limit),
    FIELD(gossipsub, degree_target, "GOSSIPSUB_MESH_TARGET", 1, 1024),
    FIELD(gossipsub, degree_min, "GOSSIPSUB_MESH_MIN", 0, 1024),
    FIELD(gossipsub, degree_max, "GOSSIPSUB_MESH_MAX", 1, 1024),
});

#undef FIELD

}  // namespace

std::span<const FieldInfo> config_fields() noexcept { return fields; }

}  // namespace corelay::node
