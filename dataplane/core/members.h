/// A set of the members of a topic, by peer index: one bit each.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "dataplane/command.h"

namespace corelay::dataplane {

class Members {
 public:
  void set(PeerIndex peer) noexcept { words_[peer / 64] |= std::uint64_t{1} << (peer % 64); }
  void clear(PeerIndex peer) noexcept {
    if (peer < members_max) words_[peer / 64] &= ~(std::uint64_t{1} << (peer % 64));
  }
  [[nodiscard]] bool has(PeerIndex peer) const noexcept {
    return peer < members_max && (words_[peer / 64] >> (peer % 64) & 1) != 0;
  }
  [[nodiscard]] std::size_t count() const noexcept {
    std::size_t sum = 0;
    for (const std::uint64_t word : words_) sum += static_cast<std::size_t>(std::popcount(word));
    return sum;
  }
  /// The first from `peer` on, then from the start; peer_none where there is none.
  [[nodiscard]] PeerIndex next(PeerIndex peer) const noexcept {
    const std::size_t start = peer < members_max ? peer : 0;
    std::uint64_t word = words_[start / 64] & ~std::uint64_t{0} << (start % 64);
    for (std::size_t i = 0; i <= words_.size(); ++i) {
      const std::size_t at = (start / 64 + i) % words_.size();
      if (i != 0) word = words_[at];
      if (word != 0) return static_cast<PeerIndex>(at * 64 + static_cast<std::size_t>(std::countr_zero(word)));
    }
    return peer_none;
  }

 private:
  std::array<std::uint64_t, members_max / 64> words_{};
};

}  // namespace corelay::dataplane
