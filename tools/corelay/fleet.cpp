#include "tools/corelay/fleet.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "control/libp2p/identity.h"
#include "tools/corelay/http_get.h"
#include "tools/corelay/read_file.h"

namespace corelay::tools {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::uint32_t nodes_max = 64;
constexpr std::uint32_t gateways_max = 16;
constexpr std::uint64_t message_bytes_max =
    16u << 20;  // what the fleet carries unless OPTIMUM_MAX_MSG_SIZE says otherwise

struct PortUse {
  std::uint16_t port;
  const char* what;
  Transport transport;
};
std::vector<PortUse> ports_of(const FleetNode& node) {
  return {{node.sidecar_port, "the sidecar", Transport::tcp},
          {node.api_port, "the HTTP API", Transport::tcp},
          {node.p2p_port, "p2p", Transport::tcp},
          {node.p2p_port, "p2p", Transport::udp}};
}
std::vector<PortUse> ports_of(const FleetGateway& gateway) {
  return {{gateway.port, "the HTTP API", Transport::tcp}, {gateway.grpc_port, "gRPC", Transport::tcp}};
}

Expected<void> check_ports(const std::vector<PortUse>& uses, const std::string& whose) {
  for (const PortUse& use : uses) {
    if (is_port_free(use.transport, use.port)) continue;
    const std::string holder = port_holder(use.transport, use.port);
    return fail(ErrorCode::already_exists, "up",
                fmt::format("{} port {} ({} of {}) is taken{}",
                            use.transport == Transport::tcp ? "TCP" : "UDP", use.port, use.what,
                            whose, holder.empty() ? "" : " by " + holder));
  }
  return {};
}

/// Counts within bounds, and no port beyond the last.
Expected<void> check_counts(const UpOptions& options) {
  if (options.nodes < 1 || options.nodes > nodes_max) {
    return fail(ErrorCode::invalid_argument, "up",
                fmt::format("--nodes {} is not from 1 to {}", options.nodes, nodes_max));
  }
  if (options.gateways > gateways_max) {
    return fail(ErrorCode::invalid_argument, "up",
                fmt::format("--gateways {} is not from 0 to {}", options.gateways, gateways_max));
  }
  const auto check = [](std::uint32_t first, std::uint32_t count) -> Expected<void> {
    if (first + count <= 65536) return {};
    return fail(ErrorCode::invalid_argument, "up",
                fmt::format("{} ports from {} on go beyond 65535", count, first));
  };
  const std::uint32_t of_nodes = std::max({options.sidecar_port, options.api_port, options.p2p_port});
  if (auto fits = check(of_nodes, options.nodes); !fits) return fits;
  return check(std::max(options.gateway_port, options.gateway_grpc_port), options.gateways);
}

Expected<std::string> prepare_identity(const fs::path& directory) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error)
    return fail(ErrorCode::permission_denied, directory.string(),
                "cannot be made: " + error.message());
  const std::string path = directory / "p2p.key";
  if (fs::exists(path)) {
    const auto loaded = libp2p::Identity::load(path);
    if (!loaded) return tl::make_unexpected(loaded.error());
    return loaded->peer_id().text();
  }
  const auto identity = libp2p::Identity::generate();
  if (const auto saved = identity.save(path); !saved) return tl::make_unexpected(saved.error());
  return identity.peer_id().text();
}

/// A program as the options name it, or beside our own binary, or in PATH.
Expected<std::string> find_program(const std::string& name, const std::string& named) {
  std::error_code error;
  std::vector<fs::path> candidates;
  if (!named.empty()) {
    candidates.emplace_back(named);
  } else {
    candidates.push_back(fs::read_symlink("/proc/self/exe", error).parent_path() / name);
    std::istringstream path(std::getenv("PATH") == nullptr ? "" : std::getenv("PATH"));
    for (std::string folder; std::getline(path, folder, ':');)
      candidates.push_back(fs::path(folder) / name);
  }
  for (const fs::path& candidate : candidates) {
    if (access(candidate.c_str(), X_OK) == 0 && fs::is_regular_file(candidate, error)) {
      return fs::absolute(candidate).string();
    }
  }
  return fail(
      ErrorCode::not_found, "up",
      named.empty() ? "no " + name + " beside corelay and none in PATH" : "no program " + named);
}

