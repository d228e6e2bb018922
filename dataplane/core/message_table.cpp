#include "dataplane/core/message_table.h"

#include <algorithm>
#include <cstring>

#include "codec/check.h"

namespace corelay::dataplane {
namespace {

constexpr Duration stale_time = seconds(1);  // an incomplete message with no progress for so long may be evicted

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
      cells_(aligned_memory(cell_bytes * params.cells_max)),
      cell_slots_(params.cells_max),
      hashers_(params.messages_max) {}

std::uint32_t MessageTable::open(Instant now, const MessageTag& tag, const MessageHeader& header,
                                 bool is_single) noexcept {
  if (!reserve(now, header, is_single)) return slot_none;
  const std::uint32_t slot = slots_.take();
  Message& message = messages_[slot];
  const std::uint32_t epoch = message.epoch + 1;
  message = Message{};
  message.is_live = true;
  message.epoch = epoch;
  message.tag = tag;
  message.header = header;
  message.is_single = is_single;
  message.first_seen = message.progress_at = now;
  message.cells_reserved = is_single ? 1u : static_cast<std::uint32_t>(message.shards());
  cells_reserved_ += message.cells_reserved;
  if (!is_single) {
    message.deficit = static_cast<std::uint32_t>(message.shards());
    if (header.generations > 1) message.map = map_slots_.take();
    for (std::size_t g = 0; g < header.generations; ++g) {
      const std::uint32_t index = generation_slots_.take();
      Generation& generation = generations_[index];
      generation.held = generation.next_systematic = 0;
      generation.is_decoded = generation.is_decode_queued = generation.has_digest = false;
      generation.flows.fill({});
      generation.decoder.reset(header.k, {trackers_.get() + index * tracker_bytes_, tracker_bytes_});
      if (message.map == slot_none) {
        message.generation = index;
      } else {
        maps_[message.map].index[g] = index;
        maps_[message.map].rows[g] = generation.rows.data();
      }
    }
  }
  map_.insert(tag, slot);
  message.older = newest_;
  (newest_ == slot_none ? oldest_ : messages_[newest_].newer) = slot;
  newest_ = slot;
  return slot;
}

bool MessageTable::reserve(Instant now, const MessageHeader& header, bool is_single) noexcept {
  const std::size_t generations = is_single ? 0 : header.generations;
  const std::size_t cells = is_single ? 1 : static_cast<std::size_t>(header.k) * header.generations;
  const std::size_t maps = generations > 1 ? 1 : 0;
  const auto has_room = [&] {
    return slots_.left() >= 1 && generation_slots_.left() >= generations && map_slots_.left() >= maps &&
           cell_slots_.left() >= cells_reserved_ + cells;
  };
  while (!has_room()) {
    if (!evict_one(now)) return false;
  }
  return true;
}

bool MessageTable::evict_one(Instant now) noexcept {
  for (std::uint32_t slot = oldest_; slot != slot_none; slot = messages_[slot].newer) {
    const Message& message = messages_[slot];
    const bool is_whole = message.state == MessageState::complete || message.state == MessageState::carried;
    if (!is_whole || message.is_held_by_control ||
        message.is_delivery_pending || message.prepared != nullptr) {
      continue;
    }
    counters_.add(Counter::drop_evicted_total);
    evict(slot);
    return true;
  }
  for (std::uint32_t slot = oldest_; slot != slot_none; slot = messages_[slot].newer) {
    const Message& message = messages_[slot];
    if (message.state != MessageState::receiving || now - message.progress_at < stale_time) continue;
    counters_.add(Counter::drop_incomplete_evicted_total);
    evict(slot);
    return true;
  }
  return false;
}

void MessageTable::evict(std::uint32_t slot) noexcept {
  if (evict_call_ != nullptr) evict_call_(evict_context_, slot);
  close(slot);
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
  map_.erase(message.tag);
  (message.older == slot_none ? oldest_ : messages_[message.older].newer) = message.newer;
  (message.newer == slot_none ? newest_ : messages_[message.newer].older) = message.older;
  message.is_live = false;
  slots_.give(slot);
}

std::uint8_t* MessageTable::take_cell(Message& message) noexcept {
  CHECK(message.cells_reserved != 0);
  --message.cells_reserved;
  --cells_reserved_;
  return cells_.get() + cell_slots_.take() * cell_bytes;
}

void MessageTable::hold_single(Message& message, std::uint8_t* cell) noexcept {
  message.single_cell = static_cast<std::uint32_t>(static_cast<std::size_t>(cell - cells_.get()) / cell_bytes);
  message.single_row = payload_of(cell);
}

void MessageTable::give_cell(const std::uint8_t* cell) noexcept {
  cell_slots_.give(static_cast<std::uint32_t>(static_cast<std::size_t>(cell - cells_.get()) / cell_bytes));
}

void MessageTable::restart_generation(Message& message, std::size_t g) noexcept {
  const std::uint32_t index = generation_index(message, g);
  Generation& generation = generations_[index];
  const std::size_t held = release_generation(index);
  message.cells_reserved += static_cast<std::uint32_t>(held);
  cells_reserved_ += held;
  if (generation.is_decoded) --message.generations_decoded;
  --message.generations_complete;
  message.deficit += message.header.k;
  generation.is_decoded = false;
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

std::uint8_t MessageTable::make_flow(Message& message, PeerIndex peer) noexcept {
  if (const std::uint8_t known = find_flow(message, peer); known != flow_none) return known;
  std::uint8_t f = find_flow(message, peer_none);  // one given up by a peer that left
  if (f == flow_none) {
    if (message.flow_count == flows_max) return flow_none;
    f = message.flow_count++;
  }
  message.flows[f] = Flow{};
  message.flows[f].peer = peer;
  if (!message.is_single) {
    for (std::size_t g = 0; g < message.header.generations; ++g) {
      GenerationFlow& part = generation(message, g).flows[f];
      part = {};
      part.deficit = static_cast<std::uint8_t>(message.header.k);
    }
  }
  return f;
}

void MessageTable::clear_flow(Message& message, std::uint8_t flow) noexcept { message.flows[flow] = Flow{}; }

void MessageTable::update_gauges() noexcept {
  counters_.set(Counter::gauge_messages_live, slots_.used());
  counters_.set(Counter::gauge_cells_used, cell_slots_.used());
  counters_.set(Counter::gauge_generations_used, generation_slots_.used());
}

}  // namespace corelay::dataplane
