/// The payload of the sidecar's command 4, several topics at once. The published node's form is not documented, so both
/// that a client may come upon are read.
#pragma once

#include <string>
#include <vector>

namespace corelay::node {

/// Topics out of a JSON array of strings (anything else in it is passed over) or a comma-separated list, spaces around
/// the names left out.
[[nodiscard]] std::vector<std::string> parse_topic_list(const std::string& text);

}  // namespace corelay::node
