// corelay sim: runs of the simulator and what they showed.
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "sim/propagation.h"
#include "tools/corelay/coverage_plot.h"
#include "tools/corelay/simulate.h"
#include "tools/corelay/text.h"

namespace corelay::tools {
namespace {

using sim::PropagationResult;
using sim::PropagationScenario;

/// A run and what it took.
struct Done {
  PropagationResult result;
  double wall_s = 0;
};

/// A line on standard error that says how far a run is, on a terminal alone.
class ProgressBar {
 public:
  explicit ProgressBar(std::string what)
      : what_(std::move(what)), is_shown_(::isatty(STDERR_FILENO) == 1) {}
  ~ProgressBar() {
    if (is_drawn_) std::fputs("\r\033[K", stderr);
  }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void draw(const sim::Progress& progress) {
    const auto now = std::chrono::steady_clock::now();
    if (!is_shown_ || now - drawn_at_ < std::chrono::milliseconds(200)) return;
    drawn_at_ = now;
    is_drawn_ = true;
    constexpr int width = 30;
    const int full = static_cast<int>(progress.share_done * width);
    const std::string bar = std::string(static_cast<std::size_t>(full), '#') +
                            std::string(static_cast<std::size_t>(width - full), '.');
    fmt::print(stderr, "\r\033[K{} [{}] {:3.0f} %  {:.2f} s of virtual time, {} events", what_, bar,
               progress.share_done * 100, progress.virtual_ms / 1e3, with_commas(progress.events));
    std::fflush(stderr);
  }