/// The peers a node says it has; nothing while it does not answer.
std::optional<std::vector<std::string>> peers_of(const FleetNode& node) {
  const auto reply = http_get(node.api(), "/api/v1/node-state", milliseconds(500));
  if (!reply || reply->status != 200) return std::nullopt;
  const Json state = Json::parse(reply->body, nullptr, false);
  if (!state.is_object() || !state.contains("peers") || !state["peers"].is_array())
    return std::nullopt;
  std::vector<std::string> peers;
  for (const Json& peer : state["peers"]) {
    if (peer.is_string()) peers.push_back(peer.get<std::string>());
  }
  return peers;
}

/// A node alone has nobody to be ready for: it is alive.
bool is_ready(const FleetNode& node, bool is_alone) {
  const auto reply = http_get(node.api(), is_alone ? "/livez" : "/readyz", milliseconds(500));
  return reply && reply->status == 200;
}

/// Empty when the node is ready and knows every other; otherwise what it lacks.
std::string lack_of(const FleetNode& node, const std::vector<FleetNode>& all) {
  const auto peers = peers_of(node);
  if (!peers)
    return fmt::format("node {} does not answer on its API port {}", node.number, node.api_port);
  std::string missing;
  for (const FleetNode& other : all) {
    if (other.number == node.number ||
        std::find(peers->begin(), peers->end(), other.peer_id) != peers->end())
      continue;
    missing += (missing.empty() ? "" : ", ") + std::to_string(other.number);
  }
  if (!missing.empty())
    return fmt::format("node {} is not connected to node {}", node.number, missing);
  return is_ready(node, all.size() == 1)
             ? ""
             : fmt::format("node {} is connected but not ready (GET /readyz)", node.number);
}

/// How many nodes a gateway says it reaches; nothing while it does not answer.
std::optional<std::size_t> nodes_reached(const FleetGateway& gateway) {
  const auto reply = http_get(gateway.http(), "/metrics", milliseconds(500));
  if (!reply || reply->status != 200) return std::nullopt;
  constexpr std::string_view name = "\nnodes_active_total ";
  const std::size_t at = reply->body.find(name);
  if (at == std::string::npos) return std::nullopt;
  return std::strtoul(reply->body.c_str() + at + name.size(), nullptr, 10);
}

/// For a process of the fleet that is gone before it is up: says so with the end of its log.
Expected<void> check_alive(const ProcessId& process, const std::string& whose, const fs::path& log) {
  if (is_running(process)) return {};
  const auto ending = ending_of_child(process.pid);
  return fail(ErrorCode::unavailable, "up",
              fmt::format("{} ended at once ({}); the end of {}:\n{}", whose, ending.value_or("gone"),
                          log.string(), log_tail(log, 8)));
}

bool is_ours(const ProcessId& process, const std::string& program) {
  return process.pid > 0 && is_running(process) && program_of(process.pid) == program;
}

constexpr const char* node_keys[] = {"number", "pid", "start_ticks", "sidecar_port", "api_port", "p2p_port"};
constexpr const char* gateway_keys[] = {"number", "pid", "start_ticks", "port", "grpc_port"};

template <class Keys>
bool has_numbers(const Json& entry, const Keys& keys) {
  return entry.is_object() && std::all_of(std::begin(keys), std::end(keys), [&](const char* key) {
    return entry.contains(key) && entry[key].is_number_unsigned();
  });
}

std::string from_environment(const char* name, std::string otherwise) {
  const char* const value = std::getenv(name);
  return value == nullptr ? std::move(otherwise) : value;
}

}  // namespace

std::string FleetGateway::http() const { return fmt::format("127.0.0.1:{}", port); }
std::string FleetGateway::page() const { return fmt::format("http://localhost:{}/", port); }

std::string counted(std::size_t nodes, std::size_t gateways) {
  std::string text = fmt::format("{} node{}", nodes, nodes == 1 ? "" : "s");
  if (gateways != 0) text += fmt::format(" and {} gateway{}", gateways, gateways == 1 ? "" : "s");
  return text;
}

std::string FleetNode::sidecar() const { return fmt::format("localhost:{}", sidecar_port); }
std::string FleetNode::api() const { return fmt::format("127.0.0.1:{}", api_port); }

std::string FleetNode::bootstrap() const {
  return fmt::format("/ip4/127.0.0.1/tcp/{}/p2p/{}", p2p_port, peer_id);
}

