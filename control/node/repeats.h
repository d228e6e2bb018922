/// Keeps what happens again and again from filling the log: each text is said once in a while, with how often it came
/// in between.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>

#include "dataplane/instant.h"

namespace corelay::node {

class Repeats {
 public:
  /// A text is due again `pause` after it was said. At most `texts_max` are remembered; then all are forgotten.
  Repeats(dataplane::Duration pause, std::size_t texts_max) : pause_(pause), texts_max_(texts_max) {}

  /// How often `text` was held back since it was last said, where it is due now; nothing where it is not.
  [[nodiscard]] std::optional<std::uint64_t> due(const std::string& text, dataplane::Instant now) {
    if (texts_.size() >= texts_max_ && !texts_.contains(text)) texts_.clear();
    const auto [at, is_new] = texts_.try_emplace(text, Said{now, 0});
    if (is_new) return 0;
    Said& said = at->second;
    if (now - said.at < pause_) {
      ++said.held_back;
      return std::nullopt;
    }
    const std::uint64_t held_back = said.held_back;
    said = {now, 0};
    return held_back;
  }

 private:
  struct Said {
    dataplane::Instant at;
    std::uint64_t held_back = 0;
  };
  dataplane::Duration pause_;
  std::size_t texts_max_;
  std::unordered_map<std::string, Said> texts_;
};

}  // namespace corelay::node
