#include "dataplane/core/message_table.h"

#include <algorithm>
#include <cstring>

#include "codec/check.h"

namespace corelay::dataplane {
namespace {

constexpr Duration stale_time = seconds(1);  // an incomplete message with no progress for so long may be evicted
constexpr std::size_t settled_search = 64;   // how many complete messages are looked at for one that all were told of

Amounts amounts_of(const MessageHeader& header, bool is_single) noexcept {
  if (is_single) return {1, 1, 0, 0};
  return {1, std::uint64_t{header.k} * header.generations, header.generations, header.generations > 1 ? 1u : 0u};
}

/// Beside what it has, `own` of `charged` in all, a neighbour may take `need`.
bool is_fair(Amounts own, Amounts charged, const Amounts& need, Amounts all) noexcept {
  if (own.messages == 0) return true;
  own += need;
  charged += need;
  if (!charged.fits(all)) return false;
  all -= charged;
  return own.fits(all);
}

bool may_go(const Message& message) noexcept { return !message.is_leaving && !message.is_in_use(); }

}  // namespace

MessageTable::MessageTable(const RelayParams& params, std::uint64_t seed, Counters& counters)
    : counters_(counters),
      map_(params.messages_max, seed),
      messages_(params.messages_max),
      slots_(params.messages_max),
      generations_(params.generations_max),
      generation_slots_(params.generations_max),
      tracker_bytes_((codec::Decoder::storage_bytes(k_wire_max) + 63) / 64 * 64),
      trackers_(aligned_memory(tracker_bytes_ * params.generations_max)),
      maps_(params.large_messages_max),
      map_slots_(params.large_messages_max),
      cell_bytes_(cell_stride(params.cell_shard_bytes)),
      cells_(aligned_memory(cell_bytes_ * params.cells_max)),
      cell_slots_(params.cells_max),
      hashers_(params.messages_max),
      shares_(params.peers_max),
      incomplete_time_(params.incomplete_time),
      all_{params.messages_max, params.cells_max, params.generations_max, params.large_messages_max} {
  chosen_.reserve(params.messages_max);
}

Opening MessageTable::open(Instant now, const MessageTag& tag, const MessageHeader& header, bool is_single,
                           PeerIndex opener) noexcept {
  if (header.shard_bytes > cell_bytes_ - cell_coefficient_bytes) return {};
  const Amounts need = amounts_of(header, is_single);
  const Admission outcome = make_room(now, need, opener, is_single);
  if (outcome != Admission::opened) return {slot_none, outcome};
  const std::uint32_t slot = slots_.take();
  Message& message = messages_[slot];
  const std::uint32_t epoch = message.epoch + 1;
  static_cast<MessageFacts&>(message) = MessageFacts{};
  message.flows[flow_members] = Flow{};
  message.is_live = true;
  message.epoch = epoch;
  message.tag = tag;
  message.header = header;
  message.is_single = is_single;
  message.first_seen = message.progress_at = now;
  message.cells_reserved = static_cast<std::uint32_t>(need.cells);
  cells_reserved_ += message.cells_reserved;
  if (!is_single) {
    message.deficit = static_cast<std::uint32_t>(message.shards());
    if (header.generations > 1) message.map = map_slots_.take();
    for (std::size_t g = 0; g < header.generations; ++g) {
      const std::uint32_t index = generation_slots_.take();
      Generation& generation = generations_[index];
      generation.held = generation.next_systematic = 0;
      generation.is_decoded = generation.is_decode_queued = generation.has_digest = generation.is_right = false;
      generation.source = flow_none;
      generation.flows[flow_members] = {};
      generation.decoder.reset(header.k, {trackers_.get() + index * tracker_bytes_, tracker_bytes_});
      if (message.map == slot_none) {
        message.generation = index;
      } else {
        maps_[message.map].index[g] = index;
        maps_[message.map].rows[g] = generation.rows.data();
      }
    }
  }
  link_rival(slot);
  message.older = newest_;
  (newest_ == slot_none ? oldest_ : messages_[newest_].newer) = slot;
  newest_ = slot;
  message.opened_by = opener;
  charge(slot, opener);
  return {slot, Admission::opened};
}

void MessageTable::link_rival(std::uint32_t slot) noexcept {
  std::uint32_t last = map_.find(messages_[slot].tag);
  if (last == slot_none) return map_.insert(messages_[slot].tag, slot);
  while (messages_[last].rival != slot_none) last = messages_[last].rival;
  messages_[last].rival = slot;
}

std::uint32_t MessageTable::find_among_rivals(std::uint32_t first, PeerIndex peer) const noexcept {
  for (std::uint32_t slot = first; slot != slot_none; slot = messages_[slot].rival) {
    if (find_flow(messages_[slot], peer) != flow_none) return slot;
  }
  return first;
}

void MessageTable::charge(std::uint32_t slot, PeerIndex to) noexcept {
  Message& message = messages_[slot];
  const Amounts amounts = amounts_of(message.header, message.is_single);
  if (message.charged_to != peer_none) {
    shares_[message.charged_to] -= amounts;
    charged_ -= amounts;
  }
  message.charged_to = to;
  if (to == peer_none) return;
  shares_[to] += amounts;
  charged_ += amounts;
}

void MessageTable::finish(std::uint32_t slot) noexcept {
  Message& message = messages_[slot];
  if (message.is_done) return;
  charge(slot, peer_none);
  message.is_done = true;
  message.done_before = last_done_;
  (last_done_ == slot_none ? first_done_ : messages_[last_done_].done_after) = slot;
  last_done_ = slot;
}

void MessageTable::resume(std::uint32_t slot) noexcept {
  Message& message = messages_[slot];
  if (!message.is_done) return;
  unlink_done(message);
  charge(slot, message.opened_by);
}

void MessageTable::unlink_done(Message& message) noexcept {
  if (!message.is_done) return;
  (message.done_before == slot_none ? first_done_ : messages_[message.done_before].done_after) = message.done_after;
  (message.done_after == slot_none ? last_done_ : messages_[message.done_after].done_before) = message.done_before;
  message.is_done = false;
  message.done_before = message.done_after = slot_none;
}

bool MessageTable::is_within_share(PeerIndex opener, const Amounts& need) const noexcept {
  return is_fair(shares_[opener], charged_, need, all_);
}

/// It stands still, or comes at a pace that brings it nowhere near its end in the time an incomplete message is kept.
bool MessageTable::is_slow(Instant now, const Message& message) const noexcept {
  if (message.state != MessageState::receiving) return false;
  if (message.charged_to == peer_none || now - message.progress_at >= stale_time) return true;
  const Duration age = now - message.first_seen;
  if (age < stale_time) return false;
  const auto shards = static_cast<double>(message.shards());
  const double arrived = shards - static_cast<double>(message.deficit);
  return static_cast<double>(age.ns) * shards > static_cast<double>(incomplete_time_.ns) * arrived;
}

/// Of the others only who holds more than it, or nobody, makes room for a neighbour.
bool MessageTable::may_push_out(PeerIndex opener, const Amounts& need, const Message& message) const noexcept {
  if (opener == peer_none || message.charged_to == peer_none) return true;
  return shares_[message.charged_to].cells > shares_[opener].cells + need.cells;
}

/// Hands slow messages that may go for one of `opener` to `take`, its own last, until it returns true.
template <class Take>
bool MessageTable::offer_slow(Instant now, const Amounts& need, PeerIndex opener, Take take) noexcept {
  for (const bool is_own_turn : {false, true}) {
    for (std::uint32_t slot = oldest_; slot != slot_none; slot = messages_[slot].newer) {
      const Message& message = messages_[slot];
      const bool is_own = opener != peer_none && message.charged_to == opener;
      const bool goes = is_own == is_own_turn && !message.is_leaving && is_slow(now, message) &&
                        (is_own || may_push_out(opener, need, message));
      if (goes && take(slot)) return true;
    }
  }
  return false;
}

/// Chooses all that must go before any of it goes, each judged as if those before it were gone: nobody goes for a
/// message that is refused in the end.
Admission MessageTable::make_room(Instant now, const Amounts& need, PeerIndex opener, bool is_single) noexcept {
  Admission outcome = Admission::opened;
  // What travels whole is complete as soon as it is here, and must not wait for what is not.
  if (opener != peer_none && !is_single && !is_within_share(opener, need) && !clear_share(now, need, opener)) {
    outcome = Admission::over_share;
  } else if (!reserve(now, need, opener)) {
    outcome = Admission::no_memory;
  }
  for (const auto& [slot, epoch] : chosen_) take_back(slot);
  for (const auto& [slot, epoch] : chosen_) {
    if (outcome == Admission::opened && is_current(slot, epoch)) evict_call_(evict_context_, now, slot);
  }
  chosen_.clear();
  leaving_ = {};
  return outcome;
}

void MessageTable::choose(std::uint32_t slot) noexcept {
  Message& message = messages_[slot];
  const Amounts amounts = amounts_of(message.header, message.is_single);
  message.is_leaving = true;
  chosen_.emplace_back(slot, message.epoch);
  leaving_ += amounts;
  if (message.charged_to == peer_none) return;
  shares_[message.charged_to] -= amounts;
  charged_ -= amounts;
}

void MessageTable::take_back(std::uint32_t slot) noexcept {
  Message& message = messages_[slot];
  const Amounts amounts = amounts_of(message.header, message.is_single);
  message.is_leaving = false;
  if (message.charged_to == peer_none) return;
  shares_[message.charged_to] += amounts;
  charged_ += amounts;
}

/// Chooses slow messages until `opener` may take `need`.
bool MessageTable::clear_share(Instant now, const Amounts& need, PeerIndex opener) noexcept {
  return offer_slow(now, need, opener, [&](std::uint32_t slot) {
    if (messages_[slot].charged_to == peer_none) return false;
    choose(slot);
    return is_within_share(opener, need);
  });
}

Amounts MessageTable::room() const noexcept {
  return {slots_.left(), cell_slots_.left() - cells_reserved_, generation_slots_.left(), map_slots_.left()};
}

/// Chooses messages until `need` has room.
bool MessageTable::reserve(Instant now, const Amounts& need, PeerIndex opener) noexcept {
  const auto is_enough = [&] {
    Amounts gained = room();
    gained += leaving_;
    return need.fits(gained);
  };
  if (is_enough()) return true;
  return offer_victims(now, need, opener, [&](std::uint32_t slot) {
    choose(slot);
    return is_enough();
  });
}

/// Hands messages that may go to `take`, the first to go first, until it returns true.
template <class Take>
bool MessageTable::offer_victims(Instant now, const Amounts& need, PeerIndex opener, Take take) noexcept {
  std::size_t looked = 0;
  for (std::uint32_t slot = first_done_; slot != slot_none && looked < settled_search; ++looked) {
    const Message& message = messages_[slot];
    if (may_go(message) && !message.is_unsettled && take(slot)) return true;
    slot = message.done_after;
  }
  for (std::uint32_t slot = first_done_; slot != slot_none; slot = messages_[slot].done_after) {
    if (may_go(messages_[slot]) && take(slot)) return true;
  }
  return offer_slow(now, need, opener, take);
}

std::size_t MessageTable::release_generation(std::uint32_t index) noexcept {
  Generation& generation = generations_[index];
  const std::size_t held = generation.held;
  for (std::size_t i = 0; i < generation.held; ++i) give_cell(cell_of(generation.rows[i]));
  generation.held = 0;
  return held;
}

void MessageTable::close(std::uint32_t slot) noexcept {
  Message& message = messages_[slot];
  CHECK(message.is_live);
  if (message.is_single) {
    if (message.single_cell != slot_none) cell_slots_.give(message.single_cell);
  } else {
    for (std::size_t g = 0; g < message.header.generations; ++g) {
      const std::uint32_t index = generation_index(message, g);
      static_cast<void>(release_generation(index));
      generation_slots_.give(index);
    }
    if (message.map != slot_none) map_slots_.give(message.map);
  }
  cells_reserved_ -= message.cells_reserved;
  charge(slot, peer_none);
  unlink(slot);
  message.is_live = false;
  slots_.give(slot);
}

void MessageTable::unlink(std::uint32_t slot) noexcept {
  Message& message = messages_[slot];
  if (const std::uint32_t first = map_.find(message.tag); first != slot) {
    std::uint32_t before = first;
    while (messages_[before].rival != slot) before = messages_[before].rival;
    messages_[before].rival = message.rival;
  } else if (message.rival != slot_none) {
    map_.replace(message.tag, message.rival);
  } else {
    map_.erase(message.tag);
  }
  unlink_done(message);
  (message.older == slot_none ? oldest_ : messages_[message.older].newer) = message.newer;
  (message.newer == slot_none ? newest_ : messages_[message.newer].older) = message.older;
}

std::uint8_t* MessageTable::take_cell(Message& message) noexcept {
  CHECK(message.cells_reserved != 0);
  --message.cells_reserved;
  --cells_reserved_;
  std::uint8_t* const cell = cells_.get() + cell_slots_.take() * cell_bytes_;
  // Its neighbour on the list is written to next, and has mostly left the cache.
  if (const std::uint32_t next = cell_slots_.top(); next != slot_none) {
    const std::uint8_t* const after = cells_.get() + next * cell_bytes_;
    for (std::size_t at = 0; at < cell_bytes_; at += 64) __builtin_prefetch(after + at, 1);
  }
  return cell;
}

void MessageTable::hold_single(Message& message, std::uint8_t* cell) noexcept {
  message.single_cell = static_cast<std::uint32_t>(static_cast<std::size_t>(cell - cells_.get()) / cell_bytes_);
  message.single_row = payload_of(cell);
}

void MessageTable::give_cell(const std::uint8_t* cell) noexcept {
  cell_slots_.give(static_cast<std::uint32_t>(static_cast<std::size_t>(cell - cells_.get()) / cell_bytes_));
}

void MessageTable::restart_generation(Message& message, std::size_t g) noexcept {
  const std::uint32_t index = generation_index(message, g);
  Generation& generation = generations_[index];
  const std::size_t held = release_generation(index);
  message.cells_reserved += static_cast<std::uint32_t>(held);
  cells_reserved_ += held;
  if (generation.is_decoded) --message.generations_decoded;
  if (generation.decoder.is_complete()) --message.generations_complete;
  message.deficit += static_cast<std::uint32_t>(generation.decoder.rank());
  generation.is_decoded = generation.is_right = false;
  generation.source = flow_none;
  for (GenerationFlow& flow : generation.flows) flow.received = 0;
  generation.decoder.reset(message.header.k, {trackers_.get() + index * tracker_bytes_, tracker_bytes_});
}

const std::uint8_t* const* const* MessageTable::rows_of(Message& message) noexcept {
  if (message.map != slot_none) return maps_[message.map].rows.data();
  message.single_rows =
      message.is_single ? &message.single_row : generations_[message.generation].rows.data();
  return &message.single_rows;
}

std::uint8_t MessageTable::find_flow(const Message& message, PeerIndex peer) noexcept {
  for (std::uint8_t f = 0; f < message.flow_count; ++f) {
    if (message.flows[f].peer == peer) return f;
  }
  return flow_none;
}

/// The place of a neighbour that neither gives nor gets.
std::uint8_t MessageTable::spare_flow(const Message& message) noexcept {
  for (std::uint8_t f = 0; f < message.flow_count; ++f) {
    const Flow& flow = message.flows[f];
    if (!flow.is_next_hop && (!flow.is_provider || message.is_done)) return f;
  }
  return flow_none;
}

std::uint8_t MessageTable::make_flow(Message& message, PeerIndex peer) noexcept {
  if (const std::uint8_t known = find_flow(message, peer); known != flow_none) return known;
  std::uint8_t f = find_flow(message, peer_none);  // one given up by a peer that left
  if (f == flow_none) {
    f = message.flow_count == flows_max ? spare_flow(message) : message.flow_count++;
    if (f == flow_none) return flow_none;
  }
  message.flows[f] = Flow{};
  message.flows[f].peer = peer;
  if (message.list_from == f) message.list_from = flow_none;
  if (!message.is_single) {
    for (std::size_t g = 0; g < message.header.generations; ++g) {
      Generation& one = generation(message, g);
      if (one.source == f) one.source = flow_none;  // the peer that had this place
      GenerationFlow& part = one.flows[f];
      part = {};
      part.deficit = static_cast<std::uint8_t>(message.header.k);
    }
  }
  return f;
}

void MessageTable::clear_flow(Message& message, std::uint8_t flow) noexcept {
  message.flows[flow] = Flow{};
  if (!message.is_careful) return;
  for (std::size_t g = 0; g < message.header.generations; ++g) {
    Generation& one = generation(message, g);
    if (one.source == flow) one.source = flow_none;
  }
}

void MessageTable::update_gauges() noexcept {
  counters_.set(Counter::gauge_messages_live, slots_.used());
  counters_.set(Counter::gauge_cells_used, cell_slots_.used());
  counters_.set(Counter::gauge_generations_used, generation_slots_.used());
}

}  // namespace corelay::dataplane
