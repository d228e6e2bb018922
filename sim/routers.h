/// Every router of propagation runs, by name: the product's relay, and its rivals on the same
/// network.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "sim/network.h"

namespace corelay::sim {

using RouterMaker = std::unique_ptr<Router> (*)(Network& network);

struct RouterEntry {
  std::string_view name;
  std::string_view about;
  RouterMaker make;
  bool is_direct = false;  // nodes send to each other whether the mesh links them or not
};
[[nodiscard]] std::span<const RouterEntry> router_entries();

[[nodiscard]] std::unique_ptr<Router> make_corelay_router(Network& network);
[[nodiscard]] std::unique_ptr<Router> make_corelay_two_hop(Network& network);
[[nodiscard]] std::unique_ptr<Router> make_gossip_v11(Network& network);
[[nodiscard]] std::unique_ptr<Router> make_gossip_v11_sequential(Network& network);
[[nodiscard]] std::unique_ptr<Router> make_gossip_v12(Network& network);
[[nodiscard]] std::unique_ptr<Router> make_gossip_v12_sequential(Network& network);
[[nodiscard]] std::unique_ptr<Router> make_gossip_v12_lazy(Network& network);
[[nodiscard]] std::unique_ptr<Router> make_gossip_parts(Network& network);
[[nodiscard]] std::unique_ptr<Router> make_rs_bitmap(Network& network);
[[nodiscard]] std::unique_ptr<Router> make_rs_bitmap_tuned(Network& network);
[[nodiscard]] std::unique_ptr<Router> make_rs_bitmap_64(Network& network);
[[nodiscard]] std::unique_ptr<Router> make_raintree(Network& network);
[[nodiscard]] std::unique_ptr<Router> make_raintree_bare(Network& network);
[[nodiscard]] std::unique_ptr<Router> make_two_hop(Network& network);
[[nodiscard]] std::unique_ptr<Router> make_oracle(Network& network);
[[nodiscard]] std::unique_ptr<Router> make_star(Network& network);
[[nodiscard]] std::unique_ptr<Router> make_bound(Network& network);

}  // namespace corelay::sim
