/// Publishers, sessions and payloads for tests that run whole lcores.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/command.h"
#include "dataplane/ingest.h"
#include "dataplane/params.h"

namespace corelay::dataplane {

/// One Ed25519 key pair, the same in every run.
class TestPublisher {
 public:
  TestPublisher();
  [[nodiscard]] std::unique_ptr<PreparedMessage> prepare(std::vector<std::uint8_t> payload, std::string_view topic,
                                                         const RelayParams& params);

 private:
  PublisherKey public_key_{};
  std::array<std::uint8_t, 64> secret_key_{};
  std::uint64_t sequence_ = 1;
};

/// Bytes that depend on the seed alone.
[[nodiscard]] std::vector<std::uint8_t> random_payload(std::size_t bytes, std::uint64_t seed);

/// The keys of one session as each end sees it, the same for the same seed.
[[nodiscard]] std::pair<SessionKeys, SessionKeys> session_pair(std::uint64_t seed);

[[nodiscard]] Endpoint loopback(std::uint16_t port);

/// Settings small enough for many lcores in one test.
[[nodiscard]] RelayParams small_params();

[[nodiscard]] RouteSet route_to(TopicHash topic, std::vector<PeerIndex> next_hops, bool deliver);

}  // namespace corelay::dataplane
