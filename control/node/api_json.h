/// The documents of the node API, from plain values. Keys and types of health, node-state and version are the published
/// node's; the others are ours.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "control/node/config.h"
#include "control/daemon/system_stats.h"

namespace corelay::node {

/// {"cpu_used":"0.29","disk_used":"84.05","memory_used":"6.70","mode":"optimum","status":"ok"}: percentages as
/// strings with two decimals. With "country" and "country_iso" where node.country is set, here and in node-state.
[[nodiscard]] std::string health_json(const daemon::SystemLoad& load, std::string_view status,
                                      const NodeConfig& config);

/// {"pub_key":"12D3Koo...","peers":[ids],"addresses":[multiaddrs],"topics":[names]}
[[nodiscard]] std::string node_state_json(const std::string& peer_id, const std::vector<std::string>& peers,
                                          const std::vector<std::string>& addresses,
                                          const std::vector<std::string>& topics, const NodeConfig& config);

/// {"commit_hash":"6d3d086","version":"v0.1.0"}
[[nodiscard]] std::string version_json(std::string_view version, std::string_view commit);

/// {"<section>":{"<key>":value}}
[[nodiscard]] std::string config_json(const NodeConfig& config);

struct TopicPeer {
  std::string peer;
  std::string address;
  bool is_mesh_peer = false;
};
struct TopicStatus {
  std::string topic;
  bool is_subscribed = false;
  std::size_t clients = 0;  // local
  std::vector<TopicPeer> peers;
};
/// {"count":1,"topics":[{"clients":1,"mesh_peers":2,"peers":3,"subscribed":true,"topic":"demo"}]}; with `with_nodes`
/// each topic has "nodes":[{"address","peer_id","status":"mesh"|"subscribed"}] too.
[[nodiscard]] std::string topics_json(const std::vector<TopicStatus>& topics, bool with_nodes);

/// {"error":"..."}
[[nodiscard]] std::string error_json(std::string_view what);

}  // namespace corelay::node
