// Processes and ports, with /bin/sh and sleep as the programs.
#include "tools/corelay/process.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

namespace corelay::tools {
namespace {

using std::chrono::milliseconds;

class ProcessTest : public ::testing::Test {
 protected:
  ProcessTest() {
    log_ = std::filesystem::temp_directory_path() /
           ("corelay_process_test." + std::to_string(getpid()));
  }
  ~ProcessTest() override { std::filesystem::remove(log_); }

  Launch shell(const std::string& script) const {
    Launch what;
    what.program = "/bin/sh";
    what.arguments = {"-c", script};
    what.log_path = log_;
    return what;
  }

  std::string log_;
};

std::string waited_ending(pid_t pid) {
  for (int i = 0; i < 1000; ++i) {
    if (const auto ending = ending_of_child(pid)) return *ending;
    std::this_thread::sleep_for(milliseconds(5));
  }
  return "still running";
}

TEST_F(ProcessTest, EnvironmentAndOutputReachTheChild) {
  Launch what = shell("echo $COLOUR; exit 7");
  what.environment = {{"COLOUR", "green"}};
  const auto process = launch(what);
  ASSERT_TRUE(process);
  EXPECT_EQ(waited_ending(process->pid), "exit code 7");
  std::ifstream log(log_);
  std::string line;
  std::getline(log, line);
  EXPECT_EQ(line, "green");
}

TEST_F(ProcessTest, AMissingProgramIsNamed) {
  Launch what = shell("");
  what.program = "/nowhere/corelayd";
  const auto process = launch(what);
  ASSERT_FALSE(process);
  EXPECT_EQ(process.error().code, ErrorCode::not_found);
  EXPECT_EQ(process.error().where, "/nowhere/corelayd");
}

TEST_F(ProcessTest, StopAsksFirst) {
  const auto process = launch(shell("trap 'exit 0' TERM; while :; do sleep 0.01; done"));
  ASSERT_TRUE(process);
  EXPECT_TRUE(is_running(*process));
  std::this_thread::sleep_for(milliseconds(100));  // the trap is set
  EXPECT_EQ(stop_all({*process}, milliseconds(5000)), 0u);
  EXPECT_FALSE(is_running(*process));
  EXPECT_EQ(waited_ending(process->pid), "exit code 0");
}

TEST_F(ProcessTest, StopKillsWhatDoesNotListen) {
  const auto process = launch(shell("trap '' TERM; while :; do sleep 0.01; done"));
  ASSERT_TRUE(process);
  std::this_thread::sleep_for(milliseconds(100));
  EXPECT_EQ(stop_all({*process}, milliseconds(100)), 1u);
  EXPECT_EQ(waited_ending(process->pid), "signal 9 (Killed)");
}

TEST_F(ProcessTest, AnotherProcessUnderTheSameIdIsNotOurs) {
  const auto process = launch(shell("exec sleep 30"));
  ASSERT_TRUE(process);
  const ProcessId reused{process->pid, process->start_ticks + 1};
  EXPECT_FALSE(is_running(reused));
  EXPECT_EQ(stop_all({reused}, milliseconds(10)), 0u);
  EXPECT_TRUE(is_running(*process));
  stop_all({*process}, milliseconds(1000));
  EXPECT_EQ(waited_ending(process->pid), "signal 15 (Terminated)");
}

TEST_F(ProcessTest, ProgramNamesAreRead) {
  EXPECT_EQ(program_of(getpid()), "command_line_te");  // as much of it as the system keeps
  EXPECT_EQ(program_of(0), "");
}

TEST(Ports, ATakenPortIsSeenAndItsHolderNamed) {
  const int descriptor = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  ASSERT_EQ(bind(descriptor, reinterpret_cast<sockaddr*>(&address), length), 0);
  ASSERT_EQ(listen(descriptor, 1), 0);
  ASSERT_EQ(getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &length), 0);
  const std::uint16_t port = ntohs(address.sin_port);
  EXPECT_FALSE(is_port_free(Transport::tcp, port));
  EXPECT_EQ(port_holder(Transport::tcp, port),
            "command_line_te (pid " + std::to_string(getpid()) + ")");
  close(descriptor);
  EXPECT_TRUE(is_port_free(Transport::tcp, port));
}

}  // namespace
}  // namespace corelay::tools