std::string usual_fleet_directory() {
  const std::string state = from_environment("XDG_STATE_HOME", "");
  if (state.starts_with("/")) return state + "/corelay/fleet";
  const std::string home = from_environment("HOME", "");
  if (home.starts_with("/")) return home + "/.local/state/corelay/fleet";
  return "run";
}

std::string fleet_directory() {
  const std::string named = from_environment("CORELAY_DIR", "");
  return named.empty() ? usual_fleet_directory() : named;
}

std::string fleet_cluster() { return from_environment("CLUSTER_ID", "corelay-local"); }

std::string log_tail(const fs::path& path, std::size_t lines) {
  std::ifstream file(path);
  std::deque<std::string> last;
  for (std::string line; std::getline(file, line);) {
    last.push_back(line);
    if (last.size() > lines) last.pop_front();
  }
  std::string text;
  for (const std::string& line : last) text += "    " + line + "\n";
  return text;
}

Expected<Fleet> Fleet::plan(const UpOptions& options) {
  if (const auto fits = check_counts(options); !fits) return tl::make_unexpected(fits.error());
  Fleet fleet;
  fleet.directory_ = options.directory;
  if (const auto old = load(options.directory); old && !(old->running().empty() && old->running_gateways().empty())) {
    return fail(ErrorCode::already_exists, "up",
                fmt::format("a fleet of {} already runs from {}",
                            counted(old->running().size(), old->running_gateways().size()), options.directory));
  }
  for (std::uint32_t n = 0; n < options.nodes; ++n) {
    FleetNode node;
    node.number = n + 1;
    node.sidecar_port = static_cast<std::uint16_t>(options.sidecar_port + n);
    node.api_port = static_cast<std::uint16_t>(options.api_port + n);
    node.p2p_port = static_cast<std::uint16_t>(options.p2p_port + n);
    node.directory = fleet.directory_ / fmt::format("node{}", node.number);
    const auto free = check_ports(ports_of(node), fmt::format("node {}", node.number));
    if (!free) return tl::make_unexpected(free.error());
    fleet.nodes_.push_back(std::move(node));
  }
  for (std::uint32_t n = 0; n < options.gateways; ++n) {
    FleetGateway gateway;
    gateway.number = n + 1;
    gateway.port = static_cast<std::uint16_t>(options.gateway_port + n);
    gateway.grpc_port = static_cast<std::uint16_t>(options.gateway_grpc_port + n);
    gateway.directory = fleet.directory_ / fmt::format("gateway{}", gateway.number);
    const auto free = check_ports(ports_of(gateway), fmt::format("gateway {}", gateway.number));
    if (!free) return tl::make_unexpected(free.error());
    fleet.gateways_.push_back(std::move(gateway));
  }
  for (FleetNode& node : fleet.nodes_) {
    auto peer_id = prepare_identity(node.directory / "identity");
    if (!peer_id) return tl::make_unexpected(peer_id.error());
    node.peer_id = std::move(*peer_id);
  }
  for (const FleetGateway& gateway : fleet.gateways_) {
    std::error_code error;
    fs::create_directories(gateway.directory, error);
    if (error) {
      return fail(ErrorCode::permission_denied, gateway.directory.string(), "cannot be made: " + error.message());
    }
  }
  return fleet;
}

Launch Fleet::launch_of(const FleetNode& node, const std::string& program, bool is_detached) const {
  Launch what;
  what.program = program;
  what.log_path = node.log();
  what.is_detached = is_detached;
  what.environment = {
      {"NODE_MODE", "optimum"},
      {"CLUSTER_ID", fleet_cluster()},
      {"LOG_LEVEL", from_environment("LOG_LEVEL", "info")},
      {"SIDECAR_PORT", std::to_string(node.sidecar_port)},
      {"API_PORT", std::to_string(node.api_port)},
      {"OPTIMUM_PORT", std::to_string(node.p2p_port)},
      {"IDENTITY_DIR", fs::absolute(node.directory / "identity").string()},
      {"OPTIMUM_MAX_MSG_SIZE", from_environment("OPTIMUM_MAX_MSG_SIZE", std::to_string(message_bytes_max))},
      {"CORELAY_P2P_ADDRESS", "127.0.0.1"},
      {"CORELAY_DATAPLANE_PIN_LCORES", "false"},  // many nodes share the cores of one machine
      {"BOOTSTRAP_PEERS", ""}};
  if (node.number > 1) {
    what.environment.back().second = nodes_.front().bootstrap();
  }
  return what;
}

