// choose_geometry() over sizes from 0 to 64 MiB, MTUs and targets: always tight, always within the MTU, generations of
// equal k near the target, little padding.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <vector>

#include "codec/coefficients.h"
#include "dataplane/core/frame.h"
#include "dataplane/core/session_table.h"
#include "dataplane/ingest.h"

namespace corelay::dataplane {
namespace {

RelayParams params_of(std::size_t path_mtu_bytes, std::size_t shards_target) {
  RelayParams params;
  params.path_mtu_bytes = static_cast<std::uint16_t>(path_mtu_bytes);
  params.shards_target = static_cast<std::uint16_t>(shards_target);
  return params;
}

std::size_t single_bytes(std::size_t size, std::size_t topic) {
  return datagram_overhead_bytes + frame_prefix_bytes + 50 + topic + 64 + size;
}

/// What is wrong with the geometry of a message, or "".
std::string fault_of(std::size_t size, std::size_t topic, const RelayParams& params) {
  const Geometry g = choose_geometry(size, topic, params);
  const std::size_t k = g.k;
  const std::size_t shard = g.shard_bytes;
  const std::size_t mtu = params.path_mtu_bytes;
  if (single_bytes(size, topic) <= mtu && size <= shard_wire_bytes_max) {
    return k == 1 && g.generations == 1 && shard == size ? "" : "fits a single frame";
  }
  if (k == 1 && g.generations == 1) return "does not fit a single frame";
  if (k < 1 || k > k_wire_max) return "k";
  if (g.generations < 1 || g.generations > generations_wire_max) return "generations";
  if (shard < 64 || shard % 64 != 0 || shard > shard_wire_bytes_max) return "shard bytes";
  if (datagram_overhead_bytes + frame_prefix_bytes + codec::packed_bytes(k) + shard > mtu) return "over the MTU";
  if ((g.generations - 1u) * k * shard >= size) return "last generation empty";
  if (g.generations * k * shard < size) return "too small";
  // One step shorter no longer holds the message: the padding is below one row of 64 bytes over all shards.
  if (shard > 64 && g.generations * k * (shard - 64) >= size) return "padding";
  return "";
}

TEST(Geometry, SizesAroundEveryBound) {
  for (const std::size_t mtu : {576, 1280, 1400, 1972}) {
    for (const std::size_t target : {1, 2, 16, 64, 128, 1000}) {
      const RelayParams params = params_of(mtu, target);
      for (const std::size_t topic : {1, 16, 255}) {
        for (std::size_t size = 0; size < 6000; size += 1) {
          ASSERT_EQ(fault_of(size, topic, params), "") << size << " bytes, MTU " << mtu << ", target " << target;
        }
      }
    }
  }
}

RC_GTEST_PROP(GeometryProperty, IsTightAtEverySize, ()) {
  const std::size_t bits = *rc::gen::inRange<std::size_t>(0, 27);
  const std::size_t size = *rc::gen::inRange<std::size_t>(0, (std::size_t{1} << bits) + 1);
  const std::size_t topic = *rc::gen::inRange<std::size_t>(1, 256);
  // Below this MTU 1,024 generations of 128 shards do not hold 64 MiB.
  const RelayParams params =
      params_of(*rc::gen::inRange<std::size_t>(704, 1973), *rc::gen::inRange<std::size_t>(1, 129));
  RC_ASSERT(size <= message_bytes_limit);
  RC_ASSERT(fault_of(size, topic, params) == "");
}

TEST(Geometry, ShardsAreNearTheTarget) {
  const RelayParams params = params_of(1400, 64);
  for (std::size_t size = 200'000; size <= message_bytes_limit; size += 77'773) {
    const Geometry g = choose_geometry(size, 8, params);
    EXPECT_GE(g.k, 43) << size;
    EXPECT_LE(g.k, 102) << size;
    if (size > (1u << 20)) {
      EXPECT_GE(g.k, 58) << size;
      EXPECT_LE(g.k, 70) << size;
    }
  }
}

TEST(Geometry, KnownSizes) {
  const RelayParams params = params_of(1400, 64);
  const auto check = [&](std::size_t size, unsigned k, unsigned shard, unsigned generations) {
    const Geometry g = choose_geometry(size, 8, params);
    EXPECT_EQ(g.k, k) << size;
    EXPECT_EQ(g.shard_bytes, shard) << size;
    EXPECT_EQ(g.generations, generations) << size;
  };
  check(0, 1, 0, 1);
  check(1222, 1, 1222, 1);
  check(1223, 2, 640, 1);
  check(1280, 2, 640, 1);
  check(2561, 3, 896, 1);
  check(64 * 1280, 64, 1280, 1);
  check(128 * 1280, 64, 1280, 2);
  check(64u << 20, 65, 1280, 807);
}

TEST(Geometry, SaysWhereNothingFits) {
  EXPECT_EQ(choose_geometry(message_bytes_limit + 1, 8, params_of(1400, 64)).generations, 0);
  EXPECT_EQ(choose_geometry(message_bytes_limit, 8, params_of(576, 64)).generations, 0);
  EXPECT_EQ(choose_geometry(5000, 8, params_of(100, 64)).generations, 0);
  // 56 MiB is the most that 1,024 generations of 128 shards of 448 bytes hold.
  EXPECT_EQ(choose_geometry(56u << 20, 8, params_of(576, 64)).generations, 1024);
  EXPECT_EQ(choose_geometry((56u << 20) + 1, 8, params_of(576, 64)).generations, 0);
}

}  // namespace
}  // namespace corelay::dataplane
