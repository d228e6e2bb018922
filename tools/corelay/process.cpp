#include "tools/corelay/process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <thread>

#include "tools/corelay/read_file.h"

namespace corelay::tools {
namespace {

namespace fs = std::filesystem;

/// State letter and start time of a process; nothing where there is none.
struct Stat {
  char state = 'X';
  std::uint64_t start_ticks = 0;
};
std::optional<Stat> stat_of(pid_t pid) {
  const auto file = read_file(fmt::format("/proc/{}/stat", pid));
  if (!file) return std::nullopt;
  const std::string& text = *file;
  const auto name_end = text.rfind(')');  // the name may hold anything, spaces and parentheses too
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(text.substr(name_end + 1));
  Stat stat;
  fields >> stat.state;
  std::string skipped;
  for (int field = 4; field < 22; ++field) fields >> skipped;
  fields >> stat.start_ticks;
  if (!fields) return std::nullopt;
  return stat;
}

std::vector<std::string> merged_environment(const Launch& what) {
  std::vector<std::string> merged;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::string_view name = text.substr(0, text.find('='));
    const bool is_replaced = std::any_of(what.environment.begin(), what.environment.end(),
                                         [&](const auto& pair) { return pair.first == name; });
    if (!is_replaced) merged.emplace_back(text);
  }
  for (const auto& [name, value] : what.environment) merged.push_back(name + "=" + value);
  return merged;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (std::string& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

/// The child's side between fork and exec: system calls only. Never returns.
[[noreturn]] void become(const char* program, char* const* arguments, char* const* environment,
                         int log, int failure, bool is_detached, pid_t parent) {
  if (is_detached) {
    setsid();
  } else {
    setpgid(0, 0);  // Ctrl-C reaches the children through us, once
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(1);  // the parent died before the line above
  }
  const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  dup2(null, STDIN_FILENO);
  dup2(log, STDOUT_FILENO);
  dup2(log, STDERR_FILENO);
  close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);  // a detached node keeps nobody's pipe or lock open
  execve(program, arguments, environment);
  const int error = errno;
  [[maybe_unused]] const ssize_t written = write(failure, &error, sizeof error);
  _exit(127);
}

/// The inode of the socket that listens on a port, from /proc/net; 0 where there is none.
std::uint64_t socket_inode(Transport transport, std::uint16_t port) {
  const std::string_view name = transport == Transport::tcp ? "tcp" : "udp";
  for (const char* version : {"", "6"}) {
    std::ifstream file(fmt::format("/proc/net/{}{}", name, version));
    std::string line;
    std::getline(file, line);
    while (std::getline(file, line)) {
      std::istringstream fields(line);
      std::string slot, local, remote, state, skipped;
      std::uint64_t inode = 0;
      fields >> slot >> local >> remote >> state >> skipped >> skipped >> skipped >> skipped >>
          skipped >> inode;
      const bool is_open = transport == Transport::udp || state == "0A";
      if (is_open && local.ends_with(fmt::format(":{:04X}", port))) return inode;
    }
  }
  return 0;
}

}  // namespace

Expected<ProcessId> launch(const Launch& what) {
  const int log = open(what.log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (log < 0) return fail(ErrorCode::permission_denied, what.log_path, "cannot be written", errno);
  int failure[2];
  if (pipe2(failure, O_CLOEXEC) != 0) return fail(ErrorCode::internal, "pipe", "no pipe", errno);
  std::vector<std::string> argument_texts{what.program};
  argument_texts.insert(argument_texts.end(), what.arguments.begin(), what.arguments.end());
  std::vector<std::string> environment_texts = merged_environment(what);
  const std::vector<char*> arguments = pointers(argument_texts);
  const std::vector<char*> environment = pointers(environment_texts);

  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) {
    become(what.program.c_str(), arguments.data(), environment.data(), log, failure[1],
           what.is_detached, parent);
  }
  const int fork_error = errno;
  close(log);
  close(failure[1]);
  int exec_error = 0;
  const ssize_t got = pid < 0 ? 0 : read(failure[0], &exec_error, sizeof exec_error);
  close(failure[0]);
  if (pid < 0) return fail(ErrorCode::internal, "fork", "no new process", fork_error);
  if (got > 0) {
    waitpid(pid, nullptr, 0);
    return fail(exec_error == ENOENT ? ErrorCode::not_found : ErrorCode::permission_denied,
                what.program, "cannot be started", exec_error);
  }
  const auto stat = stat_of(pid);
  return ProcessId{pid, stat ? stat->start_ticks : 0};
}

bool is_running(const ProcessId& process) {
  const auto stat = stat_of(process.pid);
  return stat && stat->start_ticks == process.start_ticks && stat->state != 'Z' &&
         stat->state != 'X';
}

std::string program_of(pid_t pid) {
  auto name = read_file(fmt::format("/proc/{}/comm", pid));
  if (!name) return {};
  while (name->ends_with('\n')) name->pop_back();
  return *name;
}

std::size_t stop_all(const std::vector<ProcessId>& processes, std::chrono::milliseconds grace) {
  const auto any_running = [&] {
    return std::any_of(processes.begin(), processes.end(), is_running);
  };
  for (const ProcessId& process : processes) {
    if (is_running(process)) kill(process.pid, SIGTERM);
  }
  const auto deadline = std::chrono::steady_clock::now() + grace;
  while (any_running() && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  std::size_t killed = 0;
  for (const ProcessId& process : processes) {
    if (!is_running(process)) continue;
    kill(process.pid, SIGKILL);
    ++killed;
  }
  return killed;
}

std::optional<std::string> ending_of_child(pid_t pid) {
  int status = 0;
  if (waitpid(pid, &status, WNOHANG) != pid) return std::nullopt;
  if (WIFSIGNALED(status))
    return fmt::format("signal {} ({})", WTERMSIG(status), strsignal(WTERMSIG(status)));
  return fmt::format("exit code {}", WEXITSTATUS(status));
}

bool is_port_free(Transport transport, std::uint16_t port) {
  const bool is_tcp = transport == Transport::tcp;
  const int descriptor = socket(AF_INET, (is_tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
  const int on = 1;
  if (is_tcp) setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool is_free =
      bind(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
      (!is_tcp || listen(descriptor, 1) == 0);
  close(descriptor);
  return is_free;
}

std::string port_holder(Transport transport, std::uint16_t port) {
  const std::uint64_t inode = socket_inode(transport, port);
  if (inode == 0) return {};
  const std::string wanted = fmt::format("socket:[{}]", inode);
  // Processes and descriptors come and go while we look: a step that fails ends its walk.
  std::error_code error;
  for (fs::directory_iterator process("/proc", error), end; !error && process != end;
       process.increment(error)) {
    const std::string pid = process->path().filename().string();
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    std::error_code gone;
    for (fs::directory_iterator descriptor(process->path() / "fd", gone), last;
         !gone && descriptor != last; descriptor.increment(gone)) {
      std::error_code unread;
      if (fs::read_symlink(descriptor->path(), unread) == wanted) {
        return fmt::format("{} (pid {})", program_of(std::stoi(pid)), pid);
      }
    }
  }
  return {};
}

}  // namespace corelay::tools