Launch Fleet::launch_of(const FleetGateway& gateway, const std::string& program, bool is_detached) const {
  std::string sidecars;
  for (const FleetNode& node : nodes_) sidecars += (sidecars.empty() ? "" : ",") + node.sidecar();
  Launch what;
  what.program = program;
  what.log_path = gateway.log();
  what.is_detached = is_detached;
  what.environment = {{"CLUSTER_ID", fleet_cluster()},
                      {"LOG_LEVEL", from_environment("LOG_LEVEL", "info")},
                      {"GATEWAY_PORT", std::to_string(gateway.port)},
                      {"PROXY_GRPC_PORT", std::to_string(gateway.grpc_port)},
                      {"P2P_NODES", sidecars}};
  return what;
}

Expected<void> Fleet::start(const UpOptions& options) {
  const auto node_program = find_program("corelayd", options.corelayd);
  if (!node_program) return tl::make_unexpected(node_program.error());
  const auto gateway_program = gateways_.empty() ? Expected<std::string>() : find_program("corelay-gateway", "");
  if (!gateway_program) return tl::make_unexpected(gateway_program.error());
  const auto start_one = [&](auto& member, const std::string& program) -> Expected<void> {
    std::ofstream(member.log(), std::ios::trunc).flush();
    const auto process = launch(launch_of(member, program, options.is_detached));
    if (!process) {
      stop(milliseconds(2000));
      return tl::make_unexpected(process.error());
    }
    member.process = *process;
    member.program = fs::path(program).filename().string().substr(0, program_name_max);
    return {};
  };
  for (FleetNode& node : nodes_) {
    if (auto started = start_one(node, *node_program); !started) return started;
  }
  for (FleetGateway& gateway : gateways_) {
    if (auto started = start_one(gateway, *gateway_program); !started) return started;
  }
  auto recorded = record();
  if (!recorded) stop(milliseconds(2000));  // nobody would find them again
  return recorded;
}

Expected<void> Fleet::record() const {
  Json list = Json::array();
  for (const FleetNode& node : nodes_) {
    std::ofstream(node.directory / "pid") << node.process.pid << '\n';
    list.push_back({{"number", node.number},
                    {"pid", node.process.pid},
                    {"start_ticks", node.process.start_ticks},
                    {"program", node.program},
                    {"peer_id", node.peer_id},
                    {"sidecar_port", node.sidecar_port},
                    {"api_port", node.api_port},
                    {"p2p_port", node.p2p_port}});
  }
  Json gateways = Json::array();
  for (const FleetGateway& gateway : gateways_) {
    std::ofstream(gateway.directory / "pid") << gateway.process.pid << '\n';
    gateways.push_back({{"number", gateway.number},
                        {"pid", gateway.process.pid},
                        {"start_ticks", gateway.process.start_ticks},
                        {"program", gateway.program},
                        {"port", gateway.port},
                        {"grpc_port", gateway.grpc_port}});
  }
  std::ofstream file(directory_ / "fleet.json");
  file << Json{{"nodes", list}, {"gateways", gateways}}.dump(2) << '\n';
  file.close();
  if (!file)
    return fail(ErrorCode::permission_denied, (directory_ / "fleet.json").string(),
                "cannot be written", errno);
  return {};
}

Expected<Fleet> Fleet::load(const fs::path& directory) {
  const auto file = read_file(directory / "fleet.json");
  if (!file)
    return fail(ErrorCode::not_found, directory.string(),
                "no fleet is recorded here (no fleet.json)");
  const Json record = Json::parse(*file, nullptr, false);
  const auto malformed = [&] {
    return fail(ErrorCode::malformed, (directory / "fleet.json").string(), "is damaged");
  };
  if (!record.is_object() || !record.contains("nodes") || !record["nodes"].is_array())
    return malformed();
  Fleet fleet;
  fleet.directory_ = directory;
  for (const Json& entry : record["nodes"]) {
    if (!has_numbers(entry, node_keys)) return malformed();
    FleetNode node;
    node.number = entry["number"];
    node.process = {entry["pid"], entry["start_ticks"]};
    node.program = entry.value("program", "corelayd");
    node.peer_id = entry.value("peer_id", "");
    node.sidecar_port = entry["sidecar_port"];
    node.api_port = entry["api_port"];
    node.p2p_port = entry["p2p_port"];
    node.directory = directory / fmt::format("node{}", node.number);
    fleet.nodes_.push_back(std::move(node));
  }
  const Json gateways = record.value("gateways", Json::array());
  if (!gateways.is_array()) return malformed();
  for (const Json& entry : gateways) {
    if (!has_numbers(entry, gateway_keys)) return malformed();
    FleetGateway gateway;
    gateway.number = entry["number"];
    gateway.process = {entry["pid"], entry["start_ticks"]};
    gateway.program = entry.value("program", "corelay-gateway");
    gateway.port = entry["port"];
    gateway.grpc_port = entry["grpc_port"];
    gateway.directory = directory / fmt::format("gateway{}", gateway.number);
    fleet.gateways_.push_back(std::move(gateway));
  }
  return fleet;
}

