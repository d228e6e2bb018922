#include "dataplane/lcore/pinning.h"

#include <arpa/inet.h>
#include <hwloc.h>
#include <ifaddrs.h>
#include <net/if.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <memory>

namespace corelay::dataplane {
namespace {

struct DestroyTopology {
  void operator()(hwloc_topology* t) const noexcept { hwloc_topology_destroy(t); }
};
using Topology = std::unique_ptr<hwloc_topology, DestroyTopology>;

struct FreeAddresses {
  void operator()(ifaddrs* a) const noexcept { freeifaddrs(a); }
};

/// Loads this machine, or the one `synthetic` describes. Null when hwloc refuses.
Topology load_topology(const char* synthetic) {
  hwloc_topology_t raw = nullptr;
  if (hwloc_topology_init(&raw) != 0) return nullptr;
  Topology topology(raw);
  if (synthetic != nullptr && hwloc_topology_set_synthetic(raw, synthetic) != 0) return nullptr;
  if (hwloc_topology_load(raw) != 0) return nullptr;
  return topology;
}

std::vector<Core> cores_of(hwloc_topology_t topology) {
  std::vector<Core> cores;
  // A machine whose cores are unknown to hwloc (some virtual ones) still has its hardware threads.
  const bool has_cores = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE) > 0;
  const hwloc_obj_type_t type = has_cores ? HWLOC_OBJ_CORE : HWLOC_OBJ_PU;
  for (hwloc_obj_t o = hwloc_get_next_obj_by_type(topology, type, nullptr); o != nullptr;
       o = hwloc_get_next_obj_by_type(topology, type, o)) {
    const int cpu = hwloc_bitmap_first(o->cpuset);
    const int node = o->nodeset == nullptr ? 0 : hwloc_bitmap_first(o->nodeset);
    if (cpu >= 0) cores.push_back({cpu, std::max(node, 0)});
  }
  return cores;
}

Expected<std::vector<Core>> list(const char* synthetic) {
  const Topology topology = load_topology(synthetic);
  if (!topology) return fail(ErrorCode::internal, "read machine topology", "hwloc refused", errno);
  return cores_of(topology.get());
}

/// The interface that has `address`, or nothing.
std::string interface_of(const std::string& address) {
  ifaddrs* raw = nullptr;
  if (getifaddrs(&raw) != 0) return {};
  const std::unique_ptr<ifaddrs, FreeAddresses> all(raw);
  for (const ifaddrs* a = raw; a != nullptr; a = a->ifa_next) {
    if (a->ifa_addr == nullptr) continue;
    char text[INET6_ADDRSTRLEN] = "";
    if (a->ifa_addr->sa_family == AF_INET) {
      inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(a->ifa_addr)->sin_addr, text, sizeof text);
    } else if (a->ifa_addr->sa_family == AF_INET6) {
      inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6*>(a->ifa_addr)->sin6_addr, text, sizeof text);
    }
    if (address == text) return a->ifa_name;
  }
  return {};
}

}  // namespace

Expected<std::vector<Core>> list_cores() { return list(nullptr); }

Expected<std::vector<Core>> list_synthetic_cores(const std::string& description) {
  return list(description.c_str());
}

// From sysfs and not from hwloc's I/O objects: for those hwloc loads plug-ins that take long and leak.
int nic_numa_node(const std::string& address) {
  const std::string name = interface_of(address);
  if (name.empty()) return -1;
  int node = -1;
  std::ifstream("/sys/class/net/" + name + "/device/numa_node") >> node;
  return node;
}

std::vector<int> plan_lcores(std::span<const Core> cores, std::size_t lcores, int nic_node) {
  std::vector<Core> free(cores.begin(), cores.end());
  if (free.size() >= 2) free.erase(free.begin());
  std::stable_partition(free.begin(), free.end(), [nic_node](const Core& c) { return c.numa_node == nic_node; });
  std::vector<int> plan(lcores, -1);
  for (std::size_t i = 0; i < lcores && i < free.size(); ++i) plan[i] = free[i].cpu;
  return plan;
}

Expected<void> pin_this_thread(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(cpu), &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) {
    return fail(ErrorCode::unavailable, "pin lcore to cpu " + std::to_string(cpu), "refused", errno);
  }
  return {};
}

}  // namespace corelay::dataplane
