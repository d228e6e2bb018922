// Headers that contradict each other, and messages that end before they are complete.
//
// A tag holds for a payload and a topic. How the payload is cut, and into what digests, is only what a header says, and
// anybody can sign a header: which of several is true, the payload shows in the end. So each goes its own way as a
// message of its own, fed by the neighbours that announced it and on account of who was first to. The first one whole
// ends the others, and their neighbours are told. Headers that only differ in who signed, and when, name one message.
#include <algorithm>
#include <array>
#include <cstring>

#include "dataplane/core/relay_state.h"

namespace corelay::dataplane {
namespace {

/// Packets of one are packets of the other, and one list of digests serves both.
bool is_same_cut(const MessageHeader& a, const MessageHeader& b) noexcept {
  return a.k == b.k && a.shard_bytes == b.shard_bytes && a.generations == b.generations &&
         a.size_bytes == b.size_bytes && a.digest_root == b.digest_root;
}

bool has_provider(const Message& message) noexcept {
  for (std::uint8_t f = 0; f < message.flow_count; ++f) {
    if (message.flows[f].peer != peer_none && message.flows[f].is_provider) return true;
  }
  return message.flows[flow_members].is_provider;
}

}  // namespace

/// A neighbour takes part in one message of a tag: nothing in a coded frame says which it is of.
bool Relay::State::is_bound_elsewhere(std::uint32_t slot, PeerIndex peer) const noexcept {
  const MessageTag& tag = messages[slot].tag;
  const std::uint32_t bound = messages.find_for(tag, peer);
  return bound != slot && MessageTable::find_flow(messages[bound], peer) != flow_none;
}

/// The message that `header` is of, opened when nobody named it before. slot_none when it cannot be.
std::uint32_t Relay::State::rival_for(Instant now, PeerIndex from, Bytes encoded, const MessageTag& tag,
                                      const MessageHeader& header) noexcept {
  std::uint32_t slot = messages.find(tag);
  while (slot != slot_none && !is_same_cut(messages[slot].header, header)) slot = messages[slot].rival;
  // What it says now stands in the place of what it said before, also where room is short.
  const bool is_alone = slot != slot_none && !messages.has_rivals(slot);
  bool was_next_hop = !is_alone && leave_rivals(tag, slot, from);
  if (slot == slot_none) {
    slot = open_received(now, from, encoded, tag, header, false);
    if (slot == slot_none) return slot_none;
    was_next_hop = leave_rivals(tag, slot, from) || was_next_hop;
    // Which is true must be known, also where nobody reads it.
    for (std::uint32_t one = messages.find(tag); one != slot_none && messages.has_rivals(one);) {
      const std::uint32_t next = messages[one].rival;
      read(one, true);
      one = next;
    }
  } else if (!messages[slot].is_signature_ok) {
    settle_signature(from, slot, encoded, header);
  }
  if (!was_next_hop) return slot;
  // It may ask for what it was told of here; of the other message it will be told when that is whole.
  if (const std::uint8_t f = flow_for(messages[slot], from); f != flow_none) messages[slot].flows[f].is_next_hop = true;
  return slot;
}

/// Two different signed headers of one message, the one held not yet verified: it is time to, before work is put into
/// a message that would be thrown away for its header.
void Relay::State::settle_signature(PeerIndex from, std::uint32_t slot, Bytes encoded,
                                    const MessageHeader& header) noexcept {
  Message& message = messages[slot];
  const Bytes held{message.encoded_header.data(), message.header_bytes};
  if (std::equal(held.begin(), held.end(), encoded.begin(), encoded.end())) return;
  message.is_signature_ok = verify_header(held);
  if (message.is_signature_ok) return;
  const bool is_better = verify_header(encoded);
  counters.add(Counter::drop_header_signature_total);
  fault(is_better ? message.opened_by : from, PeerFault::bad_signature);
  if (!is_better) return;
  message.is_signature_ok = true;
  message.header = header;
  message.header_bytes = static_cast<std::uint16_t>(encoded.size());
  std::memcpy(message.encoded_header.data(), encoded.data(), encoded.size());
  for (std::uint8_t f = 0; f < message.flow_count; ++f) {
    Flow& flow = message.flows[f];
    if (flow.peer == peer_none || !flow.is_next_hop || flow.peer == from) continue;
    flow.needs_announce = true;
    queue_urgent(slot, f);
  }
}

/// `peer` takes no part any more in messages of the tag but `slot`; one that nobody offers then is closed. True when it
/// was a next hop of one.
bool Relay::State::leave_rivals(const MessageTag& tag, std::uint32_t slot, PeerIndex peer) noexcept {
  bool was_next_hop = false;
  // Its place first: what is closed below looks for neighbours that have none.
  if (slot != slot_none) static_cast<void>(messages.make_flow(messages[slot], peer));
  for (std::uint32_t other = messages.find(tag); other != slot_none;) {
    const std::uint32_t next = messages[other].rival;
    Message& message = messages[other];
    const std::uint8_t f = other == slot ? flow_none : MessageTable::find_flow(message, peer);
    if (f != flow_none) {
      was_next_hop = was_next_hop || message.flows[f].is_next_hop;
      messages.clear_flow(message, f);
      if (message.charged_to == peer) find_heir(other);
      if (!has_provider(message) && message.state == MessageState::receiving) {
        counters.add(Counter::drop_rival_total);
        close_message(other);
      }
    }
    other = next;
  }
  return was_next_hop;
}

/// The bytes of `slot` are the payload: no other message of its tag can be true, or is needed.
void Relay::State::drop_rivals(Instant now, std::uint32_t slot) noexcept {
  for (std::uint32_t other = messages.find(messages[slot].tag); other != slot_none;) {
    const std::uint32_t next = messages[other].rival;
    if (other != slot) drop_rival(now, other, slot);
    other = next;
  }
}

void Relay::State::drop_rival(Instant now, std::uint32_t slot, std::uint32_t truth) noexcept {
  Message& message = messages[slot];
  Message& whole = messages[truth];
  counters.add(Counter::drop_rival_total);
  // Another cut of the same bytes may be honest; another size cannot be.
  if (message.header.size_bytes != whole.header.size_bytes) fault(message.opened_by, PeerFault::bad_digest);
  for (std::uint8_t f = 0; f < message.flow_count; ++f) {
    const Flow flow = message.flows[f];
    if (flow.peer == peer_none) continue;
    messages.clear_flow(message, f);
    const std::uint8_t moved = flow_for(whole, flow.peer);
    if (moved == flow_none) continue;
    queue_status(now, truth, moved, microseconds(0));
    if (!flow.is_next_hop) continue;
    whole.flows[moved].is_next_hop = true;
    (whole.is_single ? whole.flows[moved].needs_single : whole.flows[moved].needs_announce) = true;
    queue_urgent(truth, moved);
  }
  close_message(slot);
}

/// Who else offers the message stands in for a neighbour that left.
void Relay::State::find_heir(std::uint32_t slot) noexcept {
  const Message& message = messages[slot];
  PeerIndex heir = peer_none;
  for (std::uint8_t f = 0; f < message.flow_count && heir == peer_none; ++f) {
    if (message.flows[f].is_provider) heir = message.flows[f].peer;
  }
  messages.charge(slot, heir);
}

/// Where others of the tag remain, whoever took part in this one is told of them.
void Relay::State::close_message(std::uint32_t slot) noexcept {
  const Message& message = messages[slot];
  const MessageTag tag = message.tag;
  const TopicHash topic = message.topic;
  if (message.state == MessageState::carried) {
    // Nobody knows whether it was true: it is this header that need not come again, not the message.
    counters.add(Counter::messages_unchecked_total);
    condemned.insert(message.completed_at, digest_of({message.encoded_header.data(), message.header_bytes}));
  }
  if (message.is_unsettled) unsettled.erase(std::find(unsettled.begin(), unsettled.end(), slot));
  messages.close(slot);
  const std::uint32_t left = messages.find(tag);
  if (left == slot_none) return;
  if (const Route* route = find_route(topic); route != nullptr) join_flows(left, *route, peer_none);
}

/// What the header says is not so. It is not taken again; whoever has the message by another header may offer it.
void Relay::State::close_false(Instant now, std::uint32_t slot) noexcept {
  const Message& message = messages[slot];
  const MessageTag tag = message.tag;
  condemned.insert(now, digest_of({message.encoded_header.data(), message.header_bytes}));
  std::array<PeerIndex, flows_max> told;
  std::size_t count = 0;
  for (std::uint8_t f = 0; f < message.flow_count; ++f) {
    if (message.flows[f].peer != peer_none) told[count++] = message.flows[f].peer;
  }
  close_message(slot);
  if (messages.find(tag) != slot_none) return;
  for (std::size_t i = 0; i < count; ++i) queue_loose(now, told[i], tag, StatusState::unknown);
}

/// The message goes because memory is short: whoever sends it, or waits for it, is told not to.
void Relay::State::make_room(Instant now, std::uint32_t slot) noexcept {
  const Message& message = messages[slot];
  const bool is_whole = message.is_whole();
  counters.add(is_whole ? Counter::drop_evicted_total : Counter::drop_incomplete_evicted_total);
  for (std::uint8_t f = 0; f < message.flow_count; ++f) {
    const Flow& flow = message.flows[f];
    if (flow.peer == peer_none) continue;
    if (is_whole ? flow.state != PeerState::wanting : !flow.is_provider) continue;
    queue_loose(now, flow.peer, message.tag, StatusState::refused);
  }
  close_message(slot);
}

}  // namespace corelay::dataplane
