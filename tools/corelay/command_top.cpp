// A live view of nodes, out of their /metrics and /api/v1/node-state: two readings, and what changed between them.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <future>
#include <nlohmann/json.hpp>
#include <thread>

#include "tools/corelay/commands.h"
#include "tools/corelay/fleet.h"
#include "tools/corelay/http_get.h"
#include "tools/corelay/interrupt.h"
#include "tools/corelay/metrics_page.h"
#include "tools/corelay/text.h"

namespace corelay::tools {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;
using std::chrono::milliseconds;

constexpr milliseconds patience{2'000};
constexpr std::size_t drops_shown_max = 6;

/// One node at one moment.
struct Reading {
  Clock::time_point at;
  std::string failure;  // empty where it answered
  MetricsPage metrics;
};

Reading read(const std::string& address) {
  Reading reading;
  const auto reply = http_get(address, "/metrics", patience);
  reading.at = Clock::now();
  if (!reply) {
    reading.failure = reply.error().what;
  } else if (reply->status != 200) {
    reading.failure = fmt::format("status {}", reply->status);
  } else {
    reading.metrics = MetricsPage::parse(reply->body);
    if (!reading.metrics.has("corelay_cycles_total")) {
      reading.failure = reading.metrics.has("nodes_active_total") ? "that is a gateway: --api takes nodes"
                                                                  : "these are not the metrics of a node";
    }
  }
  return reading;
}

/// All nodes at the same time: a dead one does not hold up the others.
std::vector<Reading> read_all(const std::vector<std::string>& addresses) {
  std::vector<std::future<Reading>> asked;
  for (const auto& address : addresses) asked.push_back(std::async(std::launch::async, read, address));
  std::vector<Reading> readings;
  for (auto& one : asked) readings.push_back(one.get());
  return readings;
}

/// What a node did between two readings; rates are for each second.
class Change {
 public:
  Change(const Reading& before, const Reading& now) : before_(before), now_(now) {
    seconds_ = std::max(1e-3, std::chrono::duration<double>(now.at - before.at).count());
  }
  [[nodiscard]] double rate(std::string_view name) const { return grown(name) / seconds_; }
  [[nodiscard]] double rate(std::string_view name, unsigned lane) const { return grown(name, lane) / seconds_; }
  [[nodiscard]] double now(std::string_view name) const { return now_.metrics.total(name); }
  /// Of all coded packets that came, those that brought nothing new; in per cent.
  [[nodiscard]] double waste() const {
    const double all = grown("corelay_rx_coded_total");
    return all <= 0 ? 0 : 100 * (all - grown("corelay_rx_coded_innovative_total")) / all;
  }
  /// Of a lane's cycles, those that did work; in per cent.
  [[nodiscard]] double busy(unsigned lane) const {
    const double all = grown("corelay_cycles_total", lane);
    return all <= 0 ? 0 : 100 * grown("corelay_cycles_busy_total", lane) / all;
  }
  /// Shards held of each generation in use, on average.
  [[nodiscard]] double mean_rank() const {
    const double generations = now("corelay_generations_used");
    return generations <= 0 ? 0 : now("corelay_cells_used") / generations;
  }
  /// Reasons for drops since the node started: name without prefix and suffix, count, growth a second; the fastest
  /// first.
  struct Drop {
    std::string reason;
    double total = 0;
    double rate = 0;
  };
  [[nodiscard]] std::vector<Drop> drops() const {
    std::vector<Drop> found;
    for (const auto& [name, total] : now_.metrics.beginning_with("corelay_drop_")) {
      std::string reason = name.substr(13);
      if (reason.ends_with("_total")) reason.resize(reason.size() - 6);
      if (total > 0) found.push_back({reason, total, rate(name)});
    }
    for (const char* name : {"corelay_sidecar_dropped_messages_total", "corelay_sidecar_dropped_traces_total"}) {
      if (now(name) > 0)
        found.push_back({std::string(name).substr(8, std::string(name).size() - 14), now(name), rate(name)});
    }
    std::stable_sort(found.begin(), found.end(), [](const Drop& a, const Drop& b) {
      return std::pair(a.rate, a.total) > std::pair(b.rate, b.total);
    });
    return found;
  }
  [[nodiscard]] unsigned lanes() const { return now_.metrics.lanes(); }

 private:
  // A node that was started again counts from 0.
  [[nodiscard]] double grown(std::string_view name) const {
    return std::max(0.0, now_.metrics.total(name) - before_.metrics.total(name));
  }
  [[nodiscard]] double grown(std::string_view name, unsigned lane) const {
    return std::max(0.0, now_.metrics.of_lane(name, lane) - before_.metrics.of_lane(name, lane));
  }
  const Reading& before_;
  const Reading& now_;
  double seconds_ = 1;
};

std::string whole(double number) { return with_commas(static_cast<std::uint64_t>(std::max(0.0, number) + 0.5)); }

class View {
 public:
  View(const Console& console, const std::vector<std::string>& addresses) : console_(console), addresses_(addresses) {}

  [[nodiscard]] std::string text(const std::vector<Reading>& before, const std::vector<Reading>& now) const {
    Table nodes({"node", "CPU", "peers", "mesh", "topics", "rx/s", "tx/s", "Mb/s in", "out", "new/s", "waste", "rank",
                 "msgs", "pubs", "queue"});
    nodes.align_right({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14});
    Table lanes({"node", "lane", "busy", "rx/s", "tx/s", "coded in/s", "new/s", "generations", "shards held"});
    lanes.align_right({1, 2, 3, 4, 5, 6, 7, 8});
    std::string drops, dead;
    for (std::size_t i = 0; i < addresses_.size(); ++i) {
      if (!now[i].failure.empty()) {
        dead += console_.red(fmt::format("{}: {}\n", addresses_[i], now[i].failure));
        continue;
      }
      const Change change(before[i], now[i]);
      add_node(nodes, addresses_[i], change);
      for (unsigned lane = 0; lane < change.lanes(); ++lane) add_lane(lanes, addresses_[i], lane, change, now[i]);
      drops += drops_of(addresses_[i], change);
    }
    std::string out = console_.bold("Nodes") + "\n" + nodes.text("  ") + dead;
    out += "\n" + console_.bold("Lanes (one core each)") + "\n" + lanes.text("  ");
    return out + "\n" + console_.bold("Drops since the start, the fastest growing first") + "\n" +
           (drops.empty() ? "  none\n" : drops);
  }

  [[nodiscard]] Json value(const std::vector<Reading>& before, const std::vector<Reading>& now) const {
    Json nodes = Json::array();
    for (std::size_t i = 0; i < addresses_.size(); ++i) {
      if (!now[i].failure.empty()) {
        nodes.push_back({{"node", addresses_[i]}, {"error", now[i].failure}});
        continue;
      }
      const Change change(before[i], now[i]);
      Json lanes = Json::array(), drops = Json::object();
      for (unsigned lane = 0; lane < change.lanes(); ++lane)
        lanes.push_back({{"lane", lane},
                         {"busy_percent", change.busy(lane)},
                         {"rx_datagrams_per_s", change.rate("corelay_rx_datagrams_total", lane)},
                         {"tx_datagrams_per_s", change.rate("corelay_tx_datagrams_total", lane)}});
      for (const auto& drop : change.drops()) drops[drop.reason] = drop.total;
      nodes.push_back({{"node", addresses_[i]},
                       {"cpu_percent", 100 * change.rate("process_cpu_seconds_total")},
                       {"peers", change.now("corelay_peers")},
                       {"mesh_peers", change.now("corelay_mesh_peers")},
                       {"topics", change.now("corelay_topics")},
                       {"rx_bytes_per_s", change.rate("corelay_rx_bytes_total")},
                       {"tx_bytes_per_s", change.rate("corelay_tx_bytes_total")},
                       {"innovative_per_s", change.rate("corelay_rx_coded_innovative_total")},
                       {"waste_percent", change.waste()},
                       {"mean_rank", change.mean_rank()},
                       {"messages_live", change.now("corelay_messages_live")},
                       {"publishes_in_flight", change.now("corelay_publishes_in_flight")},
                       {"deliveries_waiting", change.now("corelay_own_deliveries_waiting")},
                       {"lanes", lanes},
                       {"drops", drops}});
    }
    return {{"nodes", nodes}};
  }

 private:
  void add_node(Table& table, const std::string& address, const Change& change) const {
    table.add_row({address, fmt::format("{:.0f} %", 100 * change.rate("process_cpu_seconds_total")),
                   whole(change.now("corelay_peers")), whole(change.now("corelay_mesh_peers")),
                   whole(change.now("corelay_topics")), whole(change.rate("corelay_rx_datagrams_total")),
                   whole(change.rate("corelay_tx_datagrams_total")),
                   fmt::format("{:.1f}", 8e-6 * change.rate("corelay_rx_bytes_total")),
                   fmt::format("{:.1f}", 8e-6 * change.rate("corelay_tx_bytes_total")),
                   whole(change.rate("corelay_rx_coded_innovative_total")), fmt::format("{:.0f} %", change.waste()),
                   fmt::format("{:.0f}", change.mean_rank()), whole(change.now("corelay_messages_live")),
                   whole(change.now("corelay_publishes_in_flight")),
                   whole(change.now("corelay_own_deliveries_waiting"))});
  }

  static void add_lane(Table& table, const std::string& address, unsigned lane, const Change& change,
                       const Reading& now) {
    table.add_row({address, std::to_string(lane), fmt::format("{:.0f} %", change.busy(lane)),
                   whole(change.rate("corelay_rx_datagrams_total", lane)),
                   whole(change.rate("corelay_tx_datagrams_total", lane)),
                   whole(change.rate("corelay_rx_coded_total", lane)),
                   whole(change.rate("corelay_rx_coded_innovative_total", lane)),
                   whole(now.metrics.of_lane("corelay_generations_used", lane)),
                   whole(now.metrics.of_lane("corelay_cells_used", lane))});
  }

  static std::string drops_of(const std::string& address, const Change& change) {
    const auto drops = change.drops();
    std::string text;
    for (std::size_t i = 0; i < std::min(drops.size(), drops_shown_max); ++i)
      text += fmt::format("{}{} {}{}", i == 0 ? "" : ", ", drops[i].reason, whole(drops[i].total),
                          drops[i].rate >= 0.5 ? fmt::format(" (+{}/s)", whole(drops[i].rate)) : "");
    if (drops.size() > drops_shown_max) text += fmt::format(", {} more", drops.size() - drops_shown_max);
    return text.empty() ? "" : fmt::format("  {}: {}\n", address, text);
  }

  const Console& console_;
  const std::vector<std::string>& addresses_;
};

/// All of them while any runs: one that died is shown as such, not left out.
std::vector<std::string> local_nodes() {
  std::vector<std::string> addresses;
  if (const auto fleet = Fleet::load(fleet_directory()); fleet && !fleet->running().empty()) {
    for (const FleetNode& node : fleet->nodes()) addresses.push_back(node.api());
  }
  return addresses;
}

void sleep_until(Clock::time_point end) {
  while (!is_interrupted() && Clock::now() < end)
    std::this_thread::sleep_for(std::min<Clock::duration>(milliseconds(50), end - Clock::now()));
}

}  // namespace

ExitCode top(const Console& console, const TopOptions& options) {
  std::vector<std::string> addresses = options.addresses.empty() ? local_nodes() : options.addresses;
  if (addresses.empty())
    return console.fail(ExitCode::usage, "no node is named, and no local fleet runs",
                        "--api localhost:9091,localhost:9092, or 'corelay up'");
  for (const std::string& address : addresses) {
    if (const auto parts = split_address(address); !parts)
      return console.fail(ExitCode::usage, "--api: " + parts.error().what, "--api localhost:9091");
  }
  catch_interrupts();
  auto before = read_all(addresses);
  const auto answers = std::count_if(before.begin(), before.end(), [](const auto& r) { return r.failure.empty(); });
  if (answers == 0)
    return console.fail(ExitCode::unreachable,
                        fmt::format("no node API at {}: {}", addresses.front(), before.front().failure),
                        "--api HOST:PORT of running nodes (API_PORT)");
  const View view(console, addresses);
  const bool is_live = !options.is_once && console.is_table() && isatty(STDOUT_FILENO) == 1;
  constexpr const char* back = "\x1b[?25h\x1b[?1049l";
  if (is_live) {
    write_when_killed(back);
    console.print("\x1b[?1049h\x1b[?25l");  // another screen, no cursor
  }
  for (;;) {
    sleep_until(Clock::now() + options.interval);
    if (is_interrupted() && !options.is_once) break;
    auto now = read_all(addresses);
    if (is_live)
      console.print("\x1b[H\x1b[J" +
                    console.dim(fmt::format("corelay top, every {}; Ctrl-C ends\n\n", human_time(options.interval))));
    console.print_table(view.text(before, now));
    console.print_value(view.value(before, now));
    if (options.is_once || is_interrupted()) break;
    before = std::move(now);
  }
  if (is_live) {
    console.print(back);
    write_when_killed(nullptr);
  }
  return ExitCode::ok;
}

}  // namespace corelay::tools