Expected<void> Fleet::wait_for_mesh(milliseconds timeout, bool (*is_cancelled)()) {
  const auto deadline = Clock::now() + timeout;
  std::string lack = "nothing was asked";
  while (!lack.empty()) {
    if (is_cancelled()) return fail(ErrorCode::closed, "up", "interrupted");
    for (const FleetNode& node : nodes_) {
      auto alive = check_alive(node.process, fmt::format("node {}", node.number), node.log());
      if (!alive) return alive;
    }
    for (const FleetNode& node : nodes_) {
      lack = lack_of(node, nodes_);
      if (!lack.empty()) break;
    }
    if (!lack.empty() && Clock::now() >= deadline) {
      return fail(
          ErrorCode::timed_out, "up",
          fmt::format("no mesh after {} s: {}; the end of {}:\n{}", timeout.count() / 1000, lack,
                      nodes_.front().log().string(), log_tail(nodes_.front().log(), 8)));
    }
    if (!lack.empty()) std::this_thread::sleep_for(milliseconds(10));
  }
  return {};
}

Expected<void> Fleet::wait_for_gateways(milliseconds timeout, bool (*is_cancelled)()) {
  const auto deadline = Clock::now() + timeout;
  for (const FleetGateway& gateway : gateways_) {
    for (auto reached = nodes_reached(gateway); reached != nodes_.size(); reached = nodes_reached(gateway)) {
      if (is_cancelled()) return fail(ErrorCode::closed, "up", "interrupted");
      auto alive = check_alive(gateway.process, fmt::format("gateway {}", gateway.number), gateway.log());
      if (!alive) return alive;
      if (Clock::now() >= deadline) {
        const std::string lack = reached ? fmt::format("reaches {} of {} nodes", *reached, nodes_.size())
                                         : fmt::format("does not answer on port {}", gateway.port);
        return fail(ErrorCode::timed_out, "up",
                    fmt::format("gateway {} {} after {} s; the end of {}:\n{}", gateway.number, lack,
                                timeout.count() / 1000, gateway.log().string(), log_tail(gateway.log(), 8)));
      }
      std::this_thread::sleep_for(milliseconds(10));
    }
  }
  return {};
}

std::vector<const FleetNode*> Fleet::running() const {
  std::vector<const FleetNode*> found;
  for (const FleetNode& node : nodes_) {
    if (is_ours(node.process, node.program)) found.push_back(&node);
  }
  return found;
}

std::vector<const FleetGateway*> Fleet::running_gateways() const {
  std::vector<const FleetGateway*> found;
  for (const FleetGateway& gateway : gateways_) {
    if (is_ours(gateway.process, gateway.program)) found.push_back(&gateway);
  }
  return found;
}

std::size_t Fleet::stop(milliseconds grace) {
  std::vector<ProcessId> front, back;
  for (const FleetGateway* gateway : running_gateways()) front.push_back(gateway->process);
  for (const FleetNode* node : running()) back.push_back(node->process);
  std::size_t killed = stop_all(front, grace);
  killed += stop_all(back, grace);
  for (const auto* ours : {&front, &back}) {
    for (const ProcessId& process : *ours) (void)ending_of_child(process.pid);
  }
  std::error_code ignored;
  for (const FleetNode& node : nodes_) fs::remove(node.directory / "pid", ignored);
  for (const FleetGateway& gateway : gateways_) fs::remove(gateway.directory / "pid", ignored);
  fs::remove(directory_ / "fleet.json", ignored);
  return killed;
}

}  // namespace corelay::tools
