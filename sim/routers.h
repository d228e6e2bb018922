/// Every router of propagation runs, by name.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "sim/network.h"

namespace corelay::sim {

using RouterMaker = std::unique_ptr<Router> (*)(Network& network);

struct RouterEntry {
  std::string_view name;
  std::string_view about;
  RouterMaker make;
};
[[nodiscard]] std::span<const RouterEntry> router_entries();

/// The product's relay.
[[nodiscard]] std::unique_ptr<Router> make_corelay_router(Network& network);

}  // namespace corelay::sim
