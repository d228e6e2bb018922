// The relay's entry points, commands, routes and timers.
#include "dataplane/core/relay.h"

#include <algorithm>
#include <cstring>

#include "dataplane/core/relay_state.h"

namespace corelay::dataplane {
namespace {

constexpr Duration housekeep_every = milliseconds(5);
constexpr Duration spread_again = milliseconds(1);  // no link to a member has room
constexpr Duration announce_wait_min = milliseconds(50);
constexpr Duration announce_wait_max = seconds(2);
constexpr Duration status_wait_max = seconds(1);
constexpr std::size_t condemned_max = 4096;
constexpr std::size_t member_queue_max = 1024;  // messages that wait for one peer, where there are very many peers
constexpr std::size_t passed_on_max = 8192;     // packets that wait to be passed on
constexpr std::size_t frames_each_tick = 32;  // a driver ticks so often after a burst

/// Room for outcomes of commands; a relay with small tables needs less.
std::size_t outcomes_max(const RelayParams& params) noexcept {
  return std::clamp<std::size_t>(params.messages_max * 16, 256, 8192);
}

std::size_t soft_events_max(const RelayParams& params) noexcept {
  return std::clamp<std::size_t>(params.peers_max * 16, 128, 1024);
}

}  // namespace

Relay::State::State(const RelayParams& relay_params, std::uint64_t seed, Counters& lane_counters)
    : params(relay_params),
      counters(lane_counters),
      rng(seed),
      messages(relay_params, rng.next(), lane_counters),
      seen(relay_params.seen_max, relay_params.seen_time, rng.next()),
      condemned(std::min(condemned_max, relay_params.seen_max), relay_params.seen_time, rng.next()),
      waiting_whole(relay_params.messages_max),
      loads(relay_params.messages_max),
      decodes(relay_params.generations_max * 2),
      idle_decodes(relay_params.generations_max * 2),
      hashes(relay_params.messages_max * 2),
      deliveries(relay_params.messages_max),
      // what may come of commands, and of messages held
      outcomes(outcomes_max(relay_params) + relay_params.messages_max),
      gone(relay_params.peers_max),
      soft_events(soft_events_max(relay_params)) {
  peers.reserve(params.peers_max);
  const bool is_mesh = params.router == Router::mesh;
  const std::size_t queue_max = is_mesh ? params.messages_max * 2 : std::min(params.messages_max * 2, member_queue_max);
  for (std::size_t i = 0; i < params.peers_max; ++i) peers.emplace_back(queue_max, params.link_frames_max);
  if (!is_mesh) {
    two_hops.resize(params.messages_max);
    spreading.reserve(params.messages_max);
    passed_on.resize(std::min(passed_on_max, params.cells_max));
  }
  up_peers.reserve(params.peers_max);
  routes.reserve(params.topics_max);
  unsettled.reserve(params.messages_max);
  const auto make_room = [](void* self, Instant now, std::uint32_t slot) {
    static_cast<State*>(self)->make_room(now, slot);
  };
  messages.on_evict(make_room, this);
}

Relay::Relay(const RelayParams& params, std::uint64_t seed, Counters& counters)
    : state_(std::make_unique<State>(params, seed, counters)) {}

Relay::~Relay() = default;

void Relay::on_burst(Instant now, std::span<const RxFrame> frames, Outbox& out) noexcept {
  for (const RxFrame& frame : frames) state_->on_frame(now, frame);
  state_->busy_ticks = 1 + frames.size() / frames_each_tick;
  state_->spread_due(now);
  state_->pump(now, out);
  state_->flush_events(out);
  state_->update_deadline(now, out);
}

void Relay::on_command(Instant now, const Command& command, Outbox& out) noexcept {
  std::visit([&](const auto& one) { state_->take(now, one); }, command);
  state_->pump(now, out);
  state_->flush_events(out);
  state_->update_deadline(now, out);
}

void Relay::on_tick(Instant now, Outbox& out) noexcept {
  State& state = *state_;
  state.decode_one(now, state.decodes);
  if (state.busy_ticks == 0) {
    state.decode_one(now, state.idle_decodes);
  } else {
    --state.busy_ticks;
  }
  state.hash_one(now);
  state.load_some(now);
  state.spread_due(now);
  if (now >= state.housekeep_at) {
    state.housekeep(now);
    state.housekeep_at = never;
  }
  state.pump(now, out);
  state.flush_events(out);
  state.update_deadline(now, out);
}

Instant Relay::next_deadline() const noexcept { return state_->deadline; }

bool Relay::can_take_command() const noexcept {
  return state_->outcomes.size() + 64 < outcomes_max(state_->params);
}

Route* Relay::State::find_route(TopicHash topic) noexcept {
  const auto found = std::find_if(routes.begin(), routes.end(), [&](const Route& r) { return r.topic == topic; });
  return found == routes.end() ? nullptr : &*found;
}

void Relay::State::take(Instant now, const PeerUp& command) noexcept {
  if (command.peer >= peers.size()) return;
  Peer& peer = peers[command.peer];
  peer.frame_bytes_max = static_cast<std::uint16_t>(command.path_mtu_bytes - datagram_overhead_bytes);
  if (peer.is_up) return;  // new keys or a new address: the link goes on
  peer.is_up = true;
  peer.right_owed = 0;
  peer.link.reset(now, command.rtt);
  peer.passed_on = passed_on_end;
  up_peers.push_back(command.peer);
  peer.place_there = static_cast<std::uint8_t>(command.peer * 37);  // until it says
  place_peers();
}

void Relay::State::place_peers() noexcept {
  for (std::size_t i = 0; i < up_peers.size(); ++i) {
    peers[up_peers[i]].place_here = static_cast<std::uint8_t>(1 + i * 255 / up_peers.size());
  }
}

void Relay::State::take(Instant now, const PeerDown& command) noexcept {
  if (command.peer >= peers.size()) return;
  Peer& peer = peers[command.peer];
  if (peer.is_up) {
    for (std::uint32_t slot = messages.oldest(); slot != slot_none; slot = messages[slot].newer) {
      Message& message = messages[slot];
      const std::uint8_t f = MessageTable::find_flow(message, command.peer);
      if (f != flow_none) messages.clear_flow(message, f);
      if (message.opened_by == command.peer) message.opened_by = peer_none;
      if (message.charged_to == command.peer) find_heir(slot);
      // Deliveries that wait already are told before PeerGone; a later one must not name whoever has the index then.
      if (message.completed_by == command.peer && !message.is_delivery_pending) message.completed_by = peer_none;
    }
    for (Route& route : routes) {
      const auto end = std::remove(route.next_hops.begin(), route.next_hops.begin() + route.count, command.peer);
      route.count = static_cast<std::uint8_t>(end - route.next_hops.begin());
    }
    if (!two_hops.empty()) forget_member(command.peer);
    peer.is_up = false;
    peer.loss = 0;
    peer.urgent.clear();
    peer.bulk.clear();
    peer.statuses.clear();
    peer.loose.clear();
    peer.link.reset(now);
    up_peers.erase(std::find(up_peers.begin(), up_peers.end(), command.peer));
    place_peers();
    peer.heard.fill({});
  }
  gone.push(command.peer);
}

void Relay::State::take(Instant, const RouteSet& command) noexcept {
  Route* route = find_route(command.topic);
  if (route == nullptr) {
    if (routes.size() == params.topics_max) {
      counters.add(Counter::drop_memory_full_total);
      return;
    }
    routes.push_back({});
    route = &routes.back();
  }
  *route = {command.topic, command.deliver, command.count, command.next_hops, route->members};
  for (std::uint32_t slot = messages.oldest(); slot != slot_none; slot = messages[slot].newer) {
    Message& message = messages[slot];
    if (message.topic != command.topic) continue;
    if (message.state == MessageState::receiving) read(slot, command.deliver || messages.has_rivals(slot));
    for (std::uint8_t f = 0; f < message.flow_count; ++f) message.flows[f].is_next_hop = false;
    join_flows(slot, *route, peer_none);
    if (!is_settled(message)) note_unsettled(slot);
  }
}

/// Somebody here begins, or nobody goes on, to wait for a message that is still coming. Rivals are always waited for.
void Relay::State::read(std::uint32_t slot, bool is_read) noexcept {
  Message& message = messages[slot];
  if (message.is_read == is_read) return;
  message.is_read = is_read;
  for (std::size_t g = 0; is_read && !message.is_single && g < message.header.generations; ++g) {
    const Generation& generation = messages.generation(message, g);
    if (!generation.is_decoded && generation.decoder.is_complete()) queue_decode(slot, static_cast<std::uint16_t>(g));
  }
}

void Relay::State::take(Instant, const RouteClear& command) noexcept {
  const Route* route = find_route(command.topic);
  if (route == nullptr) return;
  for (std::uint32_t slot = messages.oldest(); slot != slot_none; slot = messages[slot].newer) {
    Message& message = messages[slot];
    if (message.topic != command.topic) continue;
    for (std::uint8_t f = 0; f < message.flow_count; ++f) message.flows[f].is_next_hop = false;
  }
  routes.erase(routes.begin() + (route - routes.data()));
}

void Relay::State::take(Instant now, const Publish& command) noexcept {
  const PreparedMessage& prepared = *command.message;
  const bool is_single = prepared.header.k == 1 && prepared.header.generations == 1;
  const auto refuse = [&](PublishFailure reason) {
    counters.add(Counter::drop_publish_total);
    CHECK(outcomes.push({command.message, false, reason}));
  };
  if (prepared.payload.size() > params.wire.message_bytes_max) return refuse(PublishFailure::too_large);
  const std::uint32_t known = messages.find(prepared.tag);
  // What is on its way here may never come, or be false: it gives way to the bytes themselves.
  const bool is_held = known != slot_none && (messages[known].is_own || messages[known].is_single ||
                                              messages[known].state == MessageState::complete);
  if (seen.contains(now, prepared.tag) || is_held) return refuse(PublishFailure::duplicate);
  const std::uint32_t slot = messages.open(now, prepared.tag, prepared.header, is_single, peer_none).slot;
  if (slot == slot_none) return refuse(PublishFailure::memory_full);
  Message& message = messages[slot];
  message.is_own = message.is_signature_ok = true;
  message.prepared = command.message;
  message.topic = prepared.topic_hash;
  message.header_bytes = static_cast<std::uint16_t>(prepared.encoded_header.size());
  std::memcpy(message.encoded_header.data(), prepared.encoded_header.data(), prepared.encoded_header.size());
  seen.insert(now, prepared.tag);
  counters.add(Counter::messages_published_total);
  if (is_single) {
    std::uint8_t* cell = messages.take_cell(message);
    if (!prepared.payload.empty()) {
      std::memcpy(MessageTable::payload_of(cell), prepared.payload.data(), prepared.payload.size());
    }
    messages.hold_single(message, cell);
    message.state = MessageState::complete;
    message.completed_at = now;
    messages.finish(slot);
  } else {
    for (std::size_t g = 0; g < message.header.generations; ++g) {
      Generation& generation = messages.generation(message, g);
      generation.digest = prepared.digests[g];
      generation.has_digest = true;
    }
    message.state = MessageState::loading;
    message.deficit = 0;  // nothing is missing here: what peers send back must not mix with the rows being loaded
    CHECK(loads.push(slot));
  }
  if (known != slot_none) drop_rivals(now, slot);
  if (const Route* route = find_route(message.topic); route != nullptr) {
    join_flows(slot, *route, peer_none);
    if (!two_hops.empty() && !is_single) begin_spread(slot, *route);
  }
  note_unsettled(slot);
}

void Relay::State::take(Instant, const Release& command) noexcept {
  if (command.handle < params.messages_max) messages[command.handle].is_held_by_control = false;
}

void Relay::State::take(Instant, const SetTrace& command) noexcept { is_tracing = command.on; }

/// Gives every next hop of the route a flow in the message, with its start allowance, and has the message announced to
/// all of them: also to the one it came from, which lacks what reaches us on other ways and only tells those that
/// announced it how much. One that travels whole is sent to the others.
void Relay::State::join_flows(std::uint32_t slot, const Route& route, PeerIndex except) noexcept {
  Message& message = messages[slot];
  const bool has_rivals = messages.has_rivals(slot);
  const double shards = static_cast<double>(message.shards());
  const double share = params.start_mult * shards / std::max<double>(1, route.count);
  for (std::size_t i = 0; i < route.count; ++i) {
    if (!peers[route.next_hops[i]].is_up) continue;
    if (has_rivals && is_bound_elsewhere(slot, route.next_hops[i])) continue;
    const bool is_new = MessageTable::find_flow(message, route.next_hops[i]) == flow_none;
    const std::uint8_t f = flow_for(message, route.next_hops[i]);
    if (f == flow_none) continue;
    Flow& flow = message.flows[f];
    flow.is_next_hop = true;
    if (!is_new) continue;
    flow.start_share = static_cast<std::uint32_t>(share) + 1;
    flow.announce_wait = announce_wait_min;
    flow.generation = static_cast<std::uint16_t>(rng.below(message.header.generations));
    flow.needs_single = message.is_single && message.single_row != nullptr && flow.peer != except;
    flow.needs_announce = !message.is_single;
    if (flow.needs_single || flow.needs_announce) queue_urgent(slot, f);
  }
}

bool Relay::State::is_settled(const Message& message) const noexcept {
  if (!message.is_whole() || message.prepared != nullptr) return false;
  for (std::uint8_t f = 0; f < message.flow_count; ++f) {
    const Flow& flow = message.flows[f];
    if (flow.peer != peer_none && flow.is_next_hop && flow.state != PeerState::full) return false;
  }
  return true;
}

bool Relay::State::has_taker(const Message& message) const noexcept {
  for (std::uint8_t f = 0; f < message.flow_count; ++f) {
    const Flow& flow = message.flows[f];
    if (flow.peer == peer_none || !flow.is_next_hop || flow.state == PeerState::refused) continue;
    // Control may reach a neighbour that no datagram of ours does.
    if (!peers[flow.peer].link.is_silent()) return true;
  }
  return false;
}

void Relay::State::note_unsettled(std::uint32_t slot) noexcept {
  if (messages[slot].is_unsettled) return;
  messages[slot].is_unsettled = true;
  unsettled.push_back(slot);
}

void Relay::State::housekeep(Instant now) noexcept {
  seen.expire(now);
  condemned.expire(now);
  for (std::size_t i = unsettled.size(); i-- > 0;) {
    const std::uint32_t slot = unsettled[i];
    if (is_settled(messages[slot])) {
      messages[slot].is_unsettled = false;
      unsettled[i] = unsettled.back();
      unsettled.pop_back();
      continue;
    }
    keep_message(now, slot);
  }
  for (std::uint32_t slot = messages.oldest(); slot != slot_none;) {
    const Message& message = messages[slot];
    if (now - message.first_seen <= params.keep_time) break;  // all others are younger
    const std::uint32_t next = message.newer;
    if (message.is_whole() && now - message.completed_at > params.keep_time && !message.is_in_use()) {
      close_message(slot);
    }
    slot = next;
  }
  messages.update_gauges();
}

/// The timers of one unsettled message.
void Relay::State::keep_message(Instant now, std::uint32_t slot) noexcept {
  Message& message = messages[slot];
  if (message.state == MessageState::receiving) {
    if (now - message.progress_at > params.incomplete_time) {
      counters.add(Counter::drop_incomplete_evicted_total);
      return close_message(slot);
    }
    if (message.is_waiting()) {
      if (now < message.patient_until) return;
      message.is_patient = false;
      message.status_at = now;
    }
    if (now < message.status_at) return;
    if (!message.is_careful && !message.is_single) message.is_careful = is_left_to_suspects(now, message);
    if (message.is_careful) find_sources(now, slot);
    bool is_asked = false;
    for (std::uint8_t f = 0; f < message.flow_count; ++f) {
      if (!message.flows[f].is_provider || message.flows[f].peer == peer_none) continue;
      queue_status(now, slot, f, microseconds(0));
      is_asked = true;
    }
    for (std::uint8_t f = 0; !is_asked && f < message.flow_count; ++f) {
      if (message.flows[f].peer != peer_none) queue_status(now, slot, f, microseconds(0));
    }
    message.status_wait = std::min(message.status_wait * 2, status_wait_max);
    message.status_at = now + message.status_wait;
    return;
  }
  // A message that waits its turn behind others, or is half sent, is not one that nobody wants.
  if (message.prepared != nullptr && message.state == MessageState::complete &&
      now - message.first_seen > params.publish_hold && !has_taker(message)) {
    outcome(message, false, PublishFailure::no_peers);
    counters.add(Counter::drop_publish_total);
    seen.insert(now - params.seen_time - Duration{1}, message.tag);  // forgotten: it may be tried again
    return close_message(slot);
  }
  if (message.is_whole()) offer_again(now, slot);
}

/// Whoever has not answered, or refused for now, hears of a complete message again.
void Relay::State::offer_again(Instant now, std::uint32_t slot) noexcept {
  Message& message = messages[slot];
  for (std::uint8_t f = 0; f < message.flow_count; ++f) {
    Flow& flow = message.flows[f];
    if (flow.peer == peer_none || !flow.is_next_hop || flow.state == PeerState::full) continue;
    if (flow.needs_announce || flow.needs_single) {
      queue_urgent(slot, f);  // where the queue had no room
      continue;
    }
    if (flow.inflight != 0) continue;
    // The link tells how a single ended that was sent.
    if (message.is_single && flow.state != PeerState::refused && !flow.is_put_off) continue;
    if (now - flow.announced_at < flow.announce_wait) continue;
    flow.is_put_off = false;
    flow.announce_wait = std::min(flow.announce_wait * 2, announce_wait_max);
    (message.is_single ? flow.needs_single : flow.needs_announce) = true;
    queue_urgent(slot, f);
  }
}

void Relay::State::trace(const Message& message, PeerIndex from, ShardTrace kind) noexcept {
  if (!is_tracing) return;
  if (!soft_events.push(ShardTraced{message.header.id, from, kind, message.topic}))
    counters.add(Counter::drop_event_full_total);
}

void Relay::State::fault(PeerIndex peer, PeerFault kind) noexcept {
  if (peer == peer_none) return;
  if (!soft_events.push(PeerFaulted{peer, kind})) counters.add(Counter::drop_event_full_total);
}

void Relay::State::outcome(Message& message, bool is_published, PublishFailure reason) noexcept {
  if (message.prepared == nullptr) return;
  CHECK(outcomes.push({message.prepared, is_published, reason}));
  message.prepared = nullptr;
}

void Relay::State::flush_events(Outbox& out) noexcept {
  while (!deliveries.is_empty() && out.events_left() != 0) {
    const std::uint32_t slot = deliveries.front();
    deliveries.pop();
    Message& message = messages[slot];
    message.is_delivery_pending = false;
    message.is_held_by_control = true;
    counters.add(Counter::messages_delivered_total);
    counters.add(Counter::messages_delivered_bytes_total, message.header.size_bytes);
    const MessageView view{&message.header, messages.rows_of(message), message.tag,
                           slot, message.first_seen, message.completed_at};
    CHECK(out.report(Delivered{view, message.completed_by}));
  }
  while (!outcomes.is_empty() && out.events_left() != 0) {
    const PublishOutcome& one = outcomes.front();
    CHECK(one.is_published ? out.report(Published{one.message}) : out.report(PublishFailed{one.message, one.reason}));
    outcomes.pop();
  }
  while (!soft_events.is_empty() && out.events_left() != 0) {
    CHECK(out.report(soft_events.front()));
    soft_events.pop();
  }
  // Last, so that nothing names the index after it.
  while (!gone.is_empty() && out.events_left() != 0) {
    CHECK(out.report(PeerGone{gone.front()}));
    gone.pop();
  }
}

void Relay::State::update_deadline(Instant now, const Outbox& out) noexcept {
  const bool has_events = !deliveries.is_empty() || !outcomes.is_empty() || !gone.is_empty();
  const bool has_work = !decodes.is_empty() || !idle_decodes.is_empty() || !hashes.is_empty() || !loads.is_empty() ||
                        is_outbox_short || (out.events_left() == 0 && has_events);
  if (messages.live() == 0) {
    housekeep_at = never;
  } else if (housekeep_at == never || housekeep_at < now) {
    housekeep_at = now + housekeep_every;
  }
  if (has_work) {
    deadline = now;
    return;
  }
  deadline = waiting_whole.is_empty() ? housekeep_at : std::min(housekeep_at, waiting_whole.front().at);
  if (!spreading.empty()) deadline = std::min(deadline, rate_at > now ? rate_at : now + spread_again);
  for (const PeerIndex p : up_peers) {
    const Peer& peer = peers[p];
    deadline = std::min({deadline, peer.link.feedback_at(), peer.link.timer_at()});
    // Blocked by the window, the next acknowledgement wakes it; blocked by pacing, the clock does.
    if (peer.bulk.is_empty() && peer.passed_on == passed_on_end) continue;
    const Instant paced = std::max(peer.link.pace_at(), rate_at);
    if (paced > now || (peer.passed_on != passed_on_end && peer.link.room(now, 1) != 0)) {
      deadline = std::min(deadline, std::max(paced, now));
    }
  }
}

}  // namespace corelay::dataplane
