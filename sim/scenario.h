/// What a simulated run is made of. Every field has a default that gives a small healthy mesh;
/// times are virtual and count from the start of the run. The same scenario gives the same run,
/// event for event.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "control/mesh/mesh.h"
#include "dataplane/instant.h"
#include "dataplane/params.h"

namespace corelay::sim {

using dataplane::Duration;
using dataplane::Instant;

/// The network between the nodes. A datagram waits in the sender's uplink queue, is serialised onto
/// its uplink, crosses to the receiver, and is serialised again on the receiver's downlink; a full
/// queue drops it.
struct LinkParams {
  std::uint64_t up_bytes_per_second = 12'500'000;    // of every node; 0 = no limit
  std::uint64_t down_bytes_per_second = 12'500'000;  // of every node; 0 = no limit
  std::size_t up_queue_bytes =
      1u << 20;  // bytes waiting or half sent; beyond it the newest is dropped
  std::size_t down_queue_bytes = 1u << 20;
  std::size_t packet_overhead_bytes = 60;  // 28 of IP and UDP, 32 of the datagram's header and tag
  Duration delay_min =
      dataplane::milliseconds(5);  // every pair draws its one-way delay once, the same both ways
  Duration delay_max = dataplane::milliseconds(40);
  Duration jitter{};        // added anew to each datagram, order kept
  double loss = 0;          // share of datagrams lost on the way, each by itself
  double burst_start = 0;   // Gilbert-Elliott, per direction and datagram: good to bad
  double burst_end = 0.25;  // bad to good
  double burst_loss = 1;    // share lost while bad
  double reorder = 0;       // share that waits up to reorder_delay longer, and is overtaken
  Duration reorder_delay = dataplane::milliseconds(10);
  double duplicate = 0;  // share that arrives twice
  double corrupt = 0;    // share with flipped bits; needs Scenario::real_sessions
};

/// From `from` to `until` nothing passes between the nodes with is_far set and the others. Control
/// connections across break after Scenario::connection_patience.
struct Partition {
  Instant from{};
  Instant until{};
  std::vector<bool> is_far;  // a node
};

/// The node dies at `at`, with all it held, and starts anew with the same name at `restart_at`
/// (never: with the end of the faults).
struct Crash {
  std::size_t node = 0;
  Instant at{};
  Instant restart_at = dataplane::never;
};

struct Publication {
  Instant at{};
  std::size_t node = 0;
  std::size_t size_bytes = 0;
};

/// A fault of the simulator itself, planted so that a test can see its checker fail.
enum class Planted : std::uint8_t {
  none,
  wrong_byte,         // one delivered payload is changed before it is compared
  second_delivery,    // one delivery is recorded twice
  lost_delivery,      // one delivery is not recorded
  forgotten_release,  // one message is never released
  uncounted_loss,     // one datagram vanishes without a count
  deaf_node,          // the last node receives nothing once the first message is out, faults or not
  ghost_graft,        // at the end a node claims a mesh peer that does not have it
};

struct Scenario {
  std::uint64_t seed = 1;
  std::size_t nodes = 4;
  std::string topic = "sim";
  std::size_t bootstraps = 1;  // nodes 0 to bootstraps-1 are in everybody's bootstrap list
  dataplane::RelayParams relay = small_relay();
  mesh::MeshParams mesh;
  LinkParams link;
  bool real_sessions =
      false;  // datagrams sealed and opened by SessionTable; else frames pass as they are

  Duration start_spread = dataplane::milliseconds(50);  // nodes start at a random time within it
  Duration control_retry =
      dataplane::milliseconds(200);  // a lost control segment comes this much later
  Duration connection_patience =
      dataplane::seconds(3);  // of control connections across a partition
  Duration crash_notice_max =
      dataplane::milliseconds(500);  // until the neighbours of a dead node know
  Duration dial_timeout = dataplane::seconds(1);

  std::vector<Publication> publications;
  std::vector<Partition> partitions;
  std::vector<Crash> crashes;
  Instant faults_from =
      Instant{} +
      dataplane::seconds(1);  // loss, bursts, reorder, duplicates, corruption: from here
  Instant faults_until =
      Instant{} + dataplane::seconds(5);  // to here; then all is healed and restarted
  Duration liveness =
      dataplane::seconds(20);  // after faults_until every message must be everywhere within this
  Planted planted = Planted::none;

  /// Relay settings that a hundred nodes fit one machine with.
  static dataplane::RelayParams small_relay() {
    dataplane::RelayParams params;
    params.peers_max = 32;
    params.messages_max = 256;
    params.large_messages_max = 64;
    params.cells_max = 8192;
    params.generations_max = 256;
    params.seen_max = 4096;
    params.topics_max = 16;
    return params;
  }
};

}  // namespace corelay::sim
