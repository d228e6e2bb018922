#include "control/node/api.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>

#include "control/daemon/version.h"
#include "control/node/addresses.h"
#include "control/node/api_json.h"
#include "control/node/metrics.h"
#include "control/node/node.h"

namespace corelay::node {
namespace {

using json = nlohmann::ordered_json;

HttpResponse ok(std::string body) { return {200, "application/json", std::move(body), ""}; }

HttpResponse health(const Node& node, const daemon::HttpRequest&) {
  return ok(health_json(node.load(), node.is_draining() ? "draining" : "ok", node.config()));
}

HttpResponse node_state(const Node& node, const daemon::HttpRequest&) {
  return ok(node_state_json(node.peer_id(), node.peers().mesh().connected_peers(), node.addresses(),
                            node.peers().mesh().subscribed_topics(), node.config()));
}

HttpResponse version_of(const Node&, const daemon::HttpRequest&) {
  return ok(version_json(daemon::version(), daemon::commit_hash()));
}

HttpResponse topics(const Node& node, const daemon::HttpRequest& request) {
  const mesh::Mesh& mesh = node.peers().mesh();
  const std::string wanted = request.parameter("topic");
  const auto subscribed = mesh.subscribed_topics();
  const auto clients = node.subscribers().counts();
  std::map<std::string, std::string> addresses;
  for (const auto& peer : node.peers().status()) addresses[peer.peer] = peer.address;
  std::vector<TopicStatus> all;
  for (const auto& topic : mesh.known_topics()) {
    if (!wanted.empty() && topic != wanted) continue;
    TopicStatus status;
    status.topic = topic;
    status.is_subscribed = std::find(subscribed.begin(), subscribed.end(), topic) != subscribed.end();
    if (const auto at = clients.find(topic); at != clients.end()) status.clients = at->second;
    const auto mesh_peers = mesh.mesh_peers(topic);
    for (const auto& peer : mesh.topic_peers(topic)) {
      const bool is_mesh_peer = std::find(mesh_peers.begin(), mesh_peers.end(), peer) != mesh_peers.end();
      status.peers.push_back({peer, addresses[peer], is_mesh_peer});
    }
    all.push_back(std::move(status));
  }
  return ok(topics_json(all, request.parameter("nodeinfo") == "true"));
}

HttpResponse peers(const Node& node, const daemon::HttpRequest&) {
  json document;
  document["count"] = 0;
  document["peers"] = json::array();
  for (const auto& peer : node.peers().status()) {
    document["peers"].push_back({{"address", peer.address},
                                 {"agent", peer.agent},
                                 {"direction", peer.is_outbound ? "outbound" : "inbound"},
                                 {"faults", peer.faults},
                                 {"peer_id", peer.peer},
                                 {"session", peer.has_session}});
  }
  document["count"] = document["peers"].size();
  return ok(document.dump(-1, ' ', false, json::error_handler_t::replace) + "\n");
}

HttpResponse configuration(const Node& node, const daemon::HttpRequest&) { return ok(config_json(node.config())); }

/// The published keys. A message counts as seen and decoded once it has passed this node's control: what is still being
/// decoded is known to the data plane alone, which tells how much (corelay_messages_live in /metrics), not what.
HttpResponse snapshot(const Node& node, const daemon::HttpRequest&) {
  std::size_t with_session = 0;
  json connected = json::array();
  const auto status = node.peers().status();
  for (const auto& peer : status) {
    with_session += peer.has_session ? 1U : 0U;
    connected.push_back(peer.peer);
  }
  json document;
  document["seen_message_hashes"] = node.deliveries().recent_ids();
  document["fully_decoded_message_hashes"] = document["seen_message_hashes"];
  document["undecoded_shard_buffer_sizes"] = json::object();
  document["total_peer_count"] = status.size();
  document["full_message_node_count"] = with_session;
  document["partial_message_node_count"] = status.size() - with_session;
  document["connected_peers"] = std::move(connected);
  return ok(document.dump() + "\n");
}

HttpResponse metrics(const Node& node, const daemon::HttpRequest&) {
  return {200, "text/plain; version=0.0.4; charset=utf-8", metrics_text(node), ""};
}

HttpResponse livez(const Node&, const daemon::HttpRequest&) { return {200, "text/plain; charset=utf-8", "ok\n", ""}; }

HttpResponse readyz(const Node& node, const daemon::HttpRequest&) {
  if (node.is_ready()) return {200, "text/plain; charset=utf-8", "ok\n", ""};
  return {503, "text/plain; charset=utf-8", node.is_draining() ? "draining\n" : "no peer has a session yet\n", ""};
}

struct Route {
  std::string_view path;
  HttpResponse (*answer)(const Node&, const daemon::HttpRequest&);
};

constexpr std::array routes{
    Route{"/api/v1/health", health},
    Route{"/api/v1/node-state", node_state},
    Route{"/api/v1/version", version_of},
    Route{"/api/v1/topics", topics},
    Route{"/api/v1/peers", peers},
    Route{"/api/v1/config", configuration},
    Route{"/api/v1/p2p-snapshot", snapshot},
    Route{"/metrics", metrics},
    Route{"/livez", livez},
    Route{"/readyz", readyz},
};

}  // namespace

HttpResponse answer_api(const Node& node, const daemon::HttpRequest& request) {
  const auto route = std::find_if(routes.begin(), routes.end(), [&](const Route& r) { return r.path == request.path; });
  if (route == routes.end()) return {404, "application/json", error_json("no such path: " + request.path), ""};
  if (request.method != "GET") {
    return {405, "application/json", error_json(request.method + " is not allowed here"), "GET, HEAD"};
  }
  return route->answer(node, request);
}

Expected<std::unique_ptr<Api>> Api::start(Node& node) {
  const auto& settings = node.config().api;
  HttpConfig config;
  config.address = settings.address;
  config.port = settings.port;
  config.connections_max = settings.connections_max;
  config.timeout = std::chrono::milliseconds(settings.timeout_ms);
  auto server = HttpServer::start(node.io(), config,
                                  [&node](const daemon::HttpRequest& request) { return answer_api(node, request); });
  if (!server) {
    return fail(
        server.error().code, "",
        fmt::format("API {} port {}: {}. Is another process using the port? Set api.port (API_PORT) or api.address",
                    settings.address, settings.port, server.error().describe()));
  }
  if (!is_loopback(settings.address)) {
    spdlog::warn("the API listens on {}: it has no authentication, keep it inside a private network", settings.address);
  }
  return std::unique_ptr<Api>(new Api(std::move(*server)));
}

Api::Api(std::unique_ptr<HttpServer> server) : server_(std::move(server)) {}
Api::~Api() = default;

std::uint16_t Api::port() const noexcept { return server_->port(); }

}  // namespace corelay::node
