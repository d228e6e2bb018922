// Feedback out: what arrived, what is lacking of each message, and how much of it each neighbour may have in flight.
#include <algorithm>
#include <array>
#include <cmath>

#include "dataplane/core/relay_state.h"

namespace corelay::dataplane {
namespace {

constexpr Duration weigh_every_min = microseconds(250);
constexpr Duration weigh_every_max = milliseconds(20);
constexpr float fade = 0.93f;
constexpr double asked_twice = 4;   // the last shards of a message: one lost would cost a round trip
constexpr double asked_at_first = 64;
constexpr double asked_each_new = 2;  // for each packet that was new within about a round trip
constexpr double even_part = 0.3;     // of what is asked: the rest goes by what each neighbour brought lately

}  // namespace

void Relay::State::send_feedback(Instant now, PeerIndex to, Outbox& out) noexcept {
  Peer& peer = peers[to];
  if (out.items_left() == 0 || out.frames_left() == 0) {
    is_outbox_short = true;
    return;
  }
  std::uint8_t* frame = out.take_frame();
  FeedbackWriter writer(frame, peer.frame_bytes_max);
  const std::uint32_t highest = peer.link.highest_received();
  const std::int64_t delay_us = (now - peer.link.highest_received_at()).ns / 1000;
  const auto words = peer.link.ack_words();
  const auto arrival_us = static_cast<std::uint32_t>(peer.link.highest_received_at().ns / 1000);
  const std::uint32_t number = peer.link.on_feedback_sent();
  writer.begin(highest, static_cast<std::uint32_t>(std::min<std::int64_t>(delay_us, 0xffffffff)), number,
               arrival_us, words);
  if (has_singles) writer.set_place(peer.place_here);
  if (!write_statuses(now, to, writer)) peer.link.want_feedback(now);
  out.send(to, frame, writer.size());
  counters.add(Counter::tx_feedback_total);
}

/// False when some did not fit.
bool Relay::State::write_statuses(Instant now, PeerIndex to, FeedbackWriter& writer) noexcept {
  Peer& peer = peers[to];
  while (!peer.loose.is_empty()) {
    StatusFrame status;
    status.tag = peer.loose.front().tag;
    status.state = peer.loose.front().state;
    if (!writer.add(status)) return false;
    peer.loose.pop();
  }
  while (!peer.statuses.is_empty()) {
    const FlowRef ref = peer.statuses.front();
    const bool is_current =
        messages.is_current(ref.message, ref.epoch) && messages[ref.message].flows[ref.flow].peer == to;
    if (is_current) {
      Message& message = messages[ref.message];
      const std::size_t room = peer.frame_bytes_max - writer.size();
      weigh(now, message, peer.link.rtt());
      if (!write_status(now, message, ref.flow, writer, room)) return false;
      message.flows[ref.flow].is_status_queued = false;
    }
    peer.statuses.pop();
  }
  return true;
}

bool Relay::State::write_status(Instant now, Message& message, std::uint8_t f, FeedbackWriter& writer,
                                std::size_t room) noexcept {
  StatusFrame status;
  status.tag = message.tag;
  const std::size_t generations = message.header.generations;
  const std::size_t exam = exam_for(now, message, f);
  const bool is_whole = message.deficit == 0 || message.state == MessageState::complete || message.is_own;
  if (is_whole && exam == generations) {
    status.state = StatusState::full;
    return writer.add(status);
  }
  std::array<std::uint8_t, generations_wire_max> deficits;
  if (room < status_bytes + std::min<std::size_t>(generations, 64)) return false;
  const std::size_t count = std::min(generations, room - status_bytes);
  // A list that does not fit one frame is told window by window, each time from elsewhere.
  const std::size_t first = count == generations ? 0 : rng.below(generations - count + 1);
  for (std::size_t i = 0; i < count; ++i) {
    const Generation& generation = messages.generation(message, first + i);
    deficits[i] = is_whole ? std::uint8_t{0} : deficit_for(message, generation, f);
  }
  status.want = is_whole ? std::uint16_t{0} : want_from(message, f);
  if (exam >= first && exam < first + count) {
    const auto k = static_cast<std::uint8_t>(message.header.k);
    const std::uint8_t owed = std::min(peers[message.flows[f].peer].right_owed, k);
    deficits[exam - first] = owed;
    status.want = std::max<std::uint16_t>(status.want, owed);
  }
  status.first_generation = static_cast<std::uint16_t>(first);
  status.deficits = {deficits.data(), count};
  return writer.add(status);
}

/// What a neighbour brought fades with time, not with each report: the parts that all reports name must add up.
void Relay::State::weigh(Instant now, Message& message, Duration rtt) noexcept {
  const Duration every = rtt.ns == 0 ? weigh_every_max : std::clamp(rtt / 8, weigh_every_min, weigh_every_max);
  if (now - message.weighed_at < every) return;
  message.weighed_at = now;
  for (std::uint8_t f = 0; f < message.flow_count; ++f) message.flows[f].innovative *= fade;
}

/// This neighbour's part of what is asked for: by how much it brought lately that was new. While little comes that is
/// new, little is asked for in all: several neighbours that hold the same would all send it.
std::uint16_t Relay::State::want_from(Message& message, std::uint8_t f) noexcept {
  if (message.is_careful) {
    double assigned = 0;
    for (std::size_t g = 0; g < message.header.generations; ++g) {
      const Generation& generation = messages.generation(message, g);
      if (generation.source == f) assigned += static_cast<double>(message.header.k - generation.decoder.rank());
    }
    return static_cast<std::uint16_t>(std::min(std::ceil(assigned * (1.0 + params.redundancy)) + 1.0, 65535.0));
  }
  if (is_suspect(message.flows[f])) return 0;
  double fresh = 0;
  double providers = 0;
  for (std::uint8_t other = 0; other < message.flow_count; ++other) {
    Flow& flow = message.flows[other];
    if (flow.peer == peer_none || (!flow.is_provider && other != f) || is_suspect(flow)) continue;
    if (other != f && peers[flow.peer].link.is_silent()) continue;
    fresh += static_cast<double>(flow.innovative);
    providers += 1;
  }
  const double own = 1.0 + static_cast<double>(message.flows[f].innovative);
  const double part = even_part / providers + (1.0 - even_part) * own / (providers + fresh);
  const double deficit = message.deficit;
  const double needed = deficit * (1.0 + params.redundancy) + 1.0 + std::min(deficit, asked_twice);
  const double most = asked_at_first + asked_each_new * fresh;
  const double asked = needed <= most ? needed : std::min(needed, most + known_ahead(message));
  const double want = std::ceil(asked * part);
  return static_cast<std::uint16_t>(std::min(want, 65535.0));
}

/// Shards that the provider with the most holds more of than we do: asked of it, they are new.
double Relay::State::known_ahead(Message& message) noexcept {
  std::size_t most = 0;
  for (std::uint8_t f = 0; f < message.flow_count; ++f) {
    const Flow& flow = message.flows[f];
    if (flow.peer == peer_none || !flow.is_provider || is_suspect(flow)) continue;
    if (flow.state == PeerState::full) return message.deficit;
    if (flow.state != PeerState::wanting) continue;
    std::size_t ahead = 0;
    for (std::size_t g = 0; g < message.header.generations; ++g) {
      const Generation& generation = messages.generation(message, g);
      const std::size_t lacking = generation.is_decoded ? 0 : message.header.k - generation.decoder.rank();
      const std::size_t its = generation.flows[f].deficit;
      if (its < lacking) ahead += lacking - its;
    }
    most = std::max(most, ahead);
  }
  return static_cast<double>(most);
}

}  // namespace corelay::dataplane
