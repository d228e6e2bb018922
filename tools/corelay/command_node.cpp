#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "tools/corelay/commands.h"
#include "tools/corelay/http_get.h"
#include "tools/corelay/port_hint.h"

namespace corelay::tools {
namespace {

using Json = nlohmann::ordered_json;

const char* path_of(NodeQuestion question) {
  switch (question) {
    case NodeQuestion::health:
      return "/api/v1/health";
    case NodeQuestion::version:
      return "/api/v1/version";
    case NodeQuestion::state:
    case NodeQuestion::peers:
      break;
  }
  return "/api/v1/node-state";
}

/// A value on one line: strings bare, lists one item a line under each other.
std::string shown(const Json& value, std::size_t indent) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array()) return value.dump();
  if (value.empty()) return "none";
  std::string text;
  for (const Json& item : value) {
    if (!text.empty()) text += '\n' + std::string(indent, ' ');
    text += shown(item, indent);
  }
  return text;
}

/// The published names in the order and the words of a person; names we do not know follow as they
/// are.
struct Label {
  const char* key;
  const char* label;
  const char* unit;
};
constexpr Label labels[] = {{"status", "Status", ""},         {"mode", "Mode", ""},
                            {"cpu_used", "CPU used", " %"},   {"memory_used", "Memory used", " %"},
                            {"disk_used", "Disk used", " %"}, {"pub_key", "Peer id", ""},
                            {"addresses", "Addresses", ""},   {"peers", "Peers", ""},
                            {"topics", "Topics", ""},         {"version", "Version", ""},
                            {"commit_hash", "Commit", ""},    {"country", "Country", ""}};

std::string labelled(const Json& reply) {
  constexpr std::size_t label_width = 14;
  std::string text;
  const auto add = [&](const std::string& name, const Json& value, const char* unit) {
    const std::string line = shown(value, label_width);
    text += fmt::format("{:<{}}{}{}\n", name, label_width, line.empty() ? "-" : line,
                        line.empty() ? "" : unit);
  };
  for (const Label& label : labels) {
    if (reply.contains(label.key)) add(label.label, reply[label.key], label.unit);
  }
  for (const auto& [key, value] : reply.items()) {
    const bool is_known = std::any_of(std::begin(labels), std::end(labels),
                                      [&](const Label& l) { return key == l.key; });
    if (!is_known) add(key, value, "");
  }
  return text;
}

/// What a further node takes as BOOTSTRAP_PEERS to join this one; only where the reply tells addresses.
std::string bootstrap_line(const Json& reply) {
  const Json addresses = reply.value("addresses", Json::array());
  const std::string peer_id = reply.value("pub_key", "");
  if (!addresses.is_array() || addresses.empty() || peer_id.empty()) return "";
  std::string text;
  for (const Json& address : addresses) {
    text += fmt::format("{:<14}{}/p2p/{}\n", text.empty() ? "Bootstrap" : "", shown(address, 0), peer_id);
  }
  return text;
}

ExitCode show_peers(const Console& console, const Json& state) {
  const Json peers = state.value("peers", Json::array());
  console.print_value(Json{{"count", peers.size()}, {"peers", peers}});
  if (peers.empty())
    console.print_table("No peers: the node is alone. Has it bootstrap peers (BOOTSTRAP_PEERS)?\n");
  for (const Json& peer : peers) console.print_table(shown(peer, 0) + "\n");
  return ExitCode::ok;
}

}  // namespace

ExitCode node(const Console& console, const NodeOptions& options) {
  const std::string path = path_of(options.question);
  const auto reply = http_get(options.address, path, options.timeout);
  if (!reply) {
    const Error& error = reply.error();
    if (error.code == ErrorCode::invalid_argument) {
      return console.fail(ExitCode::usage, error.what, "--api localhost:9091");
    }
    const ExitCode code =
        error.code == ErrorCode::timed_out ? ExitCode::timed_out : ExitCode::unreachable;
    const PortHint hint = port_hint(options.address, PortKind::api);
    if (!hint.what.empty()) return console.fail(code, "no node API: " + hint.what, hint.remedy);
    return console.fail(
        code, fmt::format("no node API at {}: {}", options.address, error.what),
        "--api HOST:PORT of a running node; a fleet of 'corelay up' has 9091, 9092, ...");
  }
  const Json body = Json::parse(reply->body, nullptr, false);
  const bool is_health = options.question == NodeQuestion::health;
  const bool is_of_node = reply->status == 200 && body.is_object() && (!is_health || body.contains("mode"));
  const PortHint hint = is_of_node ? PortHint{} : port_hint(options.address, PortKind::api);
  if (!hint.what.empty()) return console.fail(ExitCode::unreachable, "no node API: " + hint.what, hint.remedy);
  if (reply->status != 200 || !body.is_object()) {
    return console.fail(
        ExitCode::failed,
        fmt::format("{} answered GET {} with status {} and not with the node's JSON",
                    options.address, path, reply->status),
        "is this the API port (API_PORT) of a node, and not its sidecar or p2p port?");
  }
  if (options.question == NodeQuestion::peers) return show_peers(console, body);
  console.print_table(labelled(body) + bootstrap_line(body));
  console.print_value(body);
  return ExitCode::ok;
}

}  // namespace corelay::tools
