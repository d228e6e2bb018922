/// Topics as the data plane names them.
#pragma once

#include <string_view>

#include "dataplane/message.h"

namespace corelay::node {

/// The first 8 bytes of SHA-256(topic), little-endian (dataplane/message.h).
[[nodiscard]] dataplane::TopicHash topic_hash(std::string_view topic);

}  // namespace corelay::node
