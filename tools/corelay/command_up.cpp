#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "tools/corelay/commands.h"
#include "tools/corelay/demo.h"
#include "tools/corelay/fleet.h"
#include "tools/corelay/interrupt.h"
#include "tools/corelay/read_file.h"
#include "tools/corelay/text.h"

namespace corelay::tools {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;
using std::chrono::milliseconds;

constexpr milliseconds stop_grace{5000};

ExitCode report(const Console& console, const Error& error) {
  switch (error.code) {
    case ErrorCode::invalid_argument:
      return console.fail(ExitCode::usage, error.what);
    case ErrorCode::already_exists:
      return console.fail(ExitCode::failed, error.what,
                          "stop it ('corelay down', with --dir DIR where 'corelay up' had it), or move this "
                          "fleet with --base PORT and --dir DIR");
    case ErrorCode::permission_denied:
      return console.fail(ExitCode::failed, error.describe(), "--dir DIR, or CORELAY_DIR, a folder you can write to");
    case ErrorCode::malformed:
      return console.fail(ExitCode::failed, error.describe(),
                          "move the file away, and the node gets a new one; or --dir DIR for another fleet");
    case ErrorCode::not_found:
      return console.fail(
          ExitCode::failed, error.describe(),
          "build it (cmake --build build/dev --target corelayd corelay-gateway), name the node's with "
          "--corelayd PATH, or go without gateways: --gateways 0");
    case ErrorCode::timed_out:
      return console.fail(ExitCode::timed_out, error.what);
    case ErrorCode::closed:
      return console.fail(ExitCode::failed, error.what);
    default:
      return console.fail(ExitCode::failed, error.describe());
  }
}

std::string nodes_table(const Console& console, const Fleet& fleet) {
  Table table({"node", "sidecar", "API", "p2p", "pid", "peer id"});
  table.align_right({0});
  for (const FleetNode& node : fleet.nodes()) {
    table.add_row({std::to_string(node.number), std::to_string(node.sidecar_port),
                   std::to_string(node.api_port), std::to_string(node.p2p_port),
                   std::to_string(node.process.pid), console.dim(node.peer_id)});
  }
  return table.text("  ");
}

std::string gateways_table(const Fleet& fleet) {
  if (fleet.gateways().empty()) return "";
  Table table({"gateway", "live page and HTTP", "gRPC", "pid"});
  table.align_right({0});
  for (const FleetGateway& gateway : fleet.gateways()) {
    table.add_row({std::to_string(gateway.number), gateway.page(), std::to_string(gateway.grpc_port),
                   std::to_string(gateway.process.pid)});
  }
  return "\n" + table.text("  ");
}

std::string demo_table(const Console& console, const DemoResult& demo) {
  Table table({"node", "arrived after", "bytes", "SHA-256"});
  table.align_right({0, 1, 2});
  for (const DemoArrival& arrival : demo.arrivals) {
    table.add_row({std::to_string(arrival.node), human_time(arrival.after),
                   with_commas(arrival.bytes),
                   arrival.is_same ? console.green("✓ the same") : console.red("✗ differs")});
  }
  return table.text("  ");
}

Json to_json(const Fleet& fleet, Clock::duration formed_after, const DemoResult* demo) {
  const auto ms = [](std::chrono::nanoseconds time) {
    return std::chrono::duration<double, std::milli>(time).count();
  };
  Json nodes = Json::array();
  for (const FleetNode& node : fleet.nodes()) {
    nodes.push_back({{"node", node.number},
                     {"peer_id", node.peer_id},
                     {"pid", node.process.pid},
                     {"sidecar", node.sidecar()},
                     {"api", node.api()},
                     {"bootstrap", node.bootstrap()},
                     {"p2p_port", node.p2p_port},
                     {"log", node.log().string()}});
  }
  Json gateways = Json::array();
  for (const FleetGateway& gateway : fleet.gateways()) {
    gateways.push_back({{"gateway", gateway.number},
                        {"pid", gateway.process.pid},
                        {"page", gateway.page()},
                        {"http", fmt::format("localhost:{}", gateway.port)},
                        {"grpc", fmt::format("localhost:{}", gateway.grpc_port)},
                        {"log", gateway.log().string()}});
  }
  Json value{{"cluster_id", fleet_cluster()},
             {"nodes", nodes},
             {"gateways", gateways},
             {"mesh_formed_ms", ms(formed_after)}};
  if (demo == nullptr) return value;
  Json arrivals = Json::array();
  for (const DemoArrival& arrival : demo->arrivals) {
    arrivals.push_back({{"node", arrival.node},
                        {"milliseconds", ms(arrival.after)},
                        {"bytes", arrival.bytes},
                        {"sha256_matches", arrival.is_same}});
  }
  value["demo"] = {{"topic", demo->topic},         {"file", demo->file},
                   {"bytes", demo->bytes},         {"sha256", demo->sha256},
                   {"publisher", demo->publisher}, {"arrivals", arrivals}};
  return value;
}

/// A path as it is written from where the user is: relative or absolute, whichever is shorter.
std::string written_path(const std::filesystem::path& path) {
  const std::string absolute = std::filesystem::absolute(path).lexically_normal().string();
  const std::string relative = path.lexically_proximate(std::filesystem::current_path()).string();
  return relative.size() < absolute.size() ? relative : absolute;
}

/// How the user can call us from where they are.
std::string own_name() {
  const std::string path = written_path(std::filesystem::read_symlink("/proc/self/exe"));
  return path.find('/') == std::string::npos ? "./" + path : path;
}

/// As one word of a shell's command line.
std::string shell_word(const std::string& text) {
  constexpr const char* plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+,:@%";
  if (text.find_first_not_of(plain) == std::string::npos) return text;
  std::string word = "'";
  for (const char c : text) word += c == '\'' ? "'\\''" : std::string(1, c);
  return word + "'";
}

/// "--dir DIR" for commands about a fleet that they would not find elsewhere without; empty for the usual one.
std::string dir_flag(const UpOptions& options) {
  const auto whole = [](const std::string& path) { return std::filesystem::absolute(path).lexically_normal(); };
  if (whole(options.directory) == whole(usual_fleet_directory()) &&
      whole(options.directory) == whole(fleet_directory()))
    return "";
  return " --dir " + shell_word(whole(options.directory).string());
}

/// Where a further node keeps its identity: beside the usual fleet, else in the fleet's folder, where a larger fleet
/// would not look for one of its own.
std::string further_identity(const UpOptions& options, std::uint32_t number) {
  const auto fleet = std::filesystem::absolute(options.directory).lexically_normal();
  const auto folder = dir_flag(options).empty() ? fleet.parent_path() : fleet;
  return shell_word((folder / fmt::format("further{}", number)).string());
}

void print_hints(const Console& console, const Fleet& fleet, const UpOptions& options) {
  const FleetNode& first = fleet.nodes().front();
  const FleetNode& second = fleet.nodes()[fleet.nodes().size() > 1 ? 1 : 0];
  const std::string corelay = shell_word(own_name());
  console.print_table(
      fmt::format("\nNow you\n"
                  "  {0} subscribe --addr {1} --topic mytopic\n"
                  "  {0} publish --addr {2} --topic mytopic --message hello\n"
                  "  curl http://localhost:{3}/api/v1/node-state\n",
                  corelay, first.sidecar(), second.sidecar(), first.api_port));
  if (!fleet.gateways().empty()) {
    console.print_table(fmt::format("  open {} in a browser: nodes, mesh and messages as they arrive\n",
                                    console.bold(fleet.gateways().front().page())));
  }
  const FleetNode& last = fleet.nodes().back();
  console.print_table(fmt::format(
      "\nA further node joins with\n"
      "  CLUSTER_ID={} BOOTSTRAP_PEERS={} \\\n"
      "    OPTIMUM_PORT={} SIDECAR_PORT={} API_PORT={} IDENTITY_DIR={} {}d\n",
      shell_word(fleet_cluster()), first.bootstrap(), last.p2p_port + 1, last.sidecar_port + 1, last.api_port + 1,
      further_identity(options, last.number + 1), corelay));
  const std::string directory = written_path(std::filesystem::absolute(fleet.directory()));
  const std::string logs = directory + (fleet.gateways().empty() ? "/node*/corelayd.log" : "/*/*.log");
  if (options.is_detached) {
    console.print_table(fmt::format(
        "\nRunning in the background; logs in {}; stop with\n  {} down{}\n", logs, corelay, dir_flag(options)));
  } else {
    console.print_table(fmt::format("\nRunning; logs in {}; Ctrl-C stops the fleet.\n", logs));
  }
}

/// Stays until Ctrl-C, and says when a node or a gateway ends before that. No node left is a failure.
ExitCode stay_up(const Console& console, const Fleet& fleet) {
  std::set<std::uint32_t> gone_nodes, gone_gateways;
  const auto look = [&console](const auto& member, const char* what, std::set<std::uint32_t>& gone) {
    if (gone.contains(member.number) || is_running(member.process)) return;
    gone.insert(member.number);
    const auto ending = ending_of_child(member.process.pid);
    console.note(fmt::format("{} {} ended ({}); its log: {}", what, member.number, ending.value_or("gone"),
                             member.log().string()));
  };
  while (!is_interrupted()) {
    std::this_thread::sleep_for(milliseconds(50));
    for (const FleetNode& node : fleet.nodes()) look(node, "Node", gone_nodes);
    for (const FleetGateway& gateway : fleet.gateways()) look(gateway, "Gateway", gone_gateways);
    if (gone_nodes.size() == fleet.nodes().size())
      return console.fail(ExitCode::failed, "no node is left");
  }
  return ExitCode::ok;
}

std::string formed_line(std::size_t nodes, Clock::duration after) {
  if (nodes == 1)
    return fmt::format("Node 1 is up in {}, alone: a mesh needs --nodes 2 or more", human_time(after));
  return fmt::format("Mesh formed in {}: every node is connected to the {}", human_time(after),
                     nodes == 2 ? "other" : fmt::format("{} others", nodes - 1));
}

/// A lone node publishes nothing: it hands a message to its own subscribers.
std::string sent_line(const DemoResult& demo, std::size_t nodes) {
  if (nodes == 1)
    return fmt::format("Passed {} on to a subscriber of the same node on topic \"{}\"",
                       human_bytes(demo.bytes), demo.topic);
  return fmt::format("Published {} through node {} on topic \"{}\"", human_bytes(demo.bytes),
                     demo.publisher, demo.topic);
}

/// Mesh, then demo; prints as it goes. Errors leave the nodes running: the caller stops them.
Expected<void> bring_up(const Console& console, const UpOptions& options, Fleet& fleet,
                        Clock::time_point started_at) {
  if (const auto formed = fleet.wait_for_mesh(options.timeout, is_interrupted); !formed) {
    return tl::make_unexpected(formed.error());
  }
  const auto formed_after = Clock::now() - started_at;
  if (const auto ready = fleet.wait_for_gateways(options.timeout, is_interrupted); !ready) {
    return tl::make_unexpected(ready.error());
  }
  console.print_table(nodes_table(console, fleet));
  console.print_table(gateways_table(fleet));
  console.print_table(fmt::format("\n{} {}\n", console.green("✓"),
                                  formed_line(fleet.nodes().size(), formed_after)));
  if (!options.has_demo) {
    console.print_value(to_json(fleet, formed_after, nullptr));
    return {};
  }
  const auto file = demo_file(fleet, options.file);
  if (!file) return tl::make_unexpected(file.error());
  const auto demo = run_demo(fleet, *file, options.timeout);
  if (!demo) return tl::make_unexpected(demo.error());
  console.print_table(fmt::format(
      "{} {}\n  {}\n  {}\n\n{}", console.green("✓"), sent_line(*demo, fleet.nodes().size()),
      console.dim(fmt::format("{}, {} bytes", written_path(demo->file), with_commas(demo->bytes))),
      console.dim("SHA-256 " + demo->sha256), demo_table(console, *demo)));
  console.print_value(to_json(fleet, formed_after, &*demo));
  const bool is_same = std::all_of(demo->arrivals.begin(), demo->arrivals.end(),
                                   [](const auto& a) { return a.is_same; });
  if (!is_same)
    return fail(ErrorCode::internal, "demo", "a node received other bytes than were sent");
  return {};
}

}  // namespace

