// Frames in: what each kind of frame changes. Only authenticated frames come here, but their sender may lie.
#include <algorithm>
#include <array>
#include <cstring>

#include "codec/coefficients.h"
#include "dataplane/core/relay_state.h"

namespace corelay::dataplane {
namespace {

constexpr Duration refresh_every = milliseconds(10);
constexpr Duration unknown_wait_max = seconds(2);
constexpr std::uint8_t retold_max = 12;
constexpr float loss_least = 1e-18f;  // less is none: fading on, it would come to numbers that processors are slow with

/// Behind an odd number of half bytes comes one that is zero.
bool has_clean_end(Bytes row, std::size_t k) noexcept { return k % 2 == 0 || row[k / 2] >> 4 == 0; }

}  // namespace

void Relay::State::malformed(PeerIndex from) noexcept {
  counters.add(Counter::drop_malformed_frame_total);
  fault(from, PeerFault::malformed_frame);
}

void Relay::State::on_frame(Instant now, const RxFrame& frame) noexcept {
  if (frame.peer >= peers.size() || !peers[frame.peer].is_up) {
    counters.add(Counter::drop_unknown_peer_total);
    return;
  }
  counters.add(Counter::rx_frames_total);
  const auto kind = frame_kind(frame.bytes);
  if (!kind) return malformed(frame.peer);
  switch (*kind) {
    case FrameKind::announce: return on_announce(now, frame.peer, frame.bytes);
    case FrameKind::coded: return on_coded(now, frame.peer, frame.bytes);
    case FrameKind::feedback: return on_feedback(now, frame.peer, frame.bytes);
    case FrameKind::single: return on_single(now, frame.peer, frame.bytes);
    case FrameKind::probe: return on_probe(now, frame.peer, frame.bytes);
  }
}

/// The flow of `peer` in `message`, made when there is room; flow_none, counted, when there is none.
std::uint8_t Relay::State::flow_for(Message& message, PeerIndex peer) noexcept {
  const std::uint8_t f = messages.make_flow(message, peer);
  if (f == flow_none) counters.add(Counter::drop_flow_limit_total);
  return f;
}

std::uint32_t Relay::State::open_received(Instant now, PeerIndex from, Bytes encoded, const MessageTag& tag,
                                          const MessageHeader& header, bool is_single) noexcept {
  const TopicHash topic = topic_hash(header.topic());
  Route* route = find_route(topic);
  Counter reason{};
  if (route == nullptr) {
    reason = Counter::drop_unknown_topic_total;
  } else if (header.size_bytes > params.wire.message_bytes_max) {
    reason = Counter::drop_header_invalid_total;
  } else if (messages.open_of(from) >= params.messages_per_peer_max) {
    reason = Counter::drop_peer_limit_total;
  } else if (!condemned.is_empty() && condemned.contains(now, digest_of(encoded))) {
    reason = Counter::drop_header_false_total;
  } else if (params.verify_before_forward && !verify_header(encoded)) {
    counters.add(Counter::drop_header_signature_total);
    fault(from, PeerFault::bad_signature);
    return slot_none;
  } else {
    const auto [slot, outcome] = messages.open(now, tag, header, is_single, from);
    if (slot != slot_none) {
      Message& message = messages[slot];
      message.topic = topic;
      message.is_read = route->deliver;
      message.is_signature_ok = params.verify_before_forward;
      message.header_bytes = static_cast<std::uint16_t>(encoded.size());
      std::memcpy(message.encoded_header.data(), encoded.data(), encoded.size());
      if (!is_single) {
        messages.hasher(slot).reset();
        message.status_wait = milliseconds(20);
        message.status_at = now + message.status_wait;
      }
      join_flows(slot, *route, from);
      note_unsettled(slot);
      return slot;
    }
    reason = outcome == Admission::over_share ? Counter::drop_peer_share_total : Counter::drop_memory_full_total;
  }
  counters.add(reason);
  queue_loose(now, from, tag, StatusState::refused);
  return slot_none;
}

void Relay::State::on_announce(Instant now, PeerIndex from, Bytes bytes) noexcept {
  const auto announce = parse_announce(bytes);
  if (!announce) return malformed(from);
  if (!peers[from].link.on_received(now, announce->sequence)) {
    return counters.add(Counter::drop_duplicate_frame_total);
  }
  counters.add(Counter::rx_announce_total);
  peers[from].link.on_bulk_received();
  const auto header = parse_header(announce->header);
  // A message of one shard travels whole: announced, it would be served in coded frames that nobody may send.
  if (!header || (header->k == 1 && header->generations == 1)) {
    counters.add(Counter::drop_header_invalid_total);
    return fault(from, PeerFault::malformed_frame);
  }
  const MessageTag tag = tag_of(header->id, header->topic());
  if (tag[0] % params.wire.lanes != params.lane) return malformed(from);
  std::uint32_t slot = messages.find(tag);
  const bool is_known = slot != slot_none;
  const bool is_held = is_known && (messages[slot].is_own || messages[slot].is_single ||
                                    messages[slot].state == MessageState::complete);
  if (!is_known) {
    if (seen.contains(now, tag)) return queue_loose(now, from, tag, StatusState::full);
    slot = open_received(now, from, announce->header, tag, *header, false);
  } else if (!is_held) {
    slot = rival_for(now, from, announce->header, tag, *header);
  }
  if (slot == slot_none) return;
  Message& message = messages[slot];
  const bool is_untouched = !is_held && message.deficit == message.shards();
  if (announce->is_spread && !message.is_two_hop && is_untouched && !two_hops.empty()) begin_two_hop(now, slot, from);
  const std::uint8_t f = announce->is_spread ? flow_or_member(message, slot, from) : flow_for(message, from);
  if (f == flow_none) return;
  if (!is_held) take_list(now, slot, f, *announce);
  message.flows[f].is_provider = true;
  message.flows[f].has_named = true;
  // A repeated announce means the sender does not know how we stand.
  if (is_known && f != flow_members) queue_status(now, slot, f, microseconds(200));
}

void Relay::State::take_digests(Message& message, const AnnounceFrame& announce) noexcept {
  for (std::size_t i = 0; i < announce.digest_count; ++i) {
    const std::size_t g = announce.first_digest + i;
    if (g >= message.header.generations) return;
    Generation& generation = messages.generation(message, g);
    if (generation.has_digest) continue;
    std::memcpy(generation.digest.data(), announce.digests.data() + i * sizeof(Digest), sizeof(Digest));
    generation.has_digest = true;
  }
}

void Relay::State::on_coded(Instant now, PeerIndex from, Bytes bytes) noexcept {
  const auto coded = parse_coded(bytes);
  if (!coded) return malformed(from);
  Link& link = peers[from].link;
  const Duration wait = coded->hop == Hop::second ? link.member_feedback_wait() : link.feedback_wait();
  if (!link.on_received(now, coded->sequence, wait)) return counters.add(Counter::drop_duplicate_frame_total);
  counters.add(Counter::rx_coded_total);
  if (coded->hop != Hop::second) link.on_bulk_received();
  const std::uint32_t slot = coded->hop == Hop::none ? messages.find_for(coded->tag, from) : find_spread(*coded, from);
  if (slot == slot_none) {
    if (seen.contains(now, coded->tag)) {
      counters.add(Counter::rx_coded_after_complete_total);
      return queue_loose(now, from, coded->tag, StatusState::full);
    }
    counters.add(Counter::drop_unknown_message_total);
    return queue_loose(now, from, coded->tag, StatusState::unknown);
  }
  Message& message = messages[slot];
  const bool is_vector = coded->form == CodedForm::vector;
  const std::size_t vector_bytes = is_vector ? codec::packed_bytes(message.header.k) : row_head_bytes;
  const bool fits = !message.is_single && coded->generation < message.header.generations &&
                    coded->row.size() == vector_bytes + message.header.shard_bytes &&
                    (!is_vector || has_clean_end(coded->row, message.header.k)) &&
                    (coded->form != CodedForm::systematic || coded->seed < message.header.k);
  if (!fits) {
    // It has the message cut in another way: what we hold whole it need not send, of anything else it must say how.
    counters.add(Counter::drop_geometry_total);
    const bool is_whole = message.is_own || message.state == MessageState::complete;
    return queue_loose(now, from, coded->tag, is_whole ? StatusState::full : StatusState::unknown);
  }
  const std::uint8_t f = coded->hop == Hop::none ? flow_for(message, from) : flow_or_member(message, slot, from);
  if (f == flow_none) return;
  Flow& flow = message.flows[f];
  flow.is_provider = true;
  ++flow.received;
  const Generation& generation = messages.generation(message, coded->generation);
  const std::size_t held = generation.held;
  // What is passed on, nobody vouches for.
  if (coded->hop == Hop::none && is_suspect(flow) && generation.is_right) return examine(now, slot, f, *coded);
  if (message.deficit == 0) {
    counters.add(Counter::rx_coded_after_complete_total);
    trace(message, from, ShardTrace::after_complete);
    if (message.is_two_hop && coded->hop == Hop::first) note_passed_on(slot, from, *coded, held);
    if (f != flow_members) queue_status(now, slot, f, microseconds(0));
    return;
  }
  // Who passes it on has not checked it.
  if (message.is_careful && coded->hop == Hop::second) return counters.add(Counter::drop_unvouched_total);
  if (f != flow_members) queue_status(now, slot, f, link.feedback_wait());
  absorb(now, slot, f, *coded);
  if (!message.is_two_hop) return;
  if (message.is_patient) extend_patience(now, message, from);
  if (coded->hop == Hop::first) note_passed_on(slot, from, *coded, held);
  if (message.deficit == 0) tell_members(now, slot);
}

void coefficients_of(const CodedFrame& coded, std::span<std::uint8_t> vector) noexcept {
  switch (coded.form) {
    case CodedForm::vector: return codec::unpack_coefficients(coded.row.data(), vector);
    case CodedForm::seed: return codec::expand_seed(coded.seed, vector);
    case CodedForm::systematic:
      std::fill(vector.begin(), vector.end(), std::uint8_t{0});
      vector[coded.seed] = 1;
  }
}

void Relay::State::absorb(Instant now, std::uint32_t slot, std::uint8_t f, const CodedFrame& coded) noexcept {
  Message& message = messages[slot];
  Generation& generation = messages.generation(message, coded.generation);
  if (is_guarded(message, generation, f) && !is_vouched(message, generation, f, coded.form)) {
    return counters.add(Counter::drop_unvouched_total);
  }
  const std::size_t k = message.header.k;
  std::array<std::uint8_t, k_wire_max> memory;
  const std::span<std::uint8_t> vector(memory.data(), k);
  const Bytes payload = coded.row.last(message.header.shard_bytes);
  coefficients_of(coded, vector);
  const codec::Absorbed verdict = coded.form == CodedForm::systematic
                                      ? generation.decoder.absorb_systematic(coded.seed)
                                      : generation.decoder.absorb(vector);
  if (verdict != codec::Absorbed::innovative) {
    const bool is_late = verdict == codec::Absorbed::complete;
    counters.add(is_late ? Counter::rx_coded_after_complete_total : Counter::rx_coded_redundant_total);
    return trace(message, message.flows[f].peer, is_late ? ShardTrace::after_complete : ShardTrace::redundant);
  }
  std::uint8_t* cell = messages.take_cell(message);
  std::uint8_t* row = MessageTable::payload_of(cell);
  std::memcpy(row - k, vector.data(), k);
  std::memcpy(row, payload.data(), payload.size());
  generation.rows[generation.held++] = row;
  ++generation.flows[f].received;
  if (generation.source == f) generation.source_at = now;
  message.flows[f].innovative += 1;
  --message.deficit;
  message.progress_at = now;
  message.status_wait = milliseconds(20);
  message.status_at = now + message.status_wait;
  message.completed_by = message.flows[f].peer;
  counters.add(Counter::rx_coded_innovative_total);
  if (now >= message.refresh_at) refresh(now, slot);
  trace(message, message.flows[f].peer, ShardTrace::fresh);
  if (generation.decoder.is_complete()) {
    ++message.generations_complete;
    queue_decode(slot, coded.generation);
  }
  if (message.deficit == 0) {
    if (!message.is_read) carry(now, slot);
    for (std::uint8_t other = 0; other < message.flow_count; ++other) queue_status(now, slot, other, microseconds(0));
  }
  queue_all(slot);
}

/// A provider that sent nothing for a while still holds what it was allowed to send then.
void Relay::State::refresh(Instant now, std::uint32_t slot) noexcept {
  Message& message = messages[slot];
  message.refresh_at = now + refresh_every;
  for (std::uint8_t f = 0; f < message.flow_count; ++f) {
    if (message.flows[f].is_provider) queue_status(now, slot, f, milliseconds(2));
  }
}

void Relay::State::on_feedback(Instant now, PeerIndex from, Bytes bytes) noexcept {
  const auto feedback = parse_feedback(bytes);
  if (!feedback) return malformed(from);
  counters.add(Counter::rx_feedback_total);
  float loss = peers[from].loss;
  const bool is_new = peers[from].link.on_feedback(
      now,
      {feedback->highest_sequence, microseconds(feedback->delay_us), feedback->number, feedback->arrival_us,
       feedback->words},
      [&](const SentFrame& frame, bool is_acknowledged) {
        loss += ((is_acknowledged ? 0.0f : 1.0f) - loss) / 64;
        if (loss < loss_least) loss = 0;
        on_frame_ended(now, from, frame, is_acknowledged);
      });
  if (!is_new) return;
  peers[from].loss = loss;
  if (feedback->place != 0) peers[from].place_there = feedback->place;
  Bytes statuses = feedback->statuses;
  while (const auto status = next_status(statuses)) on_status(now, from, *status);
}

void Relay::State::on_frame_ended(Instant now, PeerIndex peer, const SentFrame& frame, bool is_acknowledged) noexcept {
  if (!is_acknowledged) counters.add(Counter::tx_lost_total);
  if (!messages.is_current(frame.message, frame.epoch)) return;
  if (frame.flow == flow_members) return on_member_frame_ended(frame, peer, is_acknowledged);
  Message& message = messages[frame.message];
  Flow& flow = message.flows[frame.flow];
  if (flow.peer != peer) return;
  switch (static_cast<FrameKind>(frame.kind)) {
    case FrameKind::coded: {
      GenerationFlow& part = messages.generation(message, frame.generation).flows[frame.flow];
      if (part.inflight != 0) --part.inflight;
      if (flow.inflight != 0) --flow.inflight;
      if (is_acknowledged) break;
      if (part.given != 0) --part.given;
      if (flow.state == PeerState::unheard && flow.start_used != 0) --flow.start_used;
      queue_bulk(frame.message, frame.flow);
      break;
    }
    case FrameKind::announce:
      // After so many in vain it must ask, or is offered it again when the message is whole.
      if (is_acknowledged || flow.retold == retold_max) break;
      if (flow.state != PeerState::unheard && flow.state != PeerState::wanting) break;
      ++flow.retold;
      flow.needs_announce = true;
      queue_urgent(frame.message, frame.flow);
      break;
    case FrameKind::single:
      if (is_acknowledged) {
        flow.state = PeerState::full;
        outcome(message, true, {});
      } else if (flow.state != PeerState::full) {
        flow.needs_single = true;
        queue_urgent(frame.message, frame.flow);
      }
      break;
    default: break;
  }
  static_cast<void>(now);
}

void Relay::State::on_status(Instant now, PeerIndex from, const StatusFrame& status) noexcept {
  const std::uint32_t slot = messages.find_for(status.tag, from);
  if (slot == slot_none) {
    if (status.state == StatusState::full) note_heard(now, from, status.tag);
    if (status.state == StatusState::unknown) forget_heard(from, status.tag);
    if (status.state != StatusState::wanting) return;
    const bool was_here = seen.contains(now, status.tag);
    return queue_loose(now, from, status.tag, was_here ? StatusState::refused : StatusState::unknown);
  }
  Message& message = messages[slot];
  if (message.is_two_hop && take_member_status(slot, from, status.state)) return;
  const std::uint8_t f = flow_for(message, from);
  if (f == flow_none) return;
  Flow& flow = message.flows[f];
  switch (status.state) {
    case StatusState::wanting: return on_wanting(now, slot, f, status);
    case StatusState::full:
      flow.state = PeerState::full;
      flow.is_provider = true;
      flow.want = 0;
      if (message.state == MessageState::complete) outcome(message, true, {});
      if (is_suspect(flow)) queue_status(now, slot, f, peers[from].link.feedback_wait());
      if (message.is_careful && message.deficit != 0) find_sources(now, slot);
      return;
    case StatusState::unknown: {
      flow.is_provider = false;
      if (flow.state == PeerState::refused && now - flow.announced_at < flow.announce_wait) return;
      // At once the first time; a neighbour that says so again and again is told ever more seldom.
      const Duration least = std::max(peers[from].link.rtt() / 2, milliseconds(1));
      if (now - flow.announced_at < std::min(least * (std::int64_t{1} << flow.retold), unknown_wait_max)) return;
      if (flow.retold < retold_max) ++flow.retold;
      flow.state = PeerState::unheard;
      if (message.is_single) {
        flow.needs_single = true;
      } else {
        flow.needs_announce = true;
      }
      return queue_urgent(slot, f);
    }
    case StatusState::refused:
      flow.is_provider = false;
      flow.state = PeerState::refused;
      flow.want = 0;
      flow.announced_at = now;
      flow.announce_wait = seconds(1);
      return note_unsettled(slot);  // it may have room later
  }
}

/// What a neighbour lacks of each generation, and how much it may have on the way.
void Relay::State::on_wanting(Instant now, std::uint32_t slot, std::uint8_t f, const StatusFrame& status) noexcept {
  Message& message = messages[slot];
  Flow& flow = message.flows[f];
  if (message.is_single) return;  // nobody was told of ranks
  if (status.first_generation + status.deficits.size() > message.header.generations) return;
  flow.state = PeerState::wanting;
  flow.is_next_hop = true;
  flow.want = status.want;
  bool is_asking = false;
  for (std::size_t i = 0; i < status.deficits.size(); ++i) {
    GenerationFlow& part = messages.generation(message, status.first_generation + i).flows[f];
    const std::uint8_t deficit = status.deficits[i];
    is_asking |= deficit == deficit_held_back;
    const auto most = static_cast<std::uint8_t>(message.header.k);
    part.deficit = deficit == deficit_held_back ? deficit : std::min(deficit, most);
  }
  if (is_asking && message.state == MessageState::complete && !flow.is_told_full) {
    flow.is_told_full = true;
    queue_status(now, slot, f, microseconds(0));
  }
  if (is_asking && message.state == MessageState::carried && !message.is_asked) {
    message.is_asked = true;
    for (std::size_t g = 0; g < message.header.generations; ++g) queue_decode(slot, static_cast<std::uint16_t>(g));
  }
  if (message.is_careful && message.deficit != 0) find_sources(now, slot);
  if (is_suspect(flow)) queue_status(now, slot, f, peers[flow.peer].link.feedback_wait());
  note_unsettled(slot);
  queue_bulk(slot, f);
}

void Relay::State::on_probe(Instant now, PeerIndex from, Bytes bytes) noexcept {
  const auto probe = parse_probe(bytes);
  if (!probe) return malformed(from);
  counters.add(Counter::rx_probe_total);
  if (probe->ask) peers[from].link.want_feedback(now);
}

}  // namespace corelay::dataplane
