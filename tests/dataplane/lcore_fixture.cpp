#include "tests/dataplane/lcore_fixture.h"

#include <sodium.h>

#include <algorithm>
#include <cstring>

#include "codec/check.h"
#include "codec/rng.h"

namespace corelay::dataplane {

TestPublisher::TestPublisher() {
  CHECK(sodium_init() >= 0);
  std::array<std::uint8_t, crypto_sign_SEEDBYTES> seed{};
  seed.fill(42);
  static_assert(crypto_sign_SECRETKEYBYTES == 64 && crypto_sign_PUBLICKEYBYTES == 32);
  CHECK(crypto_sign_seed_keypair(public_key_.data(), secret_key_.data(), seed.data()) == 0);
}

std::unique_ptr<PreparedMessage> TestPublisher::prepare(std::vector<std::uint8_t> payload, std::string_view topic,
                                                        const RelayParams& params) {
  const Signer sign = [this](std::span<const std::uint8_t> bytes) {
    Signature signature;
    CHECK(crypto_sign_detached(signature.data(), nullptr, bytes.data(), bytes.size(), secret_key_.data()) == 0);
    return signature;
  };
  constexpr std::int64_t timestamp_ns = 1'700'000'000'000'000'000;
  auto prepared = prepare_message(std::move(payload), topic, public_key_, sequence_++, timestamp_ns, params, sign);
  CHECK(prepared);
  return std::make_unique<PreparedMessage>(std::move(*prepared));
}

std::vector<std::uint8_t> random_payload(std::size_t bytes, std::uint64_t seed) {
  Rng rng(seed);
  std::vector<std::uint8_t> payload(bytes);
  for (std::uint8_t& byte : payload) byte = static_cast<std::uint8_t>(rng.next());
  return payload;
}

std::pair<SessionKeys, SessionKeys> session_pair(std::uint64_t seed) {
  Rng rng(seed);
  const auto direction = [&rng] {
    DirectionKeys keys;
    keys.key_id = static_cast<std::uint32_t>(rng.next());
    for (std::uint8_t& byte : keys.key) byte = static_cast<std::uint8_t>(rng.next());
    for (std::uint8_t& byte : keys.iv) byte = static_cast<std::uint8_t>(rng.next());
    return keys;
  };
  const DirectionKeys there = direction();
  const DirectionKeys back = direction();
  return {SessionKeys{there, back}, SessionKeys{back, there}};
}

Endpoint loopback(std::uint16_t port) {
  return {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1}, port};
}

RelayParams small_params() {
  RelayParams params;
  params.peers_max = 8;
  params.messages_max = 64;
  params.large_messages_max = 16;
  params.cells_max = 8192;
  params.generations_max = 256;
  params.seen_max = 4096;
  params.topics_max = 16;
  return params;
}

RouteSet route_to(TopicHash topic, std::vector<PeerIndex> next_hops, bool deliver) {
  RouteSet route;
  route.topic = topic;
  route.deliver = deliver;
  route.count = static_cast<std::uint8_t>(next_hops.size());
  std::copy(next_hops.begin(), next_hops.end(), route.next_hops.begin());
  return route;
}

}  // namespace corelay::dataplane
