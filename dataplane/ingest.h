/// From a payload to a PreparedMessage: geometry, hashes, signature. Runs on control threads; touches no shared state.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "codec/expected.h"
#include "dataplane/message.h"
#include "dataplane/params.h"

namespace corelay::dataplane {

/// Signs `message` with the publisher's Ed25519 key.
using Signer = std::function<Signature(std::span<const std::uint8_t> message)>;

struct Geometry {
  std::uint16_t k = 1;
  std::uint16_t shard_bytes = 0;
  std::uint16_t generations = 1;
};

/// The geometry for a payload: one single frame while header and payload fit the MTU, else generations of about
/// `shards_target` shards, as even as can be, each vector-form frame within the MTU. generations == 0 when
/// no valid geometry holds the payload at this MTU.
[[nodiscard]] Geometry choose_geometry(std::size_t size_bytes, std::size_t topic_bytes,
                                       const RelayParams& params) noexcept;

/// Builds and signs a message. Errors: too_large (names the limit and the setting), invalid_argument (topic empty or
/// over 255 bytes). Cost: two SHA-256 passes over the payload and one signature.
[[nodiscard]] Expected<PreparedMessage> prepare_message(std::vector<std::uint8_t> payload, std::string_view topic,
                                                        const PublisherKey& publisher, std::uint64_t sequence,
                                                        std::int64_t timestamp_ns, const RelayParams& params,
                                                        const Signer& sign);

}  // namespace corelay::dataplane
