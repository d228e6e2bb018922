// What an lcore does around a Relay: frames in, frames out, events answered; and the network
// between the nodes.
#include <algorithm>
#include <cstring>

#include "codec/check.h"
#include "dataplane/core/frame.h"
#include "sim/state.h"

namespace corelay::sim {

using dataplane::Counter;
using dataplane::PeerIndex;

namespace {
constexpr std::size_t calls_at_once_max = 200'000;
}

std::uint32_t Simulator::State::take_datagram() {
  if (datagrams_free.empty()) {
    datagrams.emplace_back();
    return static_cast<std::uint32_t>(datagrams.size() - 1);
  }
  const std::uint32_t d = datagrams_free.back();
  datagrams_free.pop_back();
  return d;
}

void Simulator::State::command(NodeIndex n, const dataplane::Command& what) {
  nodes[n].relay->on_command(local(n), what, outbox);
  drain(n);
}

/// Empties the outbox: frames onto the network, events into the node's queue.
void Simulator::State::drain(NodeIndex n) {
  for (const dataplane::TxItem& item : outbox.items()) transmit(n, item);
  for (const dataplane::Event& event : outbox.events()) nodes[n].events.push_back(event);
  outbox.clear();
}

/// Calls the relay until it has no more to do now, and answers its events.
void Simulator::State::settle(NodeIndex n) {
  for (std::size_t calls_made = 0;; ++calls_made) {
    Node& node = nodes[n];
    if (calls_made == calls_at_once_max) {
      is_stuck = true;
      return;
    }
    if (!node.events.empty()) {
      const dataplane::Event event = node.events.front();
      node.events.pop_front();
      on_event(n, event);
    } else if (node.relay->next_deadline() <= local(n)) {
      node.relay->on_tick(local(n), outbox);
      drain(n);
    } else {
      break;
    }
  }
  plan_wake(n);
}

void Simulator::State::transmit(NodeIndex n, const dataplane::TxItem& item) {
  Node& node = nodes[n];
  ++traffic.sent;
  const Neighbour& neighbour = node.neighbours[item.peer];
  if (!neighbour.is_used || neighbour.is_leaving) {
    ++traffic.no_session_out;
    return;
  }
  const std::uint32_t d = take_datagram();
  Datagram& datagram = datagrams[d];
  datagram.from = n;
  datagram.to = neighbour.node;
  datagram.connection = neighbour.connection;
  datagram.is_copy = false;
  CHECK(item.frame_bytes + dataplane::datagram_overhead_bytes <= scenario.relay.path_mtu_bytes);
  if (node.sessions != nullptr) {
    datagram.bytes = static_cast<std::uint16_t>(
        node.sessions->seal(item.peer, item.bytes(), datagram.data.data()));
    CHECK(datagram.bytes != 0);
  } else {
    datagram.bytes = item.frame_bytes;
    std::memcpy(datagram.data.data(), item.bytes().data(), item.frame_bytes);
  }
  const std::size_t bytes = item.frame_bytes + scenario.link.packet_overhead_bytes;
  node.counters->add(Counter::tx_datagrams_total);
  node.counters->add(Counter::tx_bytes_total,
                     item.frame_bytes + dataplane::datagram_overhead_bytes);
  const Passage passage = link.send(now, n, neighbour.node, bytes, rng);
  if (passage.fate != Fate::up_queue_full) bytes_sent[n] += bytes;
  switch (passage.fate) {
    case Fate::up_queue_full:
      ++traffic.up_queue_full;
      return drop_datagram(d);
    case Fate::lost:
      ++traffic.lost;
      return drop_datagram(d);
    case Fate::lost_in_burst:
      ++traffic.lost_in_burst;
      return drop_datagram(d);
    case Fate::passes:
      break;
  }
  if (is_partitioned(n, neighbour.node)) {
    ++traffic.lost_in_partition;
    return drop_datagram(d);
  }
  if (scenario.planted == Planted::uncounted_loss && !is_planted) {
    is_planted = true;
    return drop_datagram(d);
  }
  if (scenario.planted == Planted::deaf_node && neighbour.node + 1 == nodes.size() &&
      !messages.empty() && messages.front().is_started) {
    ++traffic.lost;
    return drop_datagram(d);
  }
  launch(passage, now, d);
}

void Simulator::State::launch(const Passage& passage, Instant, std::uint32_t d) {
  if (passage.is_twice) {
    const std::uint32_t copy = take_datagram();
    datagrams[copy] = datagrams[d];
    datagrams[copy].is_copy = true;
    ++traffic.copied;
    push(passage.arrives_again, Kind::arrive, copy);
  }
  if (passage.is_corrupt) {
    Datagram& datagram = datagrams[d];
    for (std::uint64_t flips = 1 + rng.below(4); flips != 0; --flips) {
      const std::uint64_t bit = rng.below(datagram.bytes * 8u);
      datagram.data[bit / 8] = static_cast<std::uint8_t>(datagram.data[bit / 8] ^ (1u << bit % 8));
    }
  }
  push(passage.arrives, Kind::arrive, d);
}

void Simulator::State::arrive(std::uint32_t d) {
  const Datagram& datagram = datagrams[d];
  mix_event(now, Kind::arrive, datagram.to);
  const std::size_t frame_bytes =
      datagram.bytes - (scenario.real_sessions ? dataplane::datagram_overhead_bytes : 0);
  Instant through{};
  if (!nodes[datagram.to].is_up) {
    ++traffic.node_down;
    return drop_datagram(d);
  }
  if (!link.receive(now, datagram.to, frame_bytes + scenario.link.packet_overhead_bytes, through)) {
    ++traffic.down_queue_full;
    return drop_datagram(d);
  }
  push(through, Kind::take, d);
}

/// Opens a datagram as an lcore does. False, with its counter, when it is to be dropped.
bool Simulator::State::open(Node& node, Datagram& datagram, dataplane::RxFrame& frame) {
  if (node.sessions == nullptr) {
    const auto session = node.index_of.find(datagram.from);
    if (session == node.index_of.end() ||
        node.neighbours[session->second].connection != datagram.connection) {
      ++traffic.unknown_key;
      node.counters->add(Counter::drop_unknown_key_total);
      return false;
    }
    if (datagram.is_copy) {
      ++traffic.replayed;
      node.counters->add(Counter::drop_replayed_total);
      return false;
    }
    frame = {session->second, {datagram.data.data(), datagram.bytes}};
    return true;
  }
  const Instant at = now + node.clock_offset;
  const dataplane::Opened opened = node.sessions->open(at, {datagram.data.data(), datagram.bytes});
  frame = {opened.peer, opened.frame};
  const auto drop = [&](std::uint64_t& count, Counter counter) {
    ++count;
    node.counters->add(counter);
    return false;
  };
  switch (opened.outcome) {
    case dataplane::Open::opened:
      return true;
    case dataplane::Open::malformed:
      return drop(traffic.malformed, Counter::drop_malformed_datagram_total);
    case dataplane::Open::wrong_lane:
      return drop(traffic.malformed, Counter::drop_wrong_lane_total);
    case dataplane::Open::unknown_key:
      return drop(traffic.unknown_key, Counter::drop_unknown_key_total);
    case dataplane::Open::replayed:
      return drop(traffic.replayed, Counter::drop_replayed_total);
    case dataplane::Open::unauthentic:
      return drop(traffic.unauthentic, Counter::drop_authentication_total);
  }
  return false;
}

void Simulator::State::take(std::uint32_t d) {
  Datagram& datagram = datagrams[d];
  const NodeIndex n = datagram.to;
  Node& node = nodes[n];
  mix_event(now, Kind::take, n);
  mix(Bytes{datagram.data.data(), datagram.bytes});
  if (!node.is_up) {
    ++traffic.node_down;
    return drop_datagram(d);
  }
  node.counters->add(Counter::rx_datagrams_total);
  node.counters->add(Counter::rx_bytes_total, datagram.bytes);
  dataplane::RxFrame frame;
  if (!open(node, datagram, frame)) return drop_datagram(d);
  ++traffic.taken;
  node.relay->on_burst(local(n), {&frame, 1}, outbox);
  drain(n);
  drop_datagram(d);
  node.relay->on_tick(local(n), outbox);
  drain(n);
  settle(n);
}

void Simulator::State::on_event(NodeIndex n, const dataplane::Event& event) {
  mix(event.index());
  if (const auto* delivered = std::get_if<dataplane::Delivered>(&event)) {
    on_delivered(n, *delivered);
  } else if (const auto* published = std::get_if<dataplane::Published>(&event)) {
    on_outcome(published->message, Outcome::published, {});
  } else if (const auto* failed = std::get_if<dataplane::PublishFailed>(&event)) {
    on_outcome(failed->message, Outcome::failed, failed->reason);
  } else if (const auto* gone = std::get_if<dataplane::PeerGone>(&event)) {
    nodes[n].neighbours[gone->peer] = {};
  }
}

void Simulator::State::on_delivered(NodeIndex n, const dataplane::Delivered& delivered) {
  const auto found = message_of.find(delivered.message.tag);
  CHECK(found != message_of.end());  // nobody publishes but us
  const std::vector<std::uint8_t>& expected = messages[found->second].prepared.payload;
  payload_buffer.resize(delivered.message.header->size_bytes);
  dataplane::copy_payload(delivered.message, payload_buffer);
  const auto plant = [&](Planted what) {
    if (scenario.planted != what || is_planted) return false;
    return is_planted = true;
  };
  if (!payload_buffer.empty() && plant(Planted::wrong_byte)) payload_buffer.back() ^= 1;
  Arrival arrival{found->second, n, nodes[n].life, now, payload_buffer == expected};
  mix(payload_buffer);
  if (!plant(Planted::lost_delivery)) {
    arrivals.push_back(arrival);
    Instant& first = outcomes[found->second].delivered_at[n];
    first = std::min(first, now);
  }
  if (plant(Planted::second_delivery)) arrivals.push_back(arrival);
  if (!plant(Planted::forgotten_release)) command(n, dataplane::Release{delivered.message.handle});
}

void Simulator::State::on_outcome(const dataplane::PreparedMessage* prepared, Outcome outcome,
                                  dataplane::PublishFailure failure) {
  MessageResult& result = outcomes[prepared->cookie];
  CHECK(result.outcome == Outcome::unanswered);  // one outcome a publish
  result.outcome = outcome;
  result.failure = failure;
}

}  // namespace corelay::sim
