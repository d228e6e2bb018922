// Messages that somebody spoils. A wrong packet mixed into a combination spoils every combination made from it, so a
// single liar can reach a whole mesh through honest relays. From the first generation whose digest does not hold, a
// relay is careful with that message: it passes on only generations that it has checked, and takes each missing one
// from a single neighbour that has all of it, coded from the shards themselves. A generation that comes out wrong then
// has one culprit, and nothing more of this message is taken from it. Generations spread from the publisher hop by hop,
// different ones by different ways, so this costs time, but liars cost only what they send.
#include <algorithm>
#include <array>

#include "dataplane/core/relay_state.h"

namespace corelay::dataplane {
namespace {

constexpr Duration source_patience = milliseconds(50);  // and two round trips
constexpr std::uint16_t generations_each_source = 1;     // at a time, so that neighbours get different ones first
constexpr Duration source_total = seconds(4);           // for one generation, while another has it
constexpr Duration list_patience = milliseconds(200);   // for the rest of a list of digests
constexpr Duration sources_every = milliseconds(1);
constexpr std::size_t mends_max = 32;                   // times a message may be spoilt,
constexpr std::size_t mends_each_generation = 4;        // and so many more for each generation

}  // namespace

/// The list of digests holds when all are known and their hash is the one that was signed. Cost: 16 bytes a generation
/// hashed, until it holds.
bool Relay::State::holds_list(Message& message) noexcept {
  if (message.is_list_right) return true;
  single_hasher.reset();
  for (std::size_t g = 0; g < message.header.generations; ++g) {
    const Generation& generation = messages.generation(message, g);
    if (!generation.has_digest) return false;
    single_hasher.update(generation.digest);
  }
  message.is_list_right = single_hasher.finish() == message.header.digest_root;
  return message.is_list_right;
}

Digest Relay::State::generation_digest(const Message& message, const Generation& generation) noexcept {
  single_hasher.reset();
  for (std::size_t i = 0; i < message.header.k; ++i) {
    single_hasher.update({generation.rows[i], message.header.shard_bytes});
  }
  const auto whole = single_hasher.finish();
  Digest digest;
  std::copy_n(whole.begin(), digest.size(), digest.begin());
  return digest;
}

/// Whether a message that is what its id says was also cut into the digests that were signed: neighbours will hold what
/// leaves here against them. Cost: a hash of what was not checked yet.
bool Relay::State::are_digests_true(Message& message) noexcept {
  const bool is_list_known = holds_list(message);
  for (std::size_t g = 0; g < message.header.generations; ++g) {
    Generation& generation = messages.generation(message, g);
    if (generation.is_right) continue;
    const Digest digest = generation_digest(message, generation);
    if (is_list_known && digest != generation.digest) return false;
    generation.digest = digest;
    generation.has_digest = generation.is_right = true;
  }
  return holds_list(message);
}

/// Whether what fills the last shards up is zero, as it was signed. Cost: reads the padding.
bool Relay::State::is_padding_clean(const Message& message) noexcept {
  const std::size_t shard = message.header.shard_bytes;
  for (std::size_t n = message.header.size_bytes / shard; n < message.shards(); ++n) {
    const std::uint8_t* const row = messages.generation(message, n / message.header.k).rows[n % message.header.k];
    const std::size_t used = n == message.header.size_bytes / shard ? message.header.size_bytes % shard : 0;
    if (std::any_of(row + used, row + shard, [](std::uint8_t byte) { return byte != 0; })) return false;
  }
  return true;
}

void Relay::State::forget_list(Message& message) noexcept {
  for (std::size_t g = 0; g < message.header.generations; ++g) messages.generation(message, g).has_digest = false;
  message.list_from = flow_none;
}

/// Takes digests of one neighbour at a time. A whole list that does not hold is forgotten, and nothing more of the kind
/// is taken from who gave it.
void Relay::State::take_list(Instant now, std::uint32_t slot, std::uint8_t f, const AnnounceFrame& announce) noexcept {
  Message& message = messages[slot];
  if (message.is_list_right || announce.digest_count == 0 || message.flows[f].is_list_false) return;
  if (f == flow_members) {
    // Of many, anybody: a whole list that is true, or nothing.
    if (announce.first_digest != 0 || announce.digest_count != message.header.generations) return;
    single_hasher.reset();
    single_hasher.update(announce.digests);
    if (single_hasher.finish() != message.header.digest_root) return;
    forget_list(message);
  } else if (message.list_from != f) {
    if (message.list_from != flow_none && now - message.list_at < list_patience) return;
    forget_list(message);
    message.list_from = f;
  }
  message.list_at = now;
  take_digests(message, announce);
  if (holds_list(message)) return on_list_right(slot);
  for (std::size_t g = 0; g < message.header.generations; ++g) {
    if (!messages.generation(message, g).has_digest) return;
  }
  forget_list(message);
  message.flows[f].is_list_false = true;
}

/// What was decoded before can be checked now, and neighbours that heard of the message without its digests hear them.
void Relay::State::on_list_right(std::uint32_t slot) noexcept {
  Message& message = messages[slot];
  for (std::size_t g = 0; g < message.header.generations; ++g) {
    const Generation& generation = messages.generation(message, g);
    if (generation.is_decoded && !generation.is_right) queue_decode(slot, static_cast<std::uint16_t>(g));
  }
  for (std::uint8_t f = 0; f < message.flow_count; ++f) {
    Flow& flow = message.flows[f];
    if (!flow.is_announced || flow.is_list_told) continue;
    flow.needs_announce = true;
    queue_urgent(slot, f);
  }
}

/// Checks a generation that has just been decoded, where its digest is known. False: it was wrong and begins anew.
bool Relay::State::check_generation(Instant now, std::uint32_t slot, std::size_t g) noexcept {
  Message& message = messages[slot];
  if (!holds_list(message)) return true;
  Generation& generation = messages.generation(message, g);
  generation.is_right = generation_digest(message, generation) == generation.digest;
  if (generation.is_right) {
    if (generation.source != flow_none) clear(message.flows[generation.source]);
    if (message.is_careful) {
      for (std::uint8_t f = 0; f < message.flow_count; ++f) queue_status(now, slot, f, microseconds(0));
      queue_all(slot);
      find_sources(now, slot);
    }
    return true;
  }
  counters.add(Counter::drop_digest_total);
  const std::uint8_t source = generation.source;
  std::array<bool, flows_max> is_blamed{};
  restart_wrong(message, g, is_blamed);
  if (source != flow_none) {
    Flow& flow = message.flows[source];
    if (!flow.is_distrusted) fault(flow.peer, PeerFault::polluted);
    flow.is_distrusted = true;
  } else {
    blame(message, is_blamed);
  }
  if (begin_again(now, slot)) find_sources(now, slot);
  return false;
}

/// Empties a wrong generation and notes whom it came from, where that is certain.
void Relay::State::restart_wrong(Message& message, std::size_t g, std::span<bool> is_blamed) noexcept {
  Generation& generation = messages.generation(message, g);
  if (const std::uint8_t culprit = culprit_of(generation, message); culprit != flow_none) is_blamed[culprit] = true;
  suspect_givers(message, generation);
  messages.restart_generation(message, g);
}

/// Once a message, however many generations: a relay that passed on what it was given is not to be dropped for it.
void Relay::State::blame(Message& message, std::span<const bool> is_blamed) noexcept {
  for (std::uint8_t f = 0; f < message.flow_count; ++f) {
    Flow& flow = message.flows[f];
    if (!is_blamed[f] || flow.is_blamed) continue;
    flow.is_blamed = true;
    fault(flow.peer, PeerFault::spoilt);
  }
}

/// Goes on with a message of which generations were emptied. False when it was spoilt so often that it is given up.
bool Relay::State::begin_again(Instant now, std::uint32_t slot) noexcept {
  Message& message = messages[slot];
  const std::size_t limit = mends_max + mends_each_generation * message.header.generations;
  if (++message.mends > limit) {
    // Whoever spoils it goes on doing so, and cannot be told from the others: no work without end.
    counters.add(Counter::drop_incomplete_evicted_total);
    close_message(slot);
    return false;
  }
  if (!message.is_careful) suspect_providers(message);
  message.is_careful = true;
  message.state = MessageState::receiving;
  messages.resume(slot);
  note_unsettled(slot);
  message.progress_at = now;
  message.status_wait = milliseconds(20);
  message.status_at = now;
  for (std::uint8_t f = 0; f < message.flow_count; ++f) queue_status(now, slot, f, microseconds(0));
  return true;
}

/// Names a neighbour for each missing generation that has none, or whose one brought nothing for a while.
void Relay::State::find_sources(Instant now, std::uint32_t slot) noexcept {
  Message& message = messages[slot];
  if (now - message.sources_at < sources_every && message.sources_at.ns != 0) {
    message.status_at = std::min(message.status_at, message.sources_at + sources_every);
    return;
  }
  message.sources_at = now;
  std::array<std::uint16_t, flows_max> load{};
  const std::size_t generations = message.header.generations;
  for (std::size_t g = 0; g < generations; ++g) {
    const Generation& generation = messages.generation(message, g);
    if (!generation.decoder.is_complete() && generation.source != flow_none) ++load[generation.source];
  }
  for (std::size_t i = 0, g = rng.below(generations); i < generations; ++i, g = g + 1 < generations ? g + 1 : 0) {
    Generation& generation = messages.generation(message, g);
    if (generation.is_right || generation.decoder.is_complete()) continue;
    const std::uint8_t before = generation.source;
    if (before != flow_none) {
      const Flow& flow = message.flows[before];
      const bool is_gone = flow.peer == peer_none || flow.is_distrusted;
      const bool is_slow = now - generation.source_at >= source_patience + peers[flow.peer].link.rtt() * 2 ||
                           now - generation.source_since >= source_total;
      if (!is_gone && !is_slow) continue;
    }
    const std::uint8_t found = source_for(message, generation, load);
    if (found == flow_none || found == before) continue;
    // What came so far came from others: a wrong one among them would put the blame on the new one.
    if (generation.held != 0) messages.restart_generation(message, g);
    generation.source = found;
    generation.source_at = generation.source_since = now;
    ++load[found];
    queue_status(now, slot, found, microseconds(0));
  }
}

/// A neighbour that says it has all of the generation: the one with the fewest to bring, not the one before.
std::uint8_t Relay::State::source_for(const Message& message, const Generation& generation,
                                      std::span<const std::uint16_t> load) noexcept {
  std::uint8_t best = flow_none;
  for (std::uint8_t i = 0, f = static_cast<std::uint8_t>(rng.below(message.flow_count)); i < message.flow_count; ++i) {
    f = static_cast<std::uint8_t>(f + 1 < message.flow_count ? f + 1 : 0);
    const Flow& flow = message.flows[f];
    if (flow.peer == peer_none || flow.is_distrusted || !flow.has_named || f == generation.source) continue;
    if (peers[flow.peer].link.is_silent()) continue;
    if (flow.state != PeerState::full && generation.flows[f].deficit != 0) continue;
    if (load[f] >= generations_each_source) continue;
    const auto rank = [&](std::uint8_t one) { return 2 * load[one] + (is_suspect(message.flows[one]) ? 1 : 0); };
    if (best == flow_none || rank(f) < rank(best)) best = f;
  }
  return best;
}

/// Whether a coded packet may be taken into a generation of a message that somebody spoils.
bool Relay::State::is_vouched(const Message& message, const Generation& generation, std::uint8_t f,
                              CodedForm form) noexcept {
  return form != CodedForm::vector && generation.source == f && !message.flows[f].is_distrusted;
}

/// What a neighbour is told of a generation of a message that somebody spoils: only its source is to send.
std::uint8_t Relay::State::deficit_for(const Message& message, const Generation& generation,
                                       std::uint8_t f) const noexcept {
  const std::size_t deficit = message.header.k - generation.decoder.rank();
  if (!is_guarded(message, generation, f)) return static_cast<std::uint8_t>(deficit);
  return generation.source == f && deficit != 0 ? static_cast<std::uint8_t>(deficit) : deficit_held_back;
}

}  // namespace corelay::dataplane
