/// The metrics of a node as Prometheus text: corelay_* from the data plane's counters (one series a lane) and from
/// control, and the published node's optimum_* names for those that mean the same here.
#pragma once

#include <string>

namespace corelay::node {

class Node;

/// On the control thread.
[[nodiscard]] std::string metrics_text(const Node& node);

}  // namespace corelay::node
