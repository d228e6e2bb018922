/// What a simulated run showed. The checkers (checkers.h) judge it; benches and tools print it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "dataplane/counters.h"
#include "dataplane/event.h"
#include "sim/scenario.h"

namespace corelay::sim {

/// One message handed to control at one node.
struct Arrival {
  std::size_t message = 0;  // index into Results::messages
  std::size_t node = 0;
  std::uint32_t life = 0;  // which life of the node, from 1
  Instant at{};
  bool is_equal = false;  // the bytes are those that were published
};

enum class Outcome : std::uint8_t {
  unanswered,  // neither Published nor PublishFailed came (the publisher may have died)
  published,
  failed,
  not_tried,  // the publisher was down
};

struct MessageResult {
  std::size_t publisher = 0;
  std::uint32_t publisher_life = 0;
  std::size_t size_bytes = 0;
  Instant published_at{};
  Outcome outcome = Outcome::not_tried;
  dataplane::PublishFailure failure = dataplane::PublishFailure::no_peers;
  std::vector<Instant> delivered_at;  // a node: the first time, never where it was not
  std::vector<bool> is_owed;  // a node: it lived all along and someone who lived on had the message
};

/// One life of a node.
struct LifeResult {
  std::size_t node = 0;
  std::uint32_t life = 0;
  Instant from{};
  Instant until = dataplane::never;  // never: it lived to the end
  std::array<std::uint64_t, dataplane::counter_count> counters{};
};

/// What became of every datagram.
struct Traffic {
  std::uint64_t sent = 0;            // given out by relays
  std::uint64_t copied = 0;          // extra copies that the network made
  std::uint64_t taken = 0;           // handed to a relay as a frame
  std::uint64_t no_session_out = 0;  // not sent: no session any more
  std::uint64_t up_queue_full = 0;
  std::uint64_t lost = 0;
  std::uint64_t lost_in_burst = 0;
  std::uint64_t lost_in_partition = 0;
  std::uint64_t down_queue_full = 0;
  std::uint64_t node_down = 0;
  std::uint64_t unknown_key = 0;  // the receiver has no such session (any more, or yet)
  std::uint64_t unauthentic = 0;
  std::uint64_t replayed = 0;
  std::uint64_t malformed = 0;
  std::uint64_t on_the_way = 0;  // at the end of the run
};

struct Results {
  std::uint64_t seed = 0;
  std::uint64_t event_hash = 0;
  std::uint64_t events = 0;
  Instant ended{};
  Instant completed = dataplane::never;  // when the last delivery that is owed came
  bool is_stuck = false;  // a relay asked to be called again and again at one instant
  std::vector<MessageResult> messages;
  std::vector<Arrival> arrivals;
  std::vector<LifeResult> lives;
  Traffic traffic;
  std::vector<std::uint64_t> bytes_sent;  // a node: onto its uplink, overhead included
  std::vector<std::vector<std::size_t>>
      mesh;  // a node: its mesh peers when the faults had been over for a while
  std::size_t degree_min = 0;
  std::size_t degree_max = 0;

  [[nodiscard]] std::uint64_t counter(dataplane::Counter which) const {
    std::uint64_t sum = 0;
    for (const LifeResult& life : lives) sum += life.counters[static_cast<std::size_t>(which)];
    return sum;
  }
};

}  // namespace corelay::sim
