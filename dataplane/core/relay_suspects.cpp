// Neighbours that had a part in a wrong generation. Most of them passed on what they had been given, and which one lied
// cannot be told from what came out. Until a neighbour has been examined, nothing but what it vouches for is taken from
// it, so that the next message is not spoilt by the same ones. For an examination it is asked for a few packets of a
// generation that it says it has all of and that was checked here in the meantime; they are held against the shards and
// thrown away. Right ones clear it. A wrong one that it vouched for names the liar for certain; who gives none stays a
// suspect and does no harm.
// Related: Ho et al., "Byzantine modification detection in multicast networks with random network coding", 2008, which
// finds that a generation is wrong but not whose fault it is.
#include <algorithm>
#include <array>
#include <cstring>

#include "codec/field.h"
#include "dataplane/core/relay_state.h"

namespace corelay::dataplane {
namespace {

constexpr std::uint8_t right_to_clear = 2;  // packets
constexpr Duration others_patience = milliseconds(250);  // with neighbours that are no suspects
constexpr Duration exam_time = seconds(3);  // after that a neighbour hears that we have all, examined or not

}  // namespace

void Relay::State::suspect(PeerIndex peer) noexcept {
  if (peer != peer_none && peers[peer].right_owed == 0) peers[peer].right_owed = right_to_clear;
}

/// Where a message is spoilt for the first time, whoever had some of it: a liar does not reach every neighbour at once.
void Relay::State::suspect_providers(const Message& message) noexcept {
  for (std::uint8_t f = 0; f < message.flow_count; ++f) {
    if (message.flows[f].is_provider) suspect(message.flows[f].peer);
  }
}

/// Every neighbour that gave packets to a wrong generation.
void Relay::State::suspect_givers(const Message& message, const Generation& generation) noexcept {
  for (std::uint8_t f = 0; f < message.flow_count; ++f) {
    if (generation.flows[f].received != 0) suspect(message.flows[f].peer);
  }
}

/// What is missing of a message only suspects have, or whoever else has it brings nothing.
bool Relay::State::is_left_to_suspects(Instant now, const Message& message) const noexcept {
  bool is_any = false;
  bool is_other = message.flows[flow_members].innovative > 0;
  for (std::uint8_t f = 0; f < message.flow_count; ++f) {
    const Flow& flow = message.flows[f];
    if (flow.peer == peer_none || !flow.is_provider || peers[flow.peer].link.is_silent()) continue;
    (is_suspect(flow) ? is_any : is_other) = true;
  }
  return is_any && (!is_other || now - message.progress_at >= others_patience);
}

/// A generation to examine this neighbour in: one that was checked here and that it says it has all of. Else the number
/// of generations.
std::size_t Relay::State::exam_for(Instant now, const Message& message, std::uint8_t f) noexcept {
  const std::size_t generations = message.header.generations;
  const Flow& flow = message.flows[f];
  // What it vouches for under another header of the same tag says nothing.
  if (!is_suspect(flow) || !flow.has_named || message.is_single) return generations;
  if (flow.state != PeerState::full && flow.state != PeerState::wanting) return generations;
  if (message.state == MessageState::complete && now - message.completed_at > exam_time) return generations;
  const std::size_t start = rng.below(generations);
  for (std::size_t i = 0; i < generations; ++i) {
    const std::size_t g = (start + i) % generations;
    const Generation& generation = messages.generation(message, g);
    if (generation.is_right && (flow.state == PeerState::full || generation.flows[f].deficit == 0)) return g;
  }
  return generations;
}

/// Holds a suspect's packet of a checked generation against the shards. Cost: a product of k rows by one.
void Relay::State::examine(Instant now, std::uint32_t slot, std::uint8_t f, const CodedFrame& coded) noexcept {
  Message& message = messages[slot];
  Flow& flow = message.flows[f];
  queue_status(now, slot, f, microseconds(0));
  if (is_true(message, messages.generation(message, coded.generation), coded)) {
    --peers[flow.peer].right_owed;
    counters.add(Counter::rx_coded_after_complete_total);
    return trace(message, flow.peer, ShardTrace::after_complete);
  }
  counters.add(Counter::drop_exam_failed_total);
  if (coded.form == CodedForm::vector || flow.is_distrusted || !flow.has_named) return;
  if (message.state != MessageState::complete) return;  // not even the digests need be true
  flow.is_distrusted = true;
  fault(flow.peer, PeerFault::polluted);
}

bool Relay::State::is_true(const Message& message, const Generation& generation, const CodedFrame& coded) noexcept {
  const std::size_t k = message.header.k;
  const Bytes payload = coded.row.last(message.header.shard_bytes);
  std::array<std::uint8_t, k_wire_max> vector;
  coefficients_of(coded, {vector.data(), k});
  std::array<std::uint8_t, shard_wire_bytes_max> product;
  std::uint8_t* const out = product.data();
  codec::multiply(1, k, vector.data(), k, generation.rows.data(), &out, payload.size());
  return std::memcmp(out, payload.data(), payload.size()) == 0;
}

}  // namespace corelay::dataplane
