// corelay-gateway: REST, WebSocket, event streams and gRPC for the clients of a mesh. Reads its settings, opens its
// sockets, runs until SIGTERM or SIGINT, leaves politely.
#include <spdlog/spdlog.h>

#include <sys/resource.h>
#include <unistd.h>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <iostream>
#include <thread>

#include "control/daemon/version.h"
#include "control/gateway/gateway.h"
#include "tools/daemon/flags.h"

namespace corelay {
namespace {

constexpr int exit_failed = 1;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::chrono::milliseconds stop_time{60'000};
#else
constexpr std::chrono::milliseconds stop_time{3000};
#endif

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

/// The process ends by then, whatever still holds it up: clients have been told.
void end_within(std::chrono::milliseconds time) {
  std::thread([time] {
    std::this_thread::sleep_for(time);
    constexpr std::string_view line = "corelay-gateway: the stop hung after gateway.drain_ms; ended by force\n";
    static_cast<void>(write(STDERR_FILENO, line.data(), line.size()) < 0);
    _exit(exit_failed);
  }).detach();
}

/// The first signal drains, the second stops at once.
void leave_on_signal(boost::asio::signal_set& signals, gateway::Gateway& gateway, boost::asio::io_context& io) {
  signals.async_wait([&](const boost::system::error_code& error, int number) {
    if (error) return;
    spdlog::info("{}: leaving", number == SIGTERM ? "SIGTERM" : "SIGINT");
    if (gateway.is_draining()) return io.stop();
    end_within(std::chrono::milliseconds(gateway.config().gateway.drain_ms) + stop_time);
    gateway.drain([&io] { io.stop(); });
    leave_on_signal(signals, gateway, io);
  });
}

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
  spdlog::info("corelay-gateway {} ({}), {} nodes", daemon::version(), daemon::commit_hash(),
               config.nodes.sidecars.size());
  spdlog::info("HTTP: port {}; gRPC: port {}; authentication {}", (*gateway)->http_port(), (*gateway)->grpc_port(),
               config.auth.enable ? "on" : "off");
  leave_on_signal(signals, **gateway, io);
  io.run();
  gateway->reset();
  spdlog::info("stopped");
  return 0;
}

int act(const CommandLine& line) {
  if (line.action == Action::version) {
    std::cout << "corelay-gateway " << daemon::version() << " (" << daemon::commit_hash() << ")\n";
    return 0;
  }
  if (line.action == Action::config_default) {
    std::cout << gateway::default_toml();
    return 0;
  }
  const auto sources = daemon::read_sources(line.config_file, line.flags);
  if (!sources) return report_usage(program, sources.error().describe(), "--config FILE, a file that can be read");
  auto loaded = gateway::load_config(*sources);
  if (!loaded) {
    return report_usage(program, loaded.error().what, "corelay-gateway config default, which explains every setting");
  }
  switch (line.action) {
    case Action::config_check:
      std::cout << "the configuration is good\n";
      return 0;
    case Action::config_print:
      std::cout << gateway::print_config(*loaded);
      return 0;
    default:
      return run(std::move(*loaded));
  }
}

}  // namespace
}  // namespace corelay

int main(int argc, char** argv) {
  try {
    corelay::CommandLine line;
    int exit_code = 0;
    if (!corelay::parse_command_line(corelay::program, argc, argv, line, exit_code)) return exit_code;
    return corelay::act(line);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "corelay-gateway: %s\n", error.what());
    return corelay::exit_failed;
  }
}
