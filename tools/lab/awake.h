/// Keeps the cores of this machine from falling asleep while it lives: a thread a core spins at the priority below all
/// others (SCHED_IDLE), so it takes nothing from anybody here.
///
/// A virtual machine that halts a core gives it back to its host, and gets it again when the host has time. On the
/// machine this was measured on, under a busy host, timers of an idle machine were more than 1 ms late in 1.1 % of all
/// cases, up to 40 ms; with the cores kept awake in 0.13 %. A lab's nodes sleep between packets, so it is their case.
#pragma once

#include <thread>
#include <vector>

namespace corelay::lab {

class Awake {
 public:
  Awake();
  ~Awake();
  Awake(const Awake&) = delete;
  Awake& operator=(const Awake&) = delete;

 private:
  std::vector<std::jthread> spinners_;
};

}  // namespace corelay::lab
