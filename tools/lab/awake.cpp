#include "tools/lab/awake.h"

#include <pthread.h>
#include <sched.h>

#include <cstddef>
#include <stop_token>

namespace corelay::lab {
namespace {

void spin(const std::stop_token& stop, std::size_t core) {
  const sched_param none{};
  if (::sched_setscheduler(0, SCHED_IDLE, &none) != 0) return;  // never at anybody's cost
  cpu_set_t own;
  CPU_ZERO(&own);
  CPU_SET(core, &own);
  static_cast<void>(::sched_setaffinity(0, sizeof own, &own));  // refused where the core is not ours: then anywhere
  while (!stop.stop_requested()) {
  }
}

}  // namespace

Awake::Awake() {
  for (std::size_t core = 0; core < std::thread::hardware_concurrency(); ++core) {
    spinners_.emplace_back([core](const std::stop_token& stop) { spin(stop, core); });
  }
}

/// On busy cores they would never have their turn to end.
Awake::~Awake() {
  const sched_param none{};
  for (std::jthread& spinner : spinners_) {
    spinner.request_stop();
    static_cast<void>(::pthread_setschedparam(spinner.native_handle(), SCHED_OTHER, &none));
  }
}

}  // namespace corelay::lab
