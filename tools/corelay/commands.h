/// The verbs of the command line: one function each, its options in a struct. command_line.cpp
/// fills the structs.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tools/corelay/console.h"
#include "tools/corelay/exit_code.h"
#include "tools/corelay/gateway_client.h"
#include "tools/corelay/oauth.h"

namespace corelay::tools {

/// Makes `p2p.key` where there is none, and says the peer id.
struct KeygenOptions {
  std::string out = "identity";  // a folder, or the file itself where the name ends in .key
};
[[nodiscard]] ExitCode keygen(const Console& console, const KeygenOptions& options);

/// Publishes through a gateway or a node's sidecar, and waits until it says what became of each message.
struct PublishOptions {
  std::string address;  // of a sidecar; empty: through the gateway
  GatewayOptions gateway;
  bool is_deduplicated = false;  // through a gateway: the same bytes again are the same message
  std::string topic;
  std::optional<std::string> message;
  std::vector<std::string> files;             // "-" is standard input
  std::optional<std::uint64_t> random_bytes;  // payloads of this size from the system's random source
  bool is_line_by_line = false;               // each line of standard input is a message
  std::uint64_t count = 1;                    // of --message and --random
  std::chrono::milliseconds sleep{0};         // between two messages
  std::chrono::milliseconds timeout{
      45'000};  // for the node's answer to one message; nodes hold one for 30 s while alone
};
[[nodiscard]] ExitCode publish(const Console& console, const PublishOptions& options);

/// Prints what arrives on topics until Ctrl-C, `count` messages or `timeout`.
struct SubscribeOptions {
  std::string address;  // of a sidecar; empty: through the gateway
  GatewayOptions gateway;
  double threshold = 0;          // share of the nodes that must hold a message; 0: the gateway's own
  std::size_t grpc_queue = 100;  // messages that may wait for us with --grpc
  std::string persist;           // file, or folder of messages.log
  std::string webhook;           // URL
  std::string webhook_schema;    // template, or @FILE
  std::size_t webhook_queue = 100;
  std::chrono::milliseconds webhook_timeout{3'000};
  std::vector<std::string> topics;
  std::uint64_t count = 0;                           // 0 = no end
  std::optional<std::chrono::milliseconds> timeout;  // for the whole run; fewer messages than `count` is a failure
  bool is_raw = false;                               // payload bytes and nothing else
  std::string directory;                             // one file a message where not empty
};
[[nodiscard]] ExitCode subscribe(const Console& console, const SubscribeOptions& options);

/// Asks a node's HTTP API.
enum class NodeQuestion { health, state, version, peers };
struct NodeOptions {
  std::string address = "localhost:9090";
  NodeQuestion question = NodeQuestion::health;
  std::chrono::milliseconds timeout{5'000};
};
[[nodiscard]] ExitCode node(const Console& console, const NodeOptions& options);

/// Starts a local fleet, sends a file through it and shows when and whether it arrived.
struct UpOptions {
  std::uint32_t nodes = 4;
  std::uint32_t gateways = 2;
  std::string directory;               // of identities, logs and the record of the fleet
  std::uint16_t sidecar_port = 33221;  // of node 1; node n has this + n - 1. The same for API and mesh.
  std::uint16_t api_port = 9091;
  std::uint16_t p2p_port = 7071;
  std::uint16_t gateway_port = 8081;  // of gateway 1: HTTP; gateway n has this + n - 1
  std::uint16_t gateway_grpc_port = 50051;
  bool is_detached = false;
  bool has_demo = true;
  std::string file;                           // sent in the demo; empty = random bytes made for it
  std::string corelayd;                       // the program; empty = beside this one, then PATH
  std::chrono::milliseconds timeout{15'000};  // for the mesh to form
};
[[nodiscard]] ExitCode up(const Console& console, const UpOptions& options);

/// Stops the fleet that `up` recorded in a directory, gateways first.
struct DownOptions {
  std::string directory;
  std::chrono::milliseconds timeout{10'000};  // for a clean stop; then what still runs is killed
};
[[nodiscard]] ExitCode down(const Console& console, const DownOptions& options);

/// Asks a gateway about itself and about us.
enum class GatewayQuestion { health, topics, usage };
[[nodiscard]] ExitCode ask_gateway(const Console& console, const GatewayOptions& options, GatewayQuestion question);

/// Tokens: taken at an issuer, shown, refreshed, given back.
[[nodiscard]] ExitCode login(const Console& console, const LoginOptions& options, const std::string& auth_path);
[[nodiscard]] ExitCode logout(const Console& console, const std::string& auth_path);
[[nodiscard]] ExitCode whoami(const Console& console, const std::string& auth_path);
[[nodiscard]] ExitCode refresh(const Console& console, const std::string& auth_path);

/// How messages fare, from a gateway's tracer: live, or after a load of messages of our own.
struct TracerOptions {
  GatewayOptions gateway;
  std::chrono::milliseconds window{10'000};
  std::chrono::milliseconds tick{500};
  std::size_t rows = 12;
  bool is_once = false;
  std::string second_url;  // load: every other message goes through it
  std::string topic = "demo";
  std::uint64_t bytes = 102'400;
  std::uint64_t count = 0;  // messages to publish; dashboard: 0 = only look
  std::chrono::milliseconds interval{500};
};
[[nodiscard]] ExitCode tracer_dashboard(const Console& console, const TracerOptions& options);
[[nodiscard]] ExitCode tracer_load(const Console& console, const TracerOptions& options);
[[nodiscard]] ExitCode tracer_reset(const Console& console, const TracerOptions& options);

/// Many publishers, or many subscribers, at a time.
struct MultiOptions {
  GatewayOptions gateway;
  std::string topic;
  std::uint32_t clients = 10;
  std::uint64_t count = 100;              // messages of each publisher; of each subscriber until it ends, 0 = no end
  std::uint64_t bytes = 1024;             // of one message
  std::chrono::milliseconds interval{0};  // between two messages of a publisher
  std::optional<std::chrono::milliseconds> timeout;
  double threshold = 0;
};
[[nodiscard]] ExitCode multi_publish(const Console& console, const MultiOptions& options);
[[nodiscard]] ExitCode multi_subscribe(const Console& console, const MultiOptions& options);

/// A live view of nodes.
struct TopOptions {
  std::vector<std::string> addresses;  // of node APIs; empty: those of the local fleet
  std::chrono::milliseconds interval{1'000};
  bool is_once = false;
};
[[nodiscard]] ExitCode top(const Console& console, const TopOptions& options);

[[nodiscard]] ExitCode version(const Console& console);
/// "v0.1.0 (6d3d086)", as corelayd and the API say it.
[[nodiscard]] std::string version_text();

}  // namespace corelay::tools
