/// Which core each lcore runs on. Reading the machine (hwloc) and deciding are apart: the plan is a pure function of
/// what was read, tested on synthetic machines.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "codec/expected.h"

namespace corelay::dataplane {

/// One physical core this process may use, by its first hardware thread; SMT siblings are not listed.
struct Core {
  int cpu = -1;        // as the operating system numbers hardware threads
  int numa_node = 0;
};

/// The cores of this machine, in the order of its topology. Errors: internal when hwloc cannot read it.
[[nodiscard]] Expected<std::vector<Core>> list_cores();

/// The cores of a machine described as hwloc describes synthetic ones ("pack:2 numa:1 core:4 pu:2").
[[nodiscard]] Expected<std::vector<Core>> list_synthetic_cores(const std::string& description);

/// The NUMA node of the network card that owns `address` (digits); -1 when there is none, no such address, or the
/// system does not say.
[[nodiscard]] int nic_numa_node(const std::string& address);

/// The cpu of each lcore. The first core is left to control where there are two or more; cores of `nic_node` come
/// first; an lcore for which no core is left is not pinned (-1), since sharing one core would stall both.
[[nodiscard]] std::vector<int> plan_lcores(std::span<const Core> cores, std::size_t lcores, int nic_node);

/// Binds the calling thread. Errors: unavailable with the system's reason.
[[nodiscard]] Expected<void> pin_this_thread(int cpu);

}  // namespace corelay::dataplane
