// Messages that travel whole, in one frame: taken, deduplicated and passed on.
//
// The first relays on the way pass a message on to all neighbours. Further out most neighbours have it already, and a
// notice "I have it" would come a round trip too late to stop anybody. So each relay counts, of the copies it receives
// from senders so many hops out, how many were the first, and sends copies of its own at once to as large a share of
// its neighbours as such copies are worth. Which of them follows from the tag and from the relay's place among the
// neighbours of each, as told by that neighbour: the relays around it take turns, rather than all choosing it or none.
// The others hear "I have it", and get the message when they have not said the same by the time they could have.
// Related: Haas, Halpern and Li, "Gossip-based ad hoc routing", 2002; Ni et al., "The broadcast storm problem", 1999.
#include <algorithm>
#include <array>
#include <cstring>

#include "dataplane/core/relay_state.h"

namespace corelay::dataplane {
namespace {

constexpr Duration hear_max = milliseconds(2);   // waited for copies of others where few need ours,
constexpr std::int64_t hear_part = 50;           // as a part of the round trip
constexpr Duration put_off_least = milliseconds(1);  // beyond a round trip and a tenth: until a notice is here
constexpr double share_slope = 1.6;              // the share of neighbours, by how many copies are the first,
constexpr double share_more = 0.04;
constexpr std::array heard_factor{1.1, 1.1, 0.35, 0.2};  // times this, by how many neighbours are known to have it,
constexpr double share_least = 0.2;              // so much at least
constexpr double share_early = 0.9;              // nearly all lack it: no waiting
constexpr double worth_early = 0.7;              // of copies so near the publisher, before any were counted,
constexpr std::uint8_t hops_early = 2;
constexpr double worth_later = 0.5;              // and of others,
constexpr double counted_before = 2;             // as if so many had been
constexpr std::uint16_t copies_remembered = 64;
constexpr Duration heard_time = milliseconds(500);

std::uint64_t heard_name(const MessageTag& tag) noexcept { return load_le<std::uint64_t>(tag.data()) | 1; }

}  // namespace

void Relay::State::on_single(Instant now, PeerIndex from, Bytes bytes) noexcept {
  const auto single = parse_single(bytes);
  if (!single) return malformed(from);
  if (!peers[from].link.on_received(now, single->sequence)) {
    return counters.add(Counter::drop_duplicate_frame_total);
  }
  counters.add(Counter::rx_single_total);
  const std::uint32_t known = messages.find(single->tag);
  const bool is_held = known != slot_none && (messages[known].is_own || messages[known].is_single ||
                                              messages[known].state == MessageState::complete);
  if (is_held || seen.contains(now, single->tag)) {
    counters.add(Counter::rx_single_duplicate_total);
    if (is_held) on_known_single(from, known, single->hops);
    return;
  }
  single_hasher.reset();
  single_hasher.update(single->payload);
  std::array<std::uint8_t, header_bytes_max> encoded;
  const MessageId id = single_hasher.finish();
  const std::size_t header_bytes = lengthen_header(single->header, id, single->payload.size(), encoded.data());
  const auto header = header_bytes == 0 ? std::nullopt : parse_header({encoded.data(), header_bytes});
  if (!header || single->tag[0] % params.wire.lanes != params.lane) {
    counters.add(Counter::drop_header_invalid_total);
    return fault(from, PeerFault::malformed_frame);
  }
  if (tag_of(id, header->topic()) != single->tag) {
    counters.add(Counter::drop_digest_total);
    return fault(from, PeerFault::bad_digest);
  }
  const Bytes whole_header{encoded.data(), header_bytes};
  // What is announced in another shape goes only for a header that holds.
  if (known != slot_none && !verify_header(whole_header)) {
    counters.add(Counter::drop_header_signature_total);
    return fault(from, PeerFault::bad_signature);
  }
  const std::uint32_t slot = open_received(now, from, whole_header, single->tag, *header, true);
  if (slot == slot_none) return;
  if (known != slot_none) {
    messages[slot].is_signature_ok = true;
    drop_rivals(now, slot);
  }
  Message& message = messages[slot];
  std::uint8_t* cell = messages.take_cell(message);
  std::memcpy(MessageTable::payload_of(cell), single->payload.data(), single->payload.size());
  messages.hold_single(message, cell);
  message.completed_by = from;
  message.hops = std::min<std::uint8_t>(hops_wire_max, single->hops + 1);
  count_copy(single->hops, true);
  spread(now, slot, from);
  if (message.is_signature_ok) return complete(now, slot);
  message.state = MessageState::checking;
  queue_hash(slot);
}

/// One copy a neighbour counts: who repeats it must not make all others look worthless.
void Relay::State::on_known_single(PeerIndex from, std::uint32_t slot, std::uint8_t hops) noexcept {
  Message& message = messages[slot];
  const std::uint8_t f = flow_for(message, from);
  if (f == flow_none) return;
  if (message.flows[f].state != PeerState::full) count_copy(hops, false);
  message.flows[f].state = PeerState::full;
  message.flows[f].is_provider = message.flows[f].is_told = true;
  trace(message, from, ShardTrace::duplicate_message);
}

void Relay::State::count_copy(std::uint8_t hops, bool is_first) noexcept {
  has_singles = true;
  CopyCount& count = copy_counts[hops];
  ++count.copies;
  if (is_first) ++count.first;
  if (count.copies < copies_remembered) return;
  count.copies /= 2;
  count.first /= 2;
}

void Relay::State::note_heard(Instant now, PeerIndex from, const MessageTag& tag) noexcept {
  Peer& peer = peers[from];
  peer.heard[peer.heard_next] = {heard_name(tag), now};
  peer.heard_next = static_cast<std::uint8_t>((peer.heard_next + 1) % peer.heard.size());
}

/// A neighbour takes back what it said.
void Relay::State::forget_heard(PeerIndex from, const MessageTag& tag) noexcept {
  for (Heard& heard : peers[from].heard) {
    if (heard.name == heard_name(tag)) heard = {};
  }
}

/// Lately: the same bytes may come again as a message of their own, when everybody has forgotten them.
bool Relay::State::has_heard(Instant now, const Peer& peer, const MessageTag& tag) const noexcept {
  const std::uint64_t name = heard_name(tag);
  return std::any_of(peer.heard.begin(), peer.heard.end(),
                     [&](const Heard& heard) { return heard.name == name && now - heard.at < heard_time; });
}

/// To how large a part of the neighbours a relay so many hops out sends copies at once. Nothing known: to all.
double Relay::State::share_at(std::uint8_t hops) const noexcept {
  const CopyCount& count = copy_counts[hops];
  const double before = hops <= hops_early ? worth_early : worth_later;
  return share_slope * (count.first + before * counted_before) / (count.copies + counted_before) + share_more;
}

void Relay::State::spread(Instant now, std::uint32_t slot, PeerIndex from) noexcept {
  Message& message = messages[slot];
  for (std::uint8_t f = 0; f < message.flow_count; ++f) {
    Flow& flow = message.flows[f];
    if (flow.peer == peer_none) continue;
    if (flow.peer == from) flow.is_told = flow.is_provider = true;
    if (flow.peer == from || has_heard(now, peers[flow.peer], message.tag)) flow.state = PeerState::full;
  }
  const bool is_early = share_at(message.hops) >= share_early;
  const Duration wait = is_early ? Duration{} : std::min(peers[from].link.rtt() / hear_part, hear_max);
  if (wait != Duration{} && waiting_whole.push({slot, message.epoch, now + wait})) return;
  spread_whole(now, slot);
}

/// Copies to some, the notice to the others: see above. A neighbour that we have heard of it from knows by our answer.
void Relay::State::spread_whole(Instant now, std::uint32_t slot) noexcept {
  Message& message = messages[slot];
  std::size_t heard = 0;
  for (std::uint8_t f = 0; f < message.flow_count; ++f) {
    if (message.flows[f].peer != peer_none && message.flows[f].state == PeerState::full) ++heard;
  }
  const double factor = heard_factor[std::min(heard, heard_factor.size() - 1)];
  const double share = std::max(share_least, share_at(message.hops) * factor);
  for (std::uint8_t f = 0; f < message.flow_count; ++f) {
    Flow& flow = message.flows[f];
    if (flow.peer == peer_none || !flow.is_next_hop || flow.is_told) continue;
    flow.is_told = true;
    const Peer& peer = peers[flow.peer];
    const std::size_t turn = (std::size_t{peer.place_there} + message.tag[1]) % 256;
    const bool is_full = flow.state == PeerState::full;
    if (!is_full && static_cast<double>(turn) < share * 256) {
      flow.needs_single = true;
      queue_urgent(slot, f);
      continue;
    }
    queue_status(now, slot, f, microseconds(0));
    if (is_full) continue;
    // Its notice takes half a round trip, and where it gets the message from others a hop later, as long again.
    flow.is_put_off = true;
    flow.announced_at = now;
    flow.announce_wait = peer.link.rtt() + peer.link.rtt() / 10 + put_off_least;
  }
}

void Relay::State::spread_due(Instant now) noexcept {
  while (!waiting_whole.is_empty() && waiting_whole.front().at <= now) {
    const WholeRef ref = waiting_whole.front();
    waiting_whole.pop();
    if (messages.is_current(ref.message, ref.epoch)) spread_whole(now, ref.message);
  }
}

/// False, with the outbox or the log full, when it must be tried again.
bool Relay::State::send_single(Instant now, std::uint32_t slot, std::uint8_t f, Outbox& out) noexcept {
  Message& message = messages[slot];
  Flow& flow = message.flows[f];
  Peer& peer = peers[flow.peer];
  if (flow.state == PeerState::full) {
    flow.needs_single = false;
    return true;
  }
  if (!peer.link.has_log_room()) return false;
  if (out.frames_left() == 0 || out.items_left() == 0) {
    is_outbox_short = true;
    return false;
  }
  std::array<std::uint8_t, short_header_bytes_max> header;
  const std::size_t header_bytes = shorten_header({message.encoded_header.data(), message.header_bytes}, header.data());
  const std::size_t bytes = frame_prefix_bytes + header_bytes + message.header.size_bytes;
  flow.needs_single = flow.is_put_off = false;
  flow.announced_at = now;
  if (bytes > peer.frame_bytes_max) {
    flow.state = PeerState::refused;
    counters.add(Counter::drop_tx_error_total);
    return true;
  }
  SingleFrame single;
  single.hops = message.hops;
  single.sequence = peer.link.on_sent(now, {slot, message.epoch, 0, static_cast<std::uint16_t>(bytes), f,
                                            static_cast<std::uint8_t>(FrameKind::single)});
  single.tag = message.tag;
  single.header = {header.data(), header_bytes};
  single.payload = {message.single_row, message.header.size_bytes};
  std::uint8_t* frame = out.take_frame();
  write_single(single, frame);
  out.send(flow.peer, frame, bytes);
  counters.add(Counter::tx_single_total);
  return true;
}

}  // namespace corelay::dataplane