 private:
  std::string what_;
  bool is_shown_;
  bool is_drawn_ = false;
  std::chrono::steady_clock::time_point drawn_at_{};
};

nlohmann::ordered_json number(double value) {
  if (std::isnan(value)) return nullptr;
  return value;
}

nlohmann::ordered_json row_of(const Done& done) {
  const PropagationResult& r = done.result;
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  nlohmann::ordered_json row;
  row["scenario"] = r.scenario;
  row["router"] = r.router;
  row["seed"] = r.seed;
  row["nodes"] = r.nodes;
  row["size_bytes"] = r.size_bytes;
  row["t50_ms"] = number(r.t50_ms);
  row["t95_ms"] = number(r.t95_ms);
  row["t99_ms"] = number(r.t99_ms);
  row["t100_ms"] = number(r.t100_ms);
  for (const double t99 : r.t99s_ms) row["t99s_ms"].push_back(number(t99));
  row["lb50_ms"] = number(r.lb50_ms);
  row["lb99_ms"] = number(r.lb99_ms);
  row["lb100_ms"] = number(r.lb100_ms);
  row["ratio_lb99"] = number(r.ratio_lb99);
  row["coverage"] = r.coverage;
  row["coverage_4lb"] = r.coverage_4lb;
  row["sent_mean"] = r.sent_mean;
  row["sent_p99"] = r.sent_p99;
  row["sent_max"] = r.sent_max;
  row["sent_publisher"] = number(r.sent_publisher);
  row["useful"] = r.useful;
  row["dependent"] = r.dependent;
  row["after_full"] = r.after_full;
  row["header"] = r.header;
  row["control"] = r.control;
  row["lost"] = r.lost;
  row["accounted"] = r.accounted;
  row["drops_uplink"] = r.drops_up;
  row["drops_downlink"] = r.drops_down;
  row["wrong_deliveries"] = r.wrong_deliveries;
  row["altered_frames"] = r.altered_frames;
  row["wrong_digests"] = r.wrong_digests;
  row["malformed_frames"] = r.malformed_frames;
  row["evicted_polluters"] = r.evicted_polluters;
  row["evicted_honest"] = r.evicted_honest;
  row["packets"] = r.packets;
  row["events"] = r.events;
  row["event_hash"] = fmt::format("{:016x}", r.event_hash);
  row["wall_s"] = done.wall_s;
  row["memory_mib"] = usage.ru_maxrss / 1024;
  return row;
}

std::string shown_ms(double ms) { return std::isnan(ms) ? "never" : fmt::format("{:.0f}", ms); }

std::string shown_ratio(double ratio) {
  return std::isnan(ratio) ? "-" : fmt::format("{:.2f}", ratio);
}

Table new_table() {
  Table table({"router",    "seed",     "T50 ms",    "T95 ms",  "T99 ms", "T100 ms",   "LB99 ms",
               "T99/LB99",  "coverage", "sent mean", "p99",     "max",    "publisher", "useful",
               "dependent", "late",     "header",    "control", "lost",   "seconds"});
  table.align_right({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19});
  return table;
}

std::string percent(double share) { return fmt::format("{:.1f} %", share * 100); }

void add_row(Table& table, const Done& done) {
  const PropagationResult& r = done.result;
  table.add_row({r.router,
                 std::to_string(r.seed),
                 shown_ms(r.t50_ms),
                 shown_ms(r.t95_ms),
                 shown_ms(r.t99_ms),
                 shown_ms(r.t100_ms),
                 shown_ms(r.lb99_ms),
                 shown_ratio(r.ratio_lb99),
                 fmt::format("{:.2f} %", r.coverage * 100),
                 fmt::format("{:.2f}", r.sent_mean),
                 fmt::format("{:.2f}", r.sent_p99),
                 fmt::format("{:.2f}", r.sent_max),
                 fmt::format("{:.2f}", r.sent_publisher),
                 percent(r.useful),
                 percent(r.dependent),
                 percent(r.after_full),
                 percent(r.header),
                 percent(r.control),
                 percent(r.lost),
                 fmt::format("{:.1f}", done.wall_s)});
}

bool is_file(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored) && !std::filesystem::is_directory(path, ignored);
}

/// The scenario by name or file, with what the command line changed.
Expected<PropagationScenario> find_scenario(const SimulateOptions& options) {
  std::vector<std::string_view> names;
  PropagationScenario scenario;
  const auto& known = sim::built_in_scenarios();
  const auto found = std::find_if(known.begin(), known.end(), [&](const auto& one) {
    names.push_back(one.name);
    return one.name == options.scenario;
  });
  if (found != known.end()) {
    scenario = *found;
  } else {
    const std::ifstream file(options.scenario, std::ios::binary);
    if (!is_file(options.scenario) || !file) {
      const std::string_view near = nearest(options.scenario, names);
      return fail(ErrorCode::not_found, "scenario",
                  fmt::format("there is no scenario and no file '{}'{}", options.scenario,
                              near.empty() ? "" : fmt::format("; '{}'?", near)));
    }
    std::ostringstream text;
    text << file.rdbuf();
    if (text.str().empty()) return fail(ErrorCode::malformed, options.scenario, "the file is empty");
    auto parsed = sim::parse_scenario(text.str(), options.scenario);
    if (!parsed) return parsed;
    scenario = std::move(*parsed);
  }
  if (options.nodes) {
    const std::string usual = with_commas(scenario.nodes) + " nodes";
    const std::string here = with_commas(*options.nodes) + " nodes";
    scenario.nodes = *options.nodes;
    if (const auto at = scenario.about.find(usual); at != std::string::npos) {
      scenario.about.replace(at, usual.size(), here);
    } else {
      scenario.about += "; here " + here;
    }
  }
  if (options.messages) scenario.messages = *options.messages;
  if (options.shards_target) scenario.relay.shards_target = *options.shards_target;
  if (options.redundancy) scenario.relay.redundancy = *options.redundancy;
  if (options.start_mult) scenario.relay.start_mult = *options.start_mult;
  if (options.forward_threshold) scenario.relay.forward_threshold = *options.forward_threshold;
  return scenario;
}

Expected<Done> run_one(const PropagationScenario& scenario, const std::string& router,
                       std::uint64_t seed) {
  ProgressBar bar(fmt::format("{} {} seed {}", scenario.name, router, seed));
  const auto began = std::chrono::steady_clock::now();
  auto result = sim::run_propagation(scenario, router, seed,
                                     [&](const sim::Progress& progress) { bar.draw(progress); });
  if (!result) return tl::make_unexpected(result.error());
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  return Done{std::move(*result), took.count()};
}

bool write_file(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  return static_cast<bool>(file);
}

/// Before minutes of running: can the file be written in the end? One that is there is left as it is.
bool can_write(const std::string& path) {
  std::error_code unknown;
  const bool was_there = std::filesystem::exists(path, unknown);
  const bool is_open = static_cast<bool>(std::ofstream(path, std::ios::binary | std::ios::app));
  if (is_open && !was_there) std::filesystem::remove(path, unknown);
  return is_open;
}

double median_of(const std::vector<Done>& runs, double PropagationResult::*field) {
  std::vector<double> values;
  for (const Done& one : runs) {
    const double value = one.result.*field;
    values.push_back(std::isnan(value) ? INFINITY : value);
  }
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  const double middle = n % 2 != 0 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
  return std::isinf(middle) ? NAN : middle;
}

/// `near`, and names that end in it: 'two-hop' or 'corelay-two-hop'.
std::string alternatives(std::string_view near, const std::vector<std::string_view>& names) {
  std::string text = fmt::format("'{}'", near);
  for (const std::string_view name : names) {
    if (name != near && name.ends_with(near)) text += fmt::format(" or '{}'", name);
  }
  return text;
}

/// What the bound leaves out for routers that do not keep to the mesh; empty where there are none.
std::string footnote(const std::vector<std::string>& routers) {
  std::string names;
  for (const sim::RouterInfo& info : sim::routers()) {
    if (info.is_direct && std::find(routers.begin(), routers.end(), info.name) != routers.end())
      names += fmt::format("{}{}", names.empty() ? "" : ", ", info.name);
  }
  if (names.empty()) return "";
  return fmt::format("LB99 is the bound over the mesh's links; {} may be below it: any node sends to any other\n",
                     names);
}

/// All routers over all seeds, in the order asked for.
ExitCode run_all(const Console& console, const SimulateOptions& options, bool has_medians) {
  const auto scenario = find_scenario(options);
  if (!scenario) {
    const std::string_view fields = "sim/scenario.toml of the source, which documents every field";
    return console.fail(ExitCode::usage, scenario.error().describe(),
                        std::string(is_file(options.scenario) ? fields : "corelay sim list"));
  }
  std::vector<std::string_view> names;
  for (const sim::RouterInfo& info : sim::routers()) names.push_back(info.name);
  for (const std::string& router : options.routers) {
    if (std::find(names.begin(), names.end(), router) != names.end()) continue;
    const std::string_view near = nearest(router, names);
    return console.fail(ExitCode::usage, fmt::format("there is no router '{}'", router),
                        near.empty() ? "corelay sim list" : alternatives(near, names));
  }
  for (const std::string& file : {options.json_file, options.svg_file}) {
    if (!file.empty() && !can_write(file))
      return console.fail(ExitCode::usage, "cannot write " + file, "a file in a folder you can write to");
  }
  Table table = new_table();
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  std::vector<Curve> curves;
  std::vector<std::string> medians;
  for (const std::string& router : options.routers) {
    std::vector<Done> runs;
    for (std::uint64_t seed = options.seed_first; seed <= options.seed_last; ++seed) {
      auto done = run_one(*scenario, router, seed);
      if (!done) return console.fail(ExitCode::usage, done.error().describe());
      add_row(table, *done);
      rows.push_back(row_of(*done));
      if (seed == options.seed_first) {
        curves.push_back({router, done->result.times_ms, done->result.nodes - 1});
      }
      runs.push_back(std::move(*done));
    }
    if (runs.size() > 1 || has_medians) {
      medians.push_back(fmt::format("{}: T99 {} ms, {} x LB99, {:.2f} messages sent per node",
                                    router, shown_ms(median_of(runs, &PropagationResult::t99_ms)),
                                    shown_ratio(median_of(runs, &PropagationResult::ratio_lb99)),
                                    median_of(runs, &PropagationResult::sent_mean)));
    }
  }
  const nlohmann::ordered_json document{{"rows", rows}};
  console.print_table(
      fmt::format("{}: {}\n{}", console.bold(scenario->name), scenario->about, table.text("  ")));
  console.print_table(footnote(options.routers));
  if (!medians.empty()) {
    std::string text = "Medians over the seeds\n";
    for (const std::string& line : medians) text += "  " + line + "\n";
    console.print_table(text);
  }
  console.print_value(document);
  if (!options.json_file.empty() && !write_file(options.json_file, document.dump(1) + "\n"))
    return console.fail(ExitCode::failed, "cannot write " + options.json_file);
  if (!options.svg_file.empty()) {
    const std::string plot = coverage_plot(
        fmt::format("{}, seed {}", scenario->name, options.seed_first), scenario->about, curves);
    if (!write_file(options.svg_file, plot))
      return console.fail(ExitCode::failed, "cannot write " + options.svg_file);
  }
  return ExitCode::ok;
}

}  // namespace

ExitCode simulate(const Console& console, const SimulateOptions& options) {
  return run_all(console, options, false);
}

ExitCode compare(const Console& console, const SimulateOptions& options) {
  return run_all(console, options, true);
}

ExitCode list_scenarios(const Console& console) {
  Table scenarios({"scenario", "what it is"});
  nlohmann::ordered_json value;
  for (const PropagationScenario& one : sim::built_in_scenarios()) {
    scenarios.add_row({one.name, one.about});
    value["scenarios"].push_back({{"name", one.name}, {"about", one.about}});
  }
  Table routers({"router", "what it is"});
  for (const sim::RouterInfo& one : sim::routers()) {
    routers.add_row({std::string(one.name), std::string(one.about)});
    value["routers"].push_back({{"name", one.name}, {"about", one.about}});
  }
  console.print_table(scenarios.text() + "\n" + routers.text());
  console.print_value(value);
  return ExitCode::ok;
}

}  // namespace corelay::tools
