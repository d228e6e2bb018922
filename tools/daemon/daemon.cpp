#include "tools/daemon/daemon.h"

#include <unistd.h>

#include <thread>

namespace corelay {
namespace {

// For everything after the drain. Sanitizers slow it down many times, and look for leaks at its end.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::chrono::milliseconds stop_time{60'000};
#else
constexpr std::chrono::milliseconds stop_time{3000};
#endif

}  // namespace

// A thread of its own, since it is the others that may be late.
void end_in_time(const Stop& stop) {
  std::thread([time = stop.drain + stop_time, line = std::string(stop.program) + ": the stop hung after " +
                                                     stop.setting + "; ended by force, exit code 1\n"] {
    std::this_thread::sleep_for(time);
    static_cast<void>(write(STDERR_FILENO, line.data(), line.size()) < 0);
    _exit(exit_failed);
  }).detach();
}

}  // namespace corelay
