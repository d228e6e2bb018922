#include "control/node/topic_list.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace corelay::node {

std::vector<std::string> parse_topic_list(const std::string& text) {
  std::vector<std::string> topics;
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (json.is_array()) {
    for (const auto& item : json) {
      if (item.is_string()) topics.push_back(item.get<std::string>());
    }
    return topics;
  }
  for (std::size_t from = 0; from <= text.size();) {
    const std::size_t comma = std::min(text.find(',', from), text.size());
    const std::size_t first = text.find_first_not_of(" \t\r\n", from);
    if (first < comma) {
      const std::size_t last = text.find_last_not_of(" \t\r\n", comma - 1);
      topics.push_back(text.substr(first, last - first + 1));
    }
    from = comma + 1;
  }
  return topics;
}

}  // namespace corelay::node
