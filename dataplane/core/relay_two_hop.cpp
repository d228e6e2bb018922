// Messages to a known membership: RelayParams::router is two_hop, and control has named the members of the topic.
//
// The publisher tells all members of a message, then sends each coded packet of it to one member, in turn: the shards
// as they are first, then combinations. Who gets such a packet passes it on, as it came, to all other members: from the
// publisher to everybody are two hops, and every member's uplink carries its part. A member takes a place in no flow by
// that, so there may be many more of them than next hops. Nobody asks for anything while the message comes by itself.
// What is missing then, because it was lost, or given to a member that passes nothing on, or since the publisher went,
// the mesh brings as it brings any message: next hops hear of it from the first moment, and ranks and recoding fill the
// gaps. Of a message that somebody spoils nothing is passed on: relay_vouched.cpp.
// Related: RaptorCast of Monad, which has no mesh under it and sends 2.5 messages' worth instead.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <numeric>

#include "codec/encoder.h"
#include "dataplane/core/relay_state.h"

namespace corelay::dataplane {
namespace {

constexpr Duration patience_least = milliseconds(10);  // beyond half a round trip, since something new came;
constexpr Duration patience_first = milliseconds(100);  // beyond a round trip, before the first packet;
constexpr Duration patience_most = seconds(1);          // in all, and
constexpr Duration patience_each = microseconds(250);   // so much more for each shard
constexpr double announce_part = 0.5;   // of a message: all its announces together are no more, or it goes by the mesh
constexpr double passed_on_factor = 1.5;  // times a member's even part: what it passes on of one message,
constexpr double passed_on_more = 2;      // and so many packets more
constexpr std::size_t wanted_factor = 4;  // times the shards: what a publisher gives members, lost packets and all
constexpr std::size_t recoded_rows = 8;
constexpr std::size_t announce_overhead_bytes = frame_prefix_bytes + datagram_overhead_bytes + 28;
constexpr Duration full_within = milliseconds(10);  // members hear with their acknowledgements that all is here

Instant patience_end(const Message& message) noexcept {
  return message.first_seen + patience_most + patience_each * static_cast<std::int64_t>(message.shards());
}

}  // namespace

void Relay::State::take(Instant, const MemberSet& command) noexcept {
  Route* route = find_route(command.topic);
  if (route == nullptr || two_hops.empty() || command.peer >= std::min(peers.size(), members_max)) return;
  if (command.is_member && peers[command.peer].is_up) {
    route->members.set(command.peer);
  } else {
    route->members.clear(command.peer);
  }
}

void Relay::State::forget_member(PeerIndex peer) noexcept {
  for (Route& route : routes) route.members.clear(peer);
  for (TwoHop& way : two_hops) {
    way.members.clear(peer);
    way.lacking.clear(peer);
    way.untold.clear(peer);
    way.told.clear(peer);
  }
}

/// All members must hear of it first: what that costs must be little beside the message itself.
bool Relay::State::is_worth_spreading(const Message& message, std::size_t members) const noexcept {
  const std::size_t digests = message.header.generations * sizeof(Digest);
  const std::size_t announces = members * (announce_overhead_bytes + message.header_bytes + digests);
  const std::size_t bytes = message.shards() * (std::size_t{message.header.shard_bytes} + params.shard_bytes_elided);
  return members >= 2 && static_cast<double>(announces) <= announce_part * static_cast<double>(bytes);
}

/// A message published here goes to all members of its topic in two hops, where that is worth it.
void Relay::State::begin_spread(std::uint32_t slot, const Route& route) noexcept {
  Message& message = messages[slot];
  const std::size_t members = route.members.count();
  if (!is_worth_spreading(message, members)) return;
  message.is_two_hop = true;
  TwoHop& way = two_hops[slot];
  way = {};
  way.lacking = way.untold = way.members = route.members;
  // Next hops are announced to as such.
  for (std::uint8_t f = 0; f < message.flow_count; ++f) way.untold.clear(message.flows[f].peer);
  way.turn = static_cast<PeerIndex>(rng.below(members_max));
  way.wanted = static_cast<std::uint32_t>(std::ceil(static_cast<double>(message.shards()) * params.start_mult));
  way.cycle = static_cast<std::uint32_t>(std::lcm(members, std::size_t{message.header.generations}));
  list_spread(slot);
}

/// A message that has just been heard of comes in two hops, when a member says so and it may be true: its publisher may
/// know fewer members.
void Relay::State::begin_two_hop(Instant now, std::uint32_t slot, PeerIndex from) noexcept {
  Message& message = messages[slot];
  const Route* const route = find_route(message.topic);
  if (route == nullptr || !route->members.has(from)) return;
  if (!is_worth_spreading(message, std::max<std::size_t>(2, route->members.count() / 2))) return;
  message.is_two_hop = message.is_patient = true;
  message.patient_until = std::min(patience_end(message), now + patience_first + peers[from].link.rtt());
  TwoHop& way = two_hops[slot];
  way = {};
  way.lacking = way.members = route->members;
  const auto members = static_cast<double>(std::max<std::size_t>(1, way.lacking.count()));
  const double part = static_cast<double>(message.shards()) * std::max(1.0, params.start_mult) / members;
  way.passed_on_max = static_cast<std::uint32_t>(std::ceil(part * passed_on_factor + passed_on_more));
}

/// The message that a packet with a hop is of: of rivals, its sender's own, else one that comes in two hops.
std::uint32_t Relay::State::find_spread(const CodedFrame& coded, PeerIndex from) const noexcept {
  const std::uint32_t first = messages.find_for(coded.tag, from);
  if (first == slot_none || !messages.has_rivals(first)) return first;
  if (MessageTable::find_flow(messages[first], from) != flow_none) return first;
  for (std::uint32_t slot = messages.find(coded.tag); slot != slot_none; slot = messages[slot].rival) {
    if (messages[slot].is_two_hop) return slot;
  }
  return first;
}

/// The flow of `peer`, or the place of members, which need none.
std::uint8_t Relay::State::flow_or_member(Message& message, std::uint32_t slot, PeerIndex peer) noexcept {
  const std::uint8_t f = MessageTable::find_flow(message, peer);
  if (f != flow_none) return f;
  if (!message.is_two_hop || !two_hops[slot].members.has(peer)) return flow_for(message, peer);
  message.flows[flow_members].peer = peer;
  return flow_members;
}

/// Something new came by itself, and more may: no need to ask.
void Relay::State::extend_patience(Instant now, Message& message, PeerIndex from) noexcept {
  if (message.progress_at != now) return;
  message.patient_until = std::min(patience_end(message), now + peers[from].link.rtt() / 2 + patience_least);
}

/// Puts a packet that came to be passed on into the ring, where it is of use to others: new here, or one of a
/// generation of which nothing is new here any more. Its sender has all of the message.
void Relay::State::note_passed_on(std::uint32_t slot, PeerIndex from, const CodedFrame& coded,
                                  std::size_t held_before) noexcept {
  const Message& message = messages[slot];
  const Generation& generation = messages.generation(message, coded.generation);
  if (message.is_careful || message.is_own) return;
  TwoHop& way = two_hops[slot];
  way.lacking.clear(from);
  const bool is_new = generation.held != held_before;
  if (!is_new && generation.held != message.header.k) return;
  if (way.passed_on == way.passed_on_max) return counters.add(Counter::drop_pass_on_total);
  ++way.passed_on;
  PassedOn& one = passed_on[passed_on_end++ % passed_on.size()];
  one = {slot, message.epoch, coded.generation, PassedOn::row_none, coded.form, coded.seed};
  if (is_new) one.row = static_cast<std::uint16_t>(held_before);
}

/// True when there is nothing more to do about it: the member is no next hop.
bool Relay::State::take_member_status(std::uint32_t slot, PeerIndex from, StatusState state) noexcept {
  TwoHop& way = two_hops[slot];
  const bool has_flow = MessageTable::find_flow(messages[slot], from) != flow_none;
  switch (state) {
    case StatusState::wanting: return false;
    case StatusState::full:
    case StatusState::refused:
      way.lacking.clear(from);
      way.untold.clear(from);
      break;
    case StatusState::unknown:
      if (has_flow || !way.lacking.has(from) || way.told.has(from)) break;
      way.untold.set(from);
      list_spread(slot);
      break;
  }
  return !has_flow;
}

void Relay::State::on_member_frame_ended(const SentFrame& frame, PeerIndex peer, bool is_acknowledged) noexcept {
  if (is_acknowledged || two_hops.empty() || peers[peer].link.is_silent()) return;
  const Message& message = messages[frame.message];
  TwoHop& way = two_hops[frame.message];
  if (!message.is_two_hop || !message.is_own) return;  // of those that passed something on nobody counts on one alone
  if (static_cast<FrameKind>(frame.kind) == FrameKind::announce) {
    if (!way.lacking.has(peer)) return;
    way.told.clear(peer);
    way.untold.set(peer);
  } else if (way.wanted < message.shards() * wanted_factor) {
    way.wanted += 2;  // as many are lost on the second hop, where nobody sends them again
  }
  list_spread(frame.message);
}

/// All of it is here: nobody need pass on more of it to us.
void Relay::State::tell_members(Instant now, std::uint32_t slot) noexcept {
  const Message& message = messages[slot];
  const Route* route = find_route(message.topic);
  if (route == nullptr) return;
  for (const PeerIndex peer : up_peers) {
    if (!route->members.has(peer) || MessageTable::find_flow(message, peer) != flow_none) continue;
    queue_loose(now, peer, message.tag, StatusState::full, full_within);
  }
}

void Relay::State::list_spread(std::uint32_t slot) noexcept {
  if (two_hops[slot].is_listed) return;
  two_hops[slot].is_listed = true;
  // Those of messages that went are taken out in turn; there may be one for each slot and no more.
  std::erase_if(spreading, [&](const MessageRef& one) { return !messages.is_current(one.message, one.epoch); });
  spreading.push_back({slot, messages[slot].epoch});
}

/// What this relay published goes to members, the oldest message first; others hear of messages that they ask about.
void Relay::State::spread_listed(Instant now, Outbox& out) noexcept {
  for (std::size_t i = 0; i < spreading.size();) {
    const MessageRef ref = spreading[i];
    const bool is_current = messages.is_current(ref.message, ref.epoch);
    const bool is_told = !is_current || tell_untold(now, ref.message, out);
    const bool is_given = !is_current || give_members(now, ref.message, out);
    if (!is_told || !is_given) {
      ++i;
      continue;
    }
    if (is_current) two_hops[ref.message].is_listed = false;
    spreading.erase(spreading.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

/// Announces to members that are no next hops. True when all have been told.
bool Relay::State::tell_untold(Instant now, std::uint32_t slot, Outbox& out) noexcept {
  const Message& message = messages[slot];
  TwoHop& way = two_hops[slot];
  SharedFrame made;
  bool is_blocked = false;
  PeerIndex to = way.untold.next(0);
  for (std::size_t left = way.untold.count(); left != 0; --left, to = way.untold.next(static_cast<PeerIndex>(to + 1))) {
    if (rate_at > now) return false;
    if (out.frames_left() == 0 || out.items_left() == 0) {
      is_outbox_short = true;
      return false;
    }
    if (!peers[to].link.has_log_room()) {
      is_blocked |= !peers[to].link.is_silent();
      continue;
    }
    if (made.frame == nullptr) {
      // Part of a list would only stand in the way of a whole one.
      std::array<std::uint8_t, frame_bytes_max> digests;
      const std::size_t used = datagram_overhead_bytes + frame_prefix_bytes + message.header_bytes;
      const bool is_list_true = message.is_own || message.is_list_right || message.state == MessageState::complete;
      const bool has_list = is_list_true && used + message.header.generations * sizeof(Digest) <= params.path_mtu_bytes;
      made.frame = out.take_frame();
      const AnnounceFrame announce = announce_of(message, 0, has_list ? message.header.generations : 0, digests);
      made.bytes = made.charged = static_cast<std::uint16_t>(write_announce(announce, made.frame));
    }
    ship_to_member(now, slot, 0, to, made, FrameKind::announce, out);
    way.untold.clear(to);
    way.told.set(to);
  }
  return !is_blocked;
}

/// Sends packets that are to be passed on, each to the next member whose link has room. True when all have been sent.
bool Relay::State::give_members(Instant now, std::uint32_t slot, Outbox& out) noexcept {
  const Message& message = messages[slot];
  TwoHop& way = two_hops[slot];
  if (!message.is_own) return true;
  if (message.state != MessageState::complete) return false;  // still being copied in
  while (way.given < way.wanted) {
    if (rate_at > now) return false;
    if (out.frames_left() == 0 || out.items_left() == 0) {
      is_outbox_short = true;
      return false;
    }
    PeerIndex to = way.lacking.next(way.turn);
    if (to == peer_none) break;
    const PeerIndex first = to;
    bool is_any_there = false;
    bool is_found = false;
    do {
      const Link& link = peers[to].link;
      is_found = !way.untold.has(to) && link.room(now, 1) != 0;
      is_any_there |= !link.is_silent();
      if (!is_found) to = way.lacking.next(static_cast<PeerIndex>(to + 1));
    } while (!is_found && to != first);
    if (!is_found && is_any_there) return false;
    if (!is_found) break;
    way.turn = static_cast<PeerIndex>(to + 1);
    give_one(now, slot, to, out);
  }
  way.given = way.wanted;
  return true;
}

/// The next packet, of another generation each time. Shards and generations are gone through so that each member has
/// some of every generation, also where the numbers of members and of generations have a common factor.
void Relay::State::give_one(Instant now, std::uint32_t slot, PeerIndex to, Outbox& out) noexcept {
  const Message& message = messages[slot];
  TwoHop& way = two_hops[slot];
  const std::size_t generations = message.header.generations;
  const std::size_t row = way.given / generations;
  const std::size_t g = (way.given % generations + way.given / way.cycle) % generations;
  ++way.given;
  const bool is_shard = row < message.header.k;
  SharedFrame made;
  made.frame = out.take_frame();
  const CodedForm form = is_shard ? CodedForm::systematic : CodedForm::seed;
  made.bytes = static_cast<std::uint16_t>(
      write_shards(message, g, form, is_shard ? row : rng.next(), Hop::first, made.frame));
  made.charged = static_cast<std::uint16_t>(made.bytes + params.shard_bytes_elided);
  // What goes to the mesh beside it is never a shard that went out already.
  messages.generation(message, g).next_systematic = message.header.k;
  ship_to_member(now, slot, g, to, made, FrameKind::coded, out);
  counters.add(Counter::tx_first_hop_total);
  if (is_shard) counters.add(Counter::tx_systematic_total);
}

/// A packet made from the shards of a decoded generation. Returns its bytes.
std::size_t Relay::State::write_shards(const Message& message, std::size_t g, CodedForm form, std::uint64_t seed,
                                       Hop hop, std::uint8_t* frame) noexcept {
  const Generation& generation = messages.generation(message, g);
  const std::size_t shard = message.header.shard_bytes;
  std::uint8_t* payload = frame + frame_prefix_bytes + row_head_bytes;
  if (form == CodedForm::systematic) {
    std::memcpy(payload, generation.rows[seed], shard);
  } else {
    codec::encode({&seed, 1}, {generation.rows.data(), message.header.k}, {&payload, 1}, shard);
  }
  begin_coded(message, g, form, seed, frame, hop);
  return frame_prefix_bytes + row_head_bytes + shard;
}

void Relay::State::ship_to_member(Instant now, std::uint32_t slot, std::size_t g, PeerIndex to,
                                  const SharedFrame& frame, FrameKind kind, Outbox& out) noexcept {
  const std::uint32_t sequence = peers[to].link.on_sent(
      now, {slot, messages[slot].epoch, static_cast<std::uint16_t>(g), frame.charged, flow_members,
            static_cast<std::uint8_t>(kind)});
  charge_rate(now, frame.charged);
  out.send_numbered(to, frame.frame, frame.bytes, sequence);
  counters.add(kind == FrameKind::coded ? Counter::tx_coded_total : Counter::tx_announce_total);
}

/// Passes packets on to one member, from where it stands in the ring, as its link has room.
void Relay::State::send_passed_on(Instant now, PeerIndex to, Outbox& out) noexcept {
  Peer& peer = peers[to];
  if (passed_on_end - peer.passed_on > passed_on.size()) {
    counters.add(Counter::drop_pass_on_overrun_total, passed_on_end - passed_on.size() - peer.passed_on);
    peer.passed_on = passed_on_end - passed_on.size();
  }
  for (; peer.passed_on != passed_on_end; ++peer.passed_on) {
    const PassedOn& one = passed_on[peer.passed_on % passed_on.size()];
    if (!messages.is_current(one.message, one.epoch) || messages[one.message].is_careful) continue;
    if (!two_hops[one.message].lacking.has(to)) continue;
    if (rate_at > now || peer.link.room(now, 1) == 0) return;
    if (out.frames_left() == 0 || out.items_left() == 0) {
      is_outbox_short = true;
      return;
    }
    ship_to_member(now, one.message, one.generation, to, shared_frame(peer.passed_on, out), FrameKind::coded, out);
    counters.add(Counter::tx_second_hop_total);
    if (params.rate_bytes_per_second_max != 0) {  // one each: the next member's turn
      ++peer.passed_on;
      return;
    }
  }
}

/// The packet as it came, or where it was not kept, or decoding took its place, one that is as good.
const SharedFrame& Relay::State::shared_frame(std::uint64_t index, Outbox& out) noexcept {
  SharedFrame& made = shared[index % shared.size()];
  if (made.frame != nullptr && made.index == index) return made;
  const PassedOn& one = passed_on[index % passed_on.size()];
  const Message& message = messages[one.message];
  const Generation& generation = messages.generation(message, one.generation);
  const std::size_t k = message.header.k;
  const std::size_t shard = message.header.shard_bytes;
  std::uint8_t* frame = out.take_frame();
  std::size_t bytes = 0;
  if (generation.is_decoded) {
    const bool is_vector = one.form == CodedForm::vector;
    bytes = write_shards(message, one.generation, is_vector ? CodedForm::seed : one.form,
                         is_vector ? rng.next() : one.seed, Hop::second, frame);
  } else if (one.row != PassedOn::row_none) {
    const std::uint8_t* const row = generation.rows[one.row];
    const bool is_vector = one.form == CodedForm::vector;
    const std::size_t head = is_vector ? codec::packed_bytes(k) : row_head_bytes;
    begin_coded(message, one.generation, one.form, one.seed, frame, Hop::second);
    if (is_vector) codec::pack_coefficients({row - k, k}, frame + frame_prefix_bytes);
    std::memcpy(frame + frame_prefix_bytes + head, row, shard);
    bytes = frame_prefix_bytes + head + shard;
  } else {
    std::array<const std::uint8_t*, recoded_rows> rows;
    const std::size_t used = std::min<std::size_t>(recoded_rows, generation.held);
    for (std::size_t i = 0; i < used; ++i) rows[i] = generation.rows[generation.held - 1 - i] - k;
    std::uint8_t* const output = frame + frame_prefix_bytes;
    codec::recode(rng, {rows.data(), used}, {&output, 1}, k + shard);
    frame = pack_vector(output, k);
    begin_coded(message, one.generation, CodedForm::vector, 0, frame, Hop::second);
    bytes = frame_prefix_bytes + codec::packed_bytes(k) + shard;
  }
  made = {index, frame, static_cast<std::uint16_t>(bytes),
          static_cast<std::uint16_t>(bytes + params.shard_bytes_elided)};
  return made;
}

}  // namespace corelay::dataplane
