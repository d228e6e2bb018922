// Encode, lose, recode over several hops, decode: the shards come back, whatever the mix of packets
// on the way.
#include <algorithm>

#include "tests/codec/generation.h"
#include "tests/codec/property.h"

namespace corelay::codec {
namespace {

void choose_backend() {
  const auto list = available_backends();
  RC_ASSERT(force_backend(list[*rc::gen::inRange<std::size_t>(0, list.size())]));
}

// What a hop holds, kept as a relay keeps it: innovative packets only, and the rank that goes with
// them.
struct Hop {
  explicit Hop(std::size_t k) : receiver(k) {}

  void take(const Packet& packet, bool as_shard, std::size_t index) {
    const Absorbed absorbed =
        as_shard ? receiver.take_systematic(index, packet.payload()) : receiver.take(packet);
    if (absorbed == Absorbed::innovative) held.push_back(packet);
  }

  Receiver receiver;
  std::vector<Packet> held;
};

// The source's packets until the first hop has full rank: shards and seeds, with losses.
void feed(Rng& rng, const std::vector<Buffer>& shards, double systematic, double loss, Hop& hop) {
  const std::size_t k = shards.size();
  for (std::size_t sent = 0; !hop.receiver.decoder().is_complete(); ++sent) {
    RC_ASSERT(sent < 100 * k + 1000);
    const std::size_t index = rng.below(k);
    const bool is_shard = rng.chance(systematic);
    const Packet packet =
        is_shard ? systematic_packet(shards, index) : coded_packet(shards, rng.next());
    if (!rng.chance(loss)) hop.take(packet, is_shard, index);
  }
}

// One hop to the next. The sender recodes from what it holds at the moment, which at first is not
// full rank.
void forward(Rng& rng, const Hop& from, double loss, Hop& to) {
  const std::size_t k = from.receiver.decoder().k();
  std::vector<Packet> known;
  for (std::size_t sent = 0; !to.receiver.decoder().is_complete(); ++sent) {
    RC_ASSERT(sent < 100 * k + 1000);
    if (known.size() < from.held.size()) known.push_back(from.held[known.size()]);
    for (const Packet& packet : recoded_packets(rng, known, 1 + rng.below(5))) {
      if (!rng.chance(loss)) to.take(packet, false, 0);
    }
  }
}

void expect_identity(std::size_t k, std::size_t shard_bytes, std::size_t hops, std::uint64_t seed) {
  Rng rng(seed);
  const std::vector<Buffer> shards = random_shards(rng, k, shard_bytes);
  const double loss = rng.unit() * 0.6;
  const double systematic = rng.chance(0.3) ? 0 : rng.unit() * 0.95;
  std::vector<Hop> path;
  path.emplace_back(k);
  feed(rng, shards, systematic, loss, path[0]);
  for (std::size_t i = 1; i <= hops; ++i) {
    path.emplace_back(k);
    forward(rng, path[i - 1], loss, path[i]);
  }
  for (Hop& hop : path) {
    RC_ASSERT(hop.held.size() == k);
    RC_ASSERT(hop.receiver.decode() == shards);
  }
}

RC_GTEST_PROP(RoundTrip, IsTheIdentityForSmallGenerations, ()) {
  choose_backend();
  expect_identity(*rc::gen::inRange<std::size_t>(1, 40), *rc::gen::inRange<std::size_t>(1, 600),
                  *rc::gen::inRange<std::size_t>(0, 4), *rc::gen::arbitrary<std::uint64_t>());
}

TEST(RoundTrip, IsTheIdentityForLargeGenerations) {
  const bool held = rc::check("large generations", [] {
    if (*rc::gen::inRange(0, 10) != 0)
      return;  // a tenth of the cases, being a hundred times the work
    choose_backend();
    expect_identity(*rc::gen::inRange<std::size_t>(40, 257),
                    *rc::gen::inRange<std::size_t>(1, 1500), *rc::gen::inRange<std::size_t>(0, 3),
                    *rc::gen::arbitrary<std::uint64_t>());
  });
  EXPECT_TRUE(held);
}

TEST(RoundTrip, IsTheIdentityAtTheBounds) {
  for (const Backend backend : available_backends()) {
    ASSERT_TRUE(force_backend(backend));
    expect_identity(1, 1, 2, 1);
    expect_identity(1, shard_bytes_max, 1, 2);
    expect_identity(5, shard_bytes_max, 1, 3);
    expect_identity(k_max, 3, 1, 4);
  }
}

// The rank that the decoder reports is the rank of the matrix, found by plain elimination.
std::size_t rank_by_elimination(std::vector<Buffer> rows) {
  std::size_t rank = 0;
  for (std::size_t c = 0; !rows.empty() && c < rows[0].size() && rank < rows.size(); ++c) {
    std::size_t pivot = rank;
    while (pivot < rows.size() && rows[pivot][c] == 0) ++pivot;
    if (pivot == rows.size()) continue;
    std::swap(rows[rank], rows[pivot]);
    for (std::size_t r = rank + 1; r < rows.size(); ++r) {
      const std::uint8_t factor = product(rows[r][c], inverse(rows[rank][c]));
      for (std::size_t i = c; i < rows[r].size(); ++i) {
        rows[r][i] = static_cast<std::uint8_t>(rows[r][i] ^ product(factor, rows[rank][i]));
      }
    }
    ++rank;
  }
  return rank;
}

// Sparse vectors of few values: dependent ones are common, and pivots are taken in any order.
RC_GTEST_PROP(Rank, IsThatOfPlainEliminationAfterEveryPacket, ()) {
  choose_backend();
  const auto k = *rc::gen::inRange<std::size_t>(1, 24);
  Rng rng(*rc::gen::arbitrary<std::uint64_t>());
  const double density = rng.unit();
  Receiver receiver(k);
  std::vector<Buffer> vectors;
  for (std::size_t i = 0; i < 2 * k; ++i) {
    Packet packet{k, Buffer(k + 1)};
    for (std::size_t c = 0; c < k; ++c) {
      if (rng.chance(density)) packet.row[c] = static_cast<std::uint8_t>(rng.below(4));
    }
    vectors.emplace_back(packet.row.begin(), packet.row.end() - 1);
    const std::size_t before = receiver.decoder().rank();
    const Absorbed absorbed = receiver.take(packet);
    const std::size_t rank = rank_by_elimination(vectors);
    RC_ASSERT(receiver.decoder().rank() == rank);
    if (before == k) {
      RC_ASSERT(absorbed == Absorbed::complete);
    } else {
      RC_ASSERT(absorbed == (rank > before ? Absorbed::innovative : Absorbed::redundant));
    }
  }
}

}  // namespace
}  // namespace corelay::codec
