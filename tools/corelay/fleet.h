/// A local fleet: N corelayd on 127.0.0.1 and gateways in front of them all, one folder each under a
/// run folder, recorded in fleet.json so that another corelay can find and stop it. Node 1 is the
/// bootstrap peer of the others.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "codec/expected.h"
#include "tools/corelay/commands.h"
#include "tools/corelay/process.h"

namespace corelay::tools {

struct FleetNode {
  std::uint32_t number = 0;  // from 1
  std::uint16_t sidecar_port = 0;
  std::uint16_t api_port = 0;
  std::uint16_t p2p_port = 0;       // TCP and UDP
  std::filesystem::path directory;  // identity/p2p.key, corelayd.log, pid
  std::string peer_id;
  ProcessId process;
  std::string program;  // its name, as program_of() shows it

  [[nodiscard]] std::string sidecar() const;
  [[nodiscard]] std::string api() const;
  /// As BOOTSTRAP_PEERS of a further node takes it.
  [[nodiscard]] std::string bootstrap() const;
  [[nodiscard]] std::filesystem::path log() const { return directory / "corelayd.log"; }
};

struct FleetGateway {
  std::uint32_t number = 0;  // from 1
  std::uint16_t port = 0;    // HTTP: API and live page
  std::uint16_t grpc_port = 0;
  std::filesystem::path directory;  // corelay-gateway.log, pid
  ProcessId process;
  std::string program;

  /// host:port, as http_get() takes it.
  [[nodiscard]] std::string http() const;
  /// Where a browser finds the live page.
  [[nodiscard]] std::string page() const;
  [[nodiscard]] std::filesystem::path log() const { return directory / "corelay-gateway.log"; }
};

/// Where a fleet is kept unless --dir says otherwise: CORELAY_DIR, else usual_fleet_directory().
[[nodiscard]] std::string fleet_directory();
/// The same from every working directory: corelay/fleet below XDG_STATE_HOME, else below ~/.local/state; "run" for a
/// user without a home.
[[nodiscard]] std::string usual_fleet_directory();
/// The cluster a local fleet forms: CLUSTER_ID, or corelay-local.
[[nodiscard]] std::string fleet_cluster();

class Fleet {
 public:
  /// Folders, ports and identities (made where there are none). Errors: invalid_argument (counts,
  /// ports), already_exists (a fleet of this folder runs; a port is taken), and what the
  /// file system says.
  [[nodiscard]] static Expected<Fleet> plan(const UpOptions& options);
  /// What fleet.json of a folder says. Errors: not_found, malformed.
  [[nodiscard]] static Expected<Fleet> load(const std::filesystem::path& directory);

  /// Starts nodes and gateways and writes pid files and fleet.json. Errors: not_found (a program),
  /// permission_denied; what was started is stopped again.
  [[nodiscard]] Expected<void> start(const UpOptions& options);

  /// Waits until every node that runs is ready and knows all the others. `is_cancelled` is asked
  /// between looks. Errors: unavailable (a node ended; `what` holds the end of its log), timed_out
  /// (says who misses whom), closed (cancelled).
  [[nodiscard]] Expected<void> wait_for_mesh(std::chrono::milliseconds timeout,
                                             bool (*is_cancelled)());

  /// Waits until every gateway reaches every node. Cancelling and errors are as above.
  [[nodiscard]] Expected<void> wait_for_gateways(std::chrono::milliseconds timeout,
                                                 bool (*is_cancelled)());

  /// Stops what runs, gateways before nodes, and removes pid files and fleet.json. Returns how many
  /// did not end within `grace` and were killed. Never touches a process that we did not start.
  std::size_t stop(std::chrono::milliseconds grace);

  [[nodiscard]] const std::vector<FleetNode>& nodes() const noexcept { return nodes_; }
  [[nodiscard]] const std::vector<FleetGateway>& gateways() const noexcept { return gateways_; }
  [[nodiscard]] const std::filesystem::path& directory() const noexcept { return directory_; }
  /// Nodes, and gateways, whose process runs.
  [[nodiscard]] std::vector<const FleetNode*> running() const;
  [[nodiscard]] std::vector<const FleetGateway*> running_gateways() const;

 private:
  [[nodiscard]] Expected<void> record() const;
  [[nodiscard]] Launch launch_of(const FleetNode& node, const std::string& program,
                                 bool is_detached) const;
  [[nodiscard]] Launch launch_of(const FleetGateway& gateway, const std::string& program,
                                 bool is_detached) const;

  std::filesystem::path directory_;
  std::vector<FleetNode> nodes_;
  std::vector<FleetGateway> gateways_;
};

/// "4 nodes", "1 node and 2 gateways", for messages about them.
[[nodiscard]] std::string counted(std::size_t nodes, std::size_t gateways);

/// The last lines of a log, each indented; empty where there is no log.
[[nodiscard]] std::string log_tail(const std::filesystem::path& path, std::size_t lines);

}  // namespace corelay::tools
