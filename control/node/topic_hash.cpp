#include "control/node/topic_hash.h"

#include <openssl/sha.h>

#include <array>

#include "codec/bytes.h"

namespace corelay::node {

dataplane::TopicHash topic_hash(std::string_view topic) {
  std::array<std::uint8_t, 32> hash{};
  SHA256(as_bytes(topic).data(), topic.size(), hash.data());
  return load_le<std::uint64_t>(hash.data());
}

}  // namespace corelay::node
