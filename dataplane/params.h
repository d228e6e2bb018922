/// Settings of the data plane. Those of Wire must be the same on every node of a mesh: their hash is compared when a
/// session starts. The rest is local. Every bound has its unit in its name.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dataplane/instant.h"

namespace corelay::dataplane {

/// Must match across a mesh.
struct WireParams {
  std::uint16_t lanes = 1;                         // UDP ports, one an lcore: port + tag[0] % lanes
  std::uint32_t message_bytes_max = 16u << 20;     // largest payload
};

/// How messages of several shards reach their topic.
enum class Router : std::uint8_t {
  mesh,     // through a few neighbours, each recoding
  two_hop,  // from the publisher by way of each member to all others; the mesh fills gaps (core/relay_two_hop.cpp)
};

/// RelayParams::start_mult of the two-hop router, unless told otherwise: packets that are passed on, in messages.
inline constexpr double two_hop_start_mult = 1.25;

/// One relay core.
struct RelayParams {
  WireParams wire;
  std::uint8_t lane = 0;                    // which lane this core is, below wire.lanes
  std::uint16_t path_mtu_bytes = 1400;      // largest UDP payload sent, session header and tag included
  std::uint16_t shards_target = 128;        // k aimed at for large messages
  std::size_t peers_max = 128;
  std::size_t messages_max = 4096;          // live messages, complete ones kept for serving included
  std::size_t large_messages_max = 256;     // of them, those of more than one generation
  std::size_t cells_max = 131072;           // shards held, about 1.6 KiB each
  std::size_t generations_max = 4096;       // generations being decoded or served
  std::size_t seen_max = 262144;            // message tags remembered for dedupe
  std::size_t topics_max = 1024;
  std::size_t messages_per_peer_max = 256;  // incomplete messages one peer may have opened
  Duration seen_time = seconds(120);        // dedupe time
  Duration keep_time = seconds(30);         // a complete message is served this long
  Duration incomplete_time = seconds(30);   // an incomplete message without progress is dropped after this
  Duration publish_hold = seconds(30);      // a message waits this long for its first next hop
  double redundancy = 0.05;                 // epsilon of the wants: asked for beyond what is missing
  double forward_threshold = 0.0;           // share of k a relay must hold before it recodes; 0 = from the first packet
  Router router = Router::mesh;
  double start_mult = 1.0;                  // sent unasked by a publisher, over all next hops or members, in messages
  bool verify_before_forward = true;        // false: relay singles and open messages before the signature check
  std::uint64_t rate_bytes_per_second_max = 0;  // pacing cap over all peers; 0 = none
  std::uint16_t cell_shard_bytes = 1472;    // room for one shard in a cell: a multiple of 64, none is longer
  std::uint16_t shard_bytes_elided = 0;     // of each coded frame, charged to pacing though not carried (short shards)
  std::uint16_t link_frames_max = 4096;     // frames in flight on one link
};

}  // namespace corelay::dataplane
