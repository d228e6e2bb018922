#include "control/node/api_json.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace corelay::node {
namespace {

using json = nlohmann::ordered_json;

/// Topics may hold any bytes: what is not UTF-8 is shown as U+FFFD.
std::string text_of(const json& document) {
  return document.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

void add_country(json& document, const NodeConfig& config) {
  if (config.node.country.empty() && config.node.country_iso.empty()) return;
  document["country"] = config.node.country;
  document["country_iso"] = config.node.country_iso;
}

}  // namespace

std::string health_json(const daemon::SystemLoad& load, std::string_view status, const NodeConfig& config) {
  json document;
  add_country(document, config);
  document["cpu_used"] = fmt::format("{:.2f}", load.cpu_percent);
  document["disk_used"] = fmt::format("{:.2f}", load.disk_percent);
  document["memory_used"] = fmt::format("{:.2f}", load.memory_percent);
  document["mode"] = config.node.mode == NodeMode::optimum ? "optimum" : "gossipsub";
  document["status"] = status;
  return text_of(document);
}

std::string node_state_json(const std::string& peer_id, const std::vector<std::string>& peers,
                            const std::vector<std::string>& addresses, const std::vector<std::string>& topics,
                            const NodeConfig& config) {
  json document;
  document["pub_key"] = peer_id;
  document["peers"] = peers;
  document["addresses"] = addresses;
  document["topics"] = topics;
  add_country(document, config);
  return text_of(document);
}

std::string version_json(std::string_view version, std::string_view commit) {
  json document;
  document["commit_hash"] = commit;
  document["version"] = version;
  return text_of(document);
}

std::string config_json(const NodeConfig& config) {
  json document;
  for (const auto& field : config_fields()) {
    // The values of our settings are written in TOML as they are in JSON.
    document[std::string(field.section)][std::string(field.key)] = json::parse(field_text(field, config));
  }
  return text_of(document);
}

std::string topics_json(const std::vector<TopicStatus>& topics, bool with_nodes) {
  json document;
  document["count"] = topics.size();
  document["topics"] = json::array();
  for (const auto& topic : topics) {
    json item;
    std::size_t mesh_peers = 0;
    json nodes = json::array();
    for (const auto& peer : topic.peers) {
      mesh_peers += peer.is_mesh_peer ? 1U : 0U;
      nodes.push_back(
          {{"address", peer.address}, {"peer_id", peer.peer}, {"status", peer.is_mesh_peer ? "mesh" : "subscribed"}});
    }
    item["clients"] = topic.clients;
    item["mesh_peers"] = mesh_peers;
    item["peers"] = topic.peers.size();
    item["subscribed"] = topic.is_subscribed;
    item["topic"] = topic.topic;
    if (with_nodes) item["nodes"] = std::move(nodes);
    document["topics"].push_back(std::move(item));
  }
  return text_of(document);
}

std::string error_json(std::string_view what) {
  json document;
  document["error"] = what;
  return text_of(document);
}

}  // namespace corelay::node
