// Messages whose bytes somebody changes on the way: what is true comes through, and blame falls on nobody honest.
#include <gtest/gtest.h>

#include "tests/dataplane/relay_liar.h"

namespace corelay::dataplane::test {
namespace {

TEST(RelaySpoilt, ChangedPaddingDoesNotCondemnTheTrueHeader) {
  Network network = around_a_relay();
  Liar liar(network, 2);
  Liar honest(network, 0);
  const auto payload = bytes_of(100'000, 1);
  const PreparedMessage real = honest.prepare(payload);
  const std::size_t padded_bytes = real.header.k * std::size_t{real.header.shard_bytes} * real.header.generations;
  ASSERT_GT(padded_bytes, payload.size());
  PreparedMessage bare = real;
  bare.digests.clear();
  auto padded = payload;
  padded.resize(padded_bytes);
  padded.back() = 1;
  liar.announce(1, bare);
  liar.give_all(1, bare, padded);
  network.run(milliseconds(100));
  EXPECT_EQ(network.nodes()[1].delivered.count(real.header.id), 0u);
  StatusFrame full;
  full.tag = real.tag;
  full.state = StatusState::full;
  honest.announce(1, real);
  honest.status(1, full);
  network.run(milliseconds(5));
  honest.give_all(1, real, payload);
  network.run(milliseconds(100));
  EXPECT_EQ(network.nodes()[1].delivered.count(real.header.id), 1u);
  EXPECT_EQ(count(network, 1, Counter::drop_header_false_total), 0u);
}

TEST(RelaySpoilt, ARelayOfManyWrongGenerationsIsBlamedOnce) {
  Network network(2, plain());
  network.join(0, 1);
  network.route_all("t");
  Liar liar(network, 0);
  const auto payload = bytes_of(500'000, 1);
  const PreparedMessage message = liar.prepare(payload);
  ASSERT_GT(message.header.generations, 4);
  liar.announce(1, message);
  liar.give_all(1, message, bytes_of(500'000, 2));
  network.run(milliseconds(100));
  EXPECT_EQ(count(network, 1, Counter::drop_digest_total), message.header.generations);
  EXPECT_EQ(network.nodes()[1].faults.size(), 1u);
}

}  // namespace
}  // namespace corelay::dataplane::test
