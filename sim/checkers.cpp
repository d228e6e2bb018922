#include "sim/checkers.h"

#include <algorithm>
#include <set>
#include <tuple>

namespace corelay::sim {

using dataplane::Counter;

namespace {

std::string name(std::size_t node, std::uint32_t life) {
  return "node " + std::to_string(node) + " (life " + std::to_string(life) + ")";
}

std::string about(const Results& results, std::size_t message) {
  const MessageResult& one = results.messages[message];
  return "message " + std::to_string(message) + " (" + std::to_string(one.size_bytes) +
         " B from node " + std::to_string(one.publisher) + ")";
}

void equal(Findings& found, const std::string& what, std::uint64_t a, std::uint64_t b) {
  if (a != b) found.push_back(what + ": " + std::to_string(a) + " and " + std::to_string(b));
}

}  // namespace

Findings check_bytes(const Results& results) {
  Findings found;
  for (const Arrival& arrival : results.arrivals) {
    if (!arrival.is_equal)
      found.push_back(about(results, arrival.message) + " has wrong bytes at " +
                      name(arrival.node, arrival.life));
  }
  return found;
}

Findings check_exactly_once(const Results& results) {
  Findings found;
  std::set<std::tuple<std::size_t, std::size_t, std::uint32_t>> seen;
  for (const Arrival& arrival : results.arrivals) {
    if (!seen.insert({arrival.message, arrival.node, arrival.life}).second) {
      found.push_back(about(results, arrival.message) + " came twice to " +
                      name(arrival.node, arrival.life));
    }
  }
  return found;
}

Findings check_liveness(const Results& results) {
  Findings found;
  if (results.is_stuck)
    found.push_back("a relay asked to be called without end at " +
                    std::to_string(results.ended.ns) + " ns");
  for (std::size_t m = 0; m < results.messages.size(); ++m) {
    const MessageResult& message = results.messages[m];
    for (std::size_t n = 0; n < message.is_owed.size(); ++n) {
      if (message.is_owed[n] && message.delivered_at[n] == dataplane::never) {
        found.push_back(about(results, m) + " never came to node " + std::to_string(n));
      }
    }
    const bool is_publisher_here =
        std::any_of(results.lives.begin(), results.lives.end(), [&](const LifeResult& life) {
          return life.node == message.publisher && life.life == message.publisher_life &&
                 life.until == dataplane::never;
        });
    if (message.outcome == Outcome::unanswered && is_publisher_here) {
      found.push_back("the publish of " + about(results, m) + " was never answered");
    }
    if (message.outcome == Outcome::failed) {
      found.push_back("the publish of " + about(results, m) + " failed, reason " +
                      std::to_string(static_cast<int>(message.failure)));
    }
  }
  return found;
}

Findings check_buffers(const Results& results) {
  Findings found;
  if (results.completed == dataplane::never)
    return found;  // the run ended before the quiet; liveness says why
  for (const LifeResult& life : results.lives) {
    if (life.until != dataplane::never) continue;
    for (const Counter gauge : {Counter::gauge_messages_live, Counter::gauge_cells_used,
                                Counter::gauge_generations_used}) {
      const std::uint64_t left = life.counters[static_cast<std::size_t>(gauge)];
      if (left == 0) continue;
      found.push_back(name(life.node, life.life) + " still has " +
                      std::string(dataplane::counter_infos[static_cast<std::size_t>(gauge)].name) +
                      " " + std::to_string(left));
    }
  }
  return found;
}

Findings check_drops(const Results& results) {
  Findings found;
  const Traffic& t = results.traffic;
  const auto sum = [&](std::initializer_list<Counter> counters) {
    std::uint64_t total = 0;
    for (const Counter counter : counters) total += results.counter(counter);
    return total;
  };
  equal(found, "datagrams sent or copied, and taken, lost or dropped", t.sent + t.copied,
        t.taken + t.no_session_out + t.up_queue_full + t.lost + t.lost_in_burst +
            t.lost_in_partition + t.down_queue_full + t.node_down + t.unknown_key + t.unauthentic +
            t.replayed + t.malformed + t.on_the_way);
  equal(found, "datagrams sent, and frames by kind sent", t.sent,
        sum({Counter::tx_announce_total, Counter::tx_coded_total, Counter::tx_feedback_total,
             Counter::tx_single_total, Counter::tx_probe_total}));
  equal(found, "frames taken, and frames received or dropped for want of a peer", t.taken,
        sum({Counter::rx_frames_total, Counter::drop_unknown_peer_total}));
  equal(found, "frames received, and frames by kind received or dropped",
        sum({Counter::rx_frames_total}),
        sum({Counter::rx_announce_total, Counter::rx_coded_total, Counter::rx_feedback_total,
             Counter::rx_single_total, Counter::rx_probe_total, Counter::drop_malformed_frame_total,
             Counter::drop_duplicate_frame_total}));
  const std::uint64_t coded =
      sum({Counter::rx_coded_innovative_total, Counter::rx_coded_redundant_total,
           Counter::rx_coded_after_complete_total, Counter::drop_unknown_message_total,
           Counter::drop_geometry_total, Counter::drop_unvouched_total,
           Counter::drop_exam_failed_total});
  const std::uint64_t received = sum({Counter::rx_coded_total});
  if (coded > received || received > coded + sum({Counter::drop_flow_limit_total})) {
    equal(found, "coded frames received, and what became of them", received, coded);
  }
  equal(found, "messages delivered, and deliveries seen", sum({Counter::messages_delivered_total}),
        results.arrivals.size());
  // Neighbours are authenticated and honest here: nobody sends what another must refuse.
  for (const Counter counter :
       {Counter::drop_malformed_frame_total, Counter::drop_header_signature_total,
        Counter::drop_header_invalid_total, Counter::drop_digest_total}) {
    equal(found,
          std::string(dataplane::counter_infos[static_cast<std::size_t>(counter)].name) +
              " among honest nodes, and none",
          results.counter(counter), 0);
  }
  return found;
}

Findings check_mesh(const Results& results) {
  Findings found;
  if (results.completed == dataplane::never) return found;
  for (std::size_t n = 0; n < results.mesh.size(); ++n) {
    const std::vector<std::size_t>& peers = results.mesh[n];
    const std::size_t least = std::min(results.degree_min, results.mesh.size() - 1);
    if (peers.size() < least || peers.size() > results.degree_max) {
      found.push_back("node " + std::to_string(n) + " has " + std::to_string(peers.size()) +
                      " mesh peers");
    }
    for (const std::size_t peer : peers) {
      const std::vector<std::size_t>& back = results.mesh[peer];
      if (std::find(back.begin(), back.end(), n) == back.end()) {
        found.push_back("node " + std::to_string(n) + " counts on " + std::to_string(peer) +
                        ", which does not have it");
      }
    }
  }
  return found;
}

Findings check_all(const Results& results) {
  Findings all;
  for (const auto& check :
       {check_bytes, check_exactly_once, check_liveness, check_buffers, check_drops, check_mesh}) {
    const Findings found = check(results);
    all.insert(all.end(), found.begin(), found.end());
  }
  return all;
}

}  // namespace corelay::sim
