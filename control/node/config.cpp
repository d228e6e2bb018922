// The checks of a node's settings that span several keys, and the settings of its parts.
#include "control/node/config.h"

#include <fmt/format.h>

#include "control/daemon/setting_value.h"

namespace corelay::node {
namespace {

constexpr std::uint32_t long_logs_max = 256;
constexpr std::uint16_t short_log_frames = 1024;

daemon::Schema schema() noexcept { return {config_fields(), "corelayd"}; }

Expected<void> check_degrees(std::string_view section, std::uint32_t least, std::uint32_t target, std::uint32_t most) {
  if (least <= target && target <= most) return {};
  return fail(ErrorCode::invalid_argument, "config",
              fmt::format("{0}.degree_min = {1}, {0}.degree_target = {2}, {0}.degree_max = {3}: must not fall",
                          section, least, target, most));
}

Expected<void> check_together(const NodeConfig& config) {
  const auto invalid = [](std::string text) { return fail(ErrorCode::invalid_argument, "config", std::move(text)); };
  const auto& mesh = config.mesh;
  if (auto ok = check_degrees("mesh", mesh.degree_min, mesh.degree_target, mesh.degree_max); !ok) return ok;
  const auto& gossip = config.gossipsub;
  if (auto ok = check_degrees("gossipsub", gossip.degree_min, gossip.degree_target, gossip.degree_max); !ok) return ok;
  if (mesh.redial_min_ms > mesh.redial_max_ms) {
    return invalid(fmt::format("mesh.redial_min_ms = {}: must not be above mesh.redial_max_ms = {}",
                               mesh.redial_min_ms, mesh.redial_max_ms));
  }
  if (config.p2p.port == 0 && config.dataplane.lanes != 1) {
    return invalid("p2p.port = 0 (any free port) needs dataplane.lanes = 1");
  }
  if (config.p2p.port + config.dataplane.lanes > 65536) {
    return invalid(fmt::format("p2p.port = {} with dataplane.lanes = {}: the last lane's port would be above 65535",
                               config.p2p.port, config.dataplane.lanes));
  }
  if (config.relay.shard_mult != 0 && config.relay.shard_mult < 1) {
    return invalid(
        fmt::format("relay.shard_mult = {}: must be 0 (automatic) or from 1 to 16", config.relay.shard_mult));
  }
  if (config.relay.router == dataplane::Router::two_hop) {
    if (config.relay.peers_max > dataplane::members_max) {
      return invalid(fmt::format("relay.peers_max = {}: relay.router = \"two-hop\" holds {} members at most",
                                 config.relay.peers_max, dataplane::members_max));
    }
    if (config.p2p.connections_max < config.relay.peers_max) {
      return invalid(fmt::format("p2p.connections_max = {}: relay.router = \"two-hop\" connects to every member, up to "
                                 "relay.peers_max = {}",
                                 config.p2p.connections_max, config.relay.peers_max));
    }
  }
  if (config.node.identity_dir.empty()) return invalid("node.identity_dir is empty: name a folder for p2p.key");
  return {};
}

}  // namespace

Expected<LoadedConfig> load_config(const ConfigSources& sources) {
  return daemon::load<NodeConfig>(schema(), sources, check_together);
}

std::string print_config(const LoadedConfig& loaded) { return daemon::print(schema(), loaded); }

std::string field_text(const FieldInfo& field, const NodeConfig& config) {
  NodeConfig copy = config;
  return daemon::field_text(field.at(&copy));
}

dataplane::RelayParams relay_params(const NodeConfig& config) {
  const auto& relay = config.relay;
  dataplane::RelayParams params;
  params.wire.lanes = config.dataplane.lanes;
  params.wire.message_bytes_max = relay.message_bytes_max;
  params.path_mtu_bytes = relay.path_mtu_bytes;
  if (relay.shard_factor != 0) params.shards_target = relay.shard_factor;
  params.peers_max = relay.peers_max;
  params.messages_max = relay.messages_max;
  params.large_messages_max = relay.large_messages_max;
  params.cells_max = relay.cells_max;
  params.generations_max = relay.generations_max;
  params.seen_max = relay.seen_max;
  params.topics_max = relay.topics_max;
  params.messages_per_peer_max = relay.messages_per_peer_max;
  params.seen_time = dataplane::seconds(relay.seen_s);
  params.keep_time = dataplane::seconds(relay.keep_s);
  params.incomplete_time = dataplane::seconds(relay.incomplete_s);
  params.publish_hold = dataplane::milliseconds(config.publish.hold_ms);
  params.redundancy = relay.redundancy;
  params.forward_threshold = relay.threshold;
  params.router = relay.router;
  if (relay.router == dataplane::Router::two_hop) {
    params.start_mult = dataplane::two_hop_start_mult;
    // A member's link carries its part of each message and no more: a thousand long logs would be much memory.
    if (relay.peers_max > long_logs_max) params.link_frames_max = short_log_frames;
  }
  if (relay.shard_mult != 0) params.start_mult = relay.shard_mult;
  params.verify_before_forward = relay.verify_before_forward;
  params.rate_bytes_per_second_max = relay.rate_bytes_per_second_max;
  return params;
}

dataplane::DataplaneConfig dataplane_config(const NodeConfig& config) {
  const auto& from = config.dataplane;
  dataplane::DataplaneConfig to;
  to.relay = relay_params(config);
  to.bind_address = config.p2p.address;
  to.port = config.p2p.port;
  to.backend = from.backend;
  to.idle = from.idle;
  to.spin_us = from.spin_us;
  to.pin_lcores = from.pin_lcores;
  to.command_ring_depth = from.command_ring_depth;
  to.event_ring_depth = from.event_ring_depth;
  to.socket_buffer_bytes = from.socket_buffer_bytes;
  to.test_loss = from.test_loss;
  return to;
}

}  // namespace corelay::node