ExitCode up(const Console& console, const UpOptions& options) {
  if (!options.file.empty()) {
    if (const auto readable = check_readable(options.file); !readable) {
      return console.fail(ExitCode::usage, readable.error().describe());
    }
  }
  catch_interrupts();
  auto fleet = Fleet::plan(options);
  if (!fleet) return report(console, fleet.error());
  console.print_table(
      console.bold(fmt::format("Corelay: {} on 127.0.0.1", counted(options.nodes, options.gateways))) + "\n\n");
  const auto started_at = Clock::now();
  if (const auto started = fleet->start(options); !started) return report(console, started.error());

  if (const auto shown = bring_up(console, options, *fleet, started_at); !shown) {
    fleet->stop(stop_grace);
    if (is_interrupted()) return ExitCode::ok;
    return report(console, shown.error());
  }
  print_hints(console, *fleet, options);
  if (options.is_detached) return ExitCode::ok;

  const ExitCode code = stay_up(console, *fleet);
  const std::string stopped = counted(fleet->running().size(), fleet->running_gateways().size());
  const std::size_t killed = fleet->stop(stop_grace);
  console.print_table(fmt::format("\nStopped {}{}\n", stopped,
                                  killed == 0 ? "" : fmt::format("; {} had to be killed", killed)));
  return killed > 0 ? ExitCode::failed : code;
}

}  // namespace corelay::tools
