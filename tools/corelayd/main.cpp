// corelayd: one relay node. Reads its settings, opens its sockets, runs until SIGTERM or SIGINT, leaves politely.
#include <spdlog/spdlog.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <iostream>

#include "control/daemon/log.h"
#include "control/daemon/version.h"
#include "control/node/identity.h"
#include "control/node/node.h"
#include "tools/daemon/daemon.h"

namespace corelay {
namespace {

constexpr int exit_not_built = 3;

// The common settings by name; --set reaches them all.
constexpr ShortFlag short_flags[] = {
    {"--mode", "node.mode", "optimum or gossipsub"},
    {"--cluster-id", "node.cluster_id", "The logical network this node belongs to"},
    {"--identity-dir", "node.identity_dir", "Folder of p2p.key, made when there is none"},
    {"--bootstrap", "node.bootstrap_peers", "Peers to stay connected to: multiaddrs, comma-separated"},
    {"--address", "p2p.address", "IP address for peers, TCP and UDP"},
    {"--port", "p2p.port", "Port for peers, TCP and UDP"},
    {"--sidecar-address", "sidecar.address", "IP address of the gRPC API"},
    {"--sidecar-port", "sidecar.port", "Port of the gRPC API"},
    {"--api-address", "api.address", "IP address of the HTTP API"},
    {"--api-port", "api.port", "Port of the HTTP API"},
    {"--log-level", "log.level", "trace, debug, info, warn, error or off"},
    {"--log-format", "log.format", "text or json"},
};

const Program program{
    "corelayd",
    "corelayd: a coded relay node. Settings: flag > environment > file > default; see `corelayd config default`.",
    "Examples:\n"
    "  corelayd --identity-dir ./identity --cluster-id demo\n"
    "  corelayd --config corelay.toml --set relay.message_bytes_max=33554432\n"
    "  OPTIMUM_PORT=7071 SIDECAR_PORT=33222 API_PORT=9092 corelayd config print\n"
    "Exit codes: 0 stopped by SIGTERM or SIGINT; 1 could not start; 2 wrong usage or configuration; 3 the mode is "
    "not built.",
    "relay.message_bytes_max=33554432", short_flags};

int fail_with(const Error& error, int code) {
  std::cerr << "corelayd: " << error.describe() << "\n";
  return code;
}

/// What an operator wants to read first.
void log_start(const node::Node& node) {
  spdlog::info("corelayd {} ({}), peer id {}", daemon::version(), daemon::commit_hash(), node.peer_id());
  for (const auto& address : node.addresses()) spdlog::info("peers: {}/p2p/{}", address, node.peer_id());
  const auto& lcores = node.dataplane().lcores();
  for (std::size_t lane = 0; lane < lcores.size(); ++lane) {
    const std::string where = lcores[lane].cpu < 0 ? "not pinned" : "core " + std::to_string(lcores[lane].cpu);
    spdlog::info("lane {}: UDP port {}, {}, {}", lane, lcores[lane].port, lcores[lane].backend, where);
  }
  spdlog::info("sidecar: {} port {}; API: {} port {}", node.config().sidecar.address, node.sidecar_port(),
               node.config().api.address, node.api_port());
}

int run(node::LoadedConfig loaded) {
  if (loaded.config.node.mode == node::NodeMode::gossipsub) {
    std::cerr << "corelayd: node.mode = \"gossipsub\" (NODE_MODE) is not built yet; \"optimum\" is\n";
    return exit_not_built;
  }
  daemon::start_log(loaded.config.log.level, loaded.config.log.format);
  const auto lock = node::IdentityLock::take(loaded.config);
  if (!lock) return fail_with(lock.error(), exit_failed);
  const auto identity = node::load_identity(loaded.config);
  if (!identity) return fail_with(identity.error(), exit_failed);
  boost::asio::io_context io(1);
  boost::asio::signal_set signals(io, SIGTERM, SIGINT);
  std::signal(SIGPIPE, SIG_IGN);
  auto node = node::Node::start(io, std::move(loaded), *identity);
  if (!node) return fail_with(node.error(), exit_failed);
  log_start(**node);
  leave_on_signal(signals, **node, io,
                  {program.name, "node.drain_ms", std::chrono::milliseconds((*node)->config().node.drain_ms)});
  io.run();
  node->reset();
  spdlog::info("stopped");
  return 0;
}

int check(const node::LoadedConfig& loaded) {
  const auto peers = node::bootstrap_addresses(loaded.config);
  if (peers) return 0;
  return report_usage(program, peers.error().what,
                      "/ip4/127.0.0.1/tcp/7071/p2p/12D3Koo..., as 'corelay node state' prints it");
}

const Actions<node::LoadedConfig> actions{node::default_toml, node::load_config, check, node::print_config, run};

}  // namespace
}  // namespace corelay

int main(int argc, char** argv) {
  try {
    return corelay::run_daemon(corelay::program, corelay::actions, argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "corelayd: %s\n", error.what());
    return corelay::exit_failed;
  }
}
