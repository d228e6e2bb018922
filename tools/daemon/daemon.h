/// How a daemon begins and ends, whatever it serves.
#pragma once

#include <spdlog/spdlog.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <chrono>
#include <csignal>
#include <iostream>
#include <string>
#include <string_view>
#include <utility>

#include "tools/daemon/flags.h"

namespace corelay {

inline constexpr int exit_failed = 1;

/// How long a stop may take: the drain, which `setting` names, and a few seconds for everything after it.
struct Stop {
  const char* program;
  const char* setting;
  std::chrono::milliseconds drain;
};

/// The process ends by then, whatever still holds it up: peers and clients have been told. That is a failure, and shows
/// as one.
void end_in_time(const Stop& stop);

/// The first signal drains, the second stops at once. All that is named lives until `io` stops.
template <class Served>
void leave_on_signal(boost::asio::signal_set& signals, Served& served, boost::asio::io_context& io, const Stop& stop) {
  signals.async_wait([&signals, &served, &io, stop](const boost::system::error_code& error, int number) {
    if (error) return;
    spdlog::info("{}: leaving", number == SIGTERM ? "SIGTERM" : "SIGINT");
    if (served.is_draining()) return io.stop();
    end_in_time(stop);
    served.drain([&io] { io.stop(); });
    leave_on_signal(signals, served, io, stop);
  });
}

/// What the command line can ask of a daemon. `check` says 0, or reports what is wrong and says the exit code.
template <class Loaded>
struct Actions {
  std::string_view (*default_toml)() noexcept;
  Expected<Loaded> (*load)(const daemon::ConfigSources& sources);
  int (*check)(const Loaded& loaded);
  std::string (*print)(const Loaded& loaded);
  int (*run)(Loaded loaded);
};

/// Does what the arguments ask for; returns the exit code.
template <class Loaded>
int run_daemon(const Program& program, const Actions<Loaded>& actions, int argc, char** argv) {
  CommandLine line;
  int exit_code = 0;
  if (!parse_command_line(program, argc, argv, line, exit_code)) return exit_code;
  if (line.action == Action::version) {
    std::cout << version_text(program) << "\n";
    return 0;
  }
  if (line.action == Action::config_default) {
    std::cout << actions.default_toml();
    return 0;
  }
  const auto sources = daemon::read_sources(line.config_file, line.flags);
  if (!sources) {
    return report_usage(program, sources.error().describe(),
                        "--config FILE or CORELAY_CONFIG, a file that can be read");
  }
  auto loaded = actions.load(*sources);
  if (!loaded) {
    return report_usage(program, loaded.error().what,
                        program.name + std::string(" config default, which explains every setting"));
  }
  if (const int wrong = actions.check(*loaded); wrong != 0) return wrong;
  switch (line.action) {
    case Action::config_check: std::cout << "the configuration is good\n"; return 0;
    case Action::config_print: std::cout << actions.print(*loaded); return 0;
    default: return actions.run(std::move(*loaded));
  }
}

}  // namespace corelay
