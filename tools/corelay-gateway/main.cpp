// corelay-gateway: REST, WebSocket, event streams and gRPC for the clients of a mesh. Reads its settings, opens its
// sockets, runs until SIGTERM or SIGINT, leaves politely.
#include <spdlog/spdlog.h>

#include <sys/resource.h>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <iostream>

#include "control/daemon/version.h"
#include "control/gateway/gateway.h"
#include "tools/daemon/daemon.h"

namespace corelay {
namespace {

// The common settings by name; --set reaches them all.
constexpr ShortFlag short_flags[] = {
    {"--nodes", "nodes.sidecars", "Sidecars of the nodes: host:port, comma-separated"},
    {"--cluster-id", "gateway.cluster_id", "The network's name"},
    {"--address", "http.address", "IP address of the HTTP API"},
    {"--port", "http.port", "Port of the HTTP API"},
    {"--grpc-address", "grpc.address", "IP address of the gRPC API"},
    {"--grpc-port", "grpc.port", "Port of the gRPC API"},
    {"--auth", "auth.enable", "Ask for tokens: true or false"},
    {"--auth-domain", "auth.domain", "Whose tokens"},
    {"--auth-audience", "auth.audience", "For whom the tokens are"},
    {"--tls-certificate", "http.tls_certificate", "PEM file"},
    {"--tls-key", "http.tls_key", "PEM file"},
    {"--bus", "bus.url", "nats://host:port, to share subscriptions between gateways"},
    {"--quota-redis", "quota.redis", "redis://host:port, to share quotas between gateways"},
    {"--log-level", "log.level", "trace, debug, info, warn, error or off"},
    {"--log-format", "log.format", "text or json"},
};

const Program program{"corelay-gateway",
                      "corelay-gateway: REST, WebSocket, event streams and gRPC for a mesh. Settings: flag > "
                      "environment > file > default; "
                      "see `corelay-gateway config default`.",
                      "Examples:\n"
                      "  corelay-gateway --nodes localhost:33221,localhost:33222 --port 8081\n"
                      "  P2P_NODES=localhost:33221 GATEWAY_PORT=8081 corelay-gateway config print\n"
                      "Exit codes: 0 stopped by SIGTERM or SIGINT; 1 could not start; 2 wrong usage or configuration.",
                      "delivery.threshold=0.5", short_flags};

/// A connection is a file: as many as the system lets us have.
void raise_file_limit() {
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  files.rlim_cur = files.rlim_max;
  static_cast<void>(setrlimit(RLIMIT_NOFILE, &files));
}

int run(gateway::LoadedConfig loaded) {
  raise_file_limit();
  daemon::start_log(loaded.config.log.level, loaded.config.log.format);
  boost::asio::io_context io(1);
  boost::asio::signal_set signals(io, SIGTERM, SIGINT);
  std::signal(SIGPIPE, SIG_IGN);
  auto gateway = gateway::Gateway::start(io, std::move(loaded.config));
  if (!gateway) {
    std::cerr << "corelay-gateway: " << gateway.error().describe() << "\n";
    return exit_failed;
  }
  const auto& config = (*gateway)->config();
  const std::size_t nodes = config.nodes.sidecars.size();
  spdlog::info("corelay-gateway {} ({}), {} node{}", daemon::version(), daemon::commit_hash(), nodes,
               nodes == 1 ? "" : "s");
  spdlog::info("HTTP: port {}; gRPC: port {}; authentication {}", (*gateway)->http_port(), (*gateway)->grpc_port(),
               config.auth.enable ? "on" : "off");
  leave_on_signal(signals, **gateway, io,
                  {program.name, "gateway.drain_ms", std::chrono::milliseconds(config.gateway.drain_ms)});
  io.run();
  gateway->reset();
  spdlog::info("stopped");
  return 0;
}

const Actions<gateway::LoadedConfig> actions{gateway::default_toml, gateway::load_config,
                                             [](const gateway::LoadedConfig&) { return 0; }, gateway::print_config,
                                             run};

}  // namespace
}  // namespace corelay

int main(int argc, char** argv) {
  try {
    return corelay::run_daemon(corelay::program, corelay::actions, argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "corelay-gateway: %s\n", error.what());
    return corelay::exit_failed;
  }
}
