/// Finds one peer id at two addresses in turn: two nodes that run with the same key.
#pragma once

#include <cstddef>
#include <string>
#include <unordered_map>
#include <utility>

#include "dataplane/instant.h"

namespace corelay::node {

class AddressSwaps {
 public:
  /// Back at the address before the last one within `window` is a swap: a node that moves does not return so soon. At
  /// most `peers_max` are remembered; then all are forgotten.
  AddressSwaps(dataplane::Duration window, std::size_t peers_max) : window_(window), peers_max_(peers_max) {}

  /// The address that `peer` left and has now come back from, where it swaps; empty where it does not.
  [[nodiscard]] std::string note(const std::string& peer, const std::string& address, dataplane::Instant now) {
    if (peers_.size() >= peers_max_ && !peers_.contains(peer)) peers_.clear();
    const auto [at, is_new] = peers_.try_emplace(peer, Seen{address, {}, now});
    Seen& seen = at->second;
    if (is_new || seen.last == address) return {};
    const bool is_swap = seen.before == address && now - seen.moved_at < window_;
    seen.before = std::exchange(seen.last, address);
    seen.moved_at = now;
    return is_swap ? seen.before : std::string();
  }

 private:
  struct Seen {
    std::string last;
    std::string before;  // empty until it has moved
    dataplane::Instant moved_at;
  };
  dataplane::Duration window_;
  std::size_t peers_max_;
  std::unordered_map<std::string, Seen> peers_;
};

}  // namespace corelay::node
