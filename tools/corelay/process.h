/// Starting and stopping other programs by their exact identity: a process id with the time it
/// started, so that an id the system has given to somebody else is never touched.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "codec/expected.h"

namespace corelay::tools {

struct ProcessId {
  pid_t pid = 0;
  std::uint64_t start_ticks = 0;  // field 22 of /proc/PID/stat
};

struct Launch {
  std::string program;
  std::vector<std::string> arguments;                            // after the program's name
  std::vector<std::pair<std::string, std::string>> environment;  // over what we have ourselves
  std::string log_path;                                          // its output and errors, appended
  bool is_detached =
      false;  // own session, outlives us; otherwise it gets SIGTERM when we die, however we die
};

/// Starts the program. Errors: not_found and permission_denied name the program; internal.
/// Must be called from the main thread, which the death signal is tied to.
[[nodiscard]] Expected<ProcessId> launch(const Launch& what);

/// That very process exists and is no zombie.
[[nodiscard]] bool is_running(const ProcessId& process);
/// The name of the program a process runs, at most program_name_max characters of it, as the system
/// keeps it even when the file has been replaced since; empty where there is no such process.
inline constexpr std::size_t program_name_max = 15;
[[nodiscard]] std::string program_of(pid_t pid);

/// SIGTERM to all that run, and SIGKILL to those still there after `grace`. Returns how many had to
/// be killed.
std::size_t stop_all(const std::vector<ProcessId>& processes, std::chrono::milliseconds grace);

/// Where a child of ours that ended has gone: "exit code 2", "signal 9 (Killed)". Nothing while it
/// runs.
[[nodiscard]] std::optional<std::string> ending_of_child(pid_t pid);

/// A port something else holds: for errors that name it. `process` is empty where we may not know.
enum class Transport { tcp, udp };
[[nodiscard]] bool is_port_free(Transport transport, std::uint16_t port);
[[nodiscard]] std::string port_holder(Transport transport, std::uint16_t port);

}  // namespace corelay::tools
