#include "sim/routers.h"

#include <array>

namespace corelay::sim {

std::span<const RouterEntry> router_entries() {
  static const std::array entries{
      RouterEntry{"corelay", "this product's relay and mesh", make_corelay_router},
  };
  return entries;
}

}  // namespace corelay::sim
