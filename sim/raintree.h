/// RainTree's tree (Pocket Network): everybody knows everybody, in one sorted ring; a node at level
/// l sends to those a third and two thirds along a list that shrinks by a third with each level
/// down, then goes on at level l - 1 itself, as do they.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace corelay::sim {

/// Levels of a tree of `nodes`: log to base 3, rounded up.
[[nodiscard]] std::uint32_t raintree_levels(std::size_t nodes);

/// How far along the ring the two targets at `level` are from the sender; 0 is the sender itself.
[[nodiscard]] std::array<std::size_t, 2> raintree_targets(std::size_t nodes, std::uint32_t level);

}  // namespace corelay::sim
