// From full rank to a delivered message: decoding, hashing and checking, in bounded shares so that
// forwarding never waits for a large message; and copying a local publish in, the same way.
#include <algorithm>
#include <array>
#include <cstring>

#include "dataplane/core/relay_state.h"

namespace corelay::dataplane {
namespace {

constexpr std::size_t rows_loaded_each_tick = 256;

}  // namespace

bool Relay::State::load_some(Instant now) noexcept {
  if (loads.is_empty()) return false;
  const std::uint32_t slot = loads.front();
  Message& message = messages[slot];
  const PreparedMessage& prepared = *message.prepared;
  const std::size_t shard = message.header.shard_bytes;
  const std::size_t k = message.header.k;
  const std::size_t shards = message.shards();
  for (std::size_t n = 0; n < rows_loaded_each_tick && message.rows_loaded < shards; ++n, ++message.rows_loaded) {
    const std::size_t offset = message.rows_loaded * shard;
    const std::size_t left = prepared.payload.size() > offset ? prepared.payload.size() - offset : 0;
    std::uint8_t* row = MessageTable::payload_of(messages.take_cell(message));
    const std::size_t take = std::min(left, shard);
    if (take != 0) std::memcpy(row, prepared.payload.data() + offset, take);
    std::memset(row + take, 0, shard - take);
    Generation& generation = messages.generation(message, message.rows_loaded / k);
    generation.rows[generation.held++] = row;
    if (generation.held == k) {
      generation.is_decoded = true;
      ++message.generations_complete;
      ++message.generations_decoded;
    }
  }
  if (message.rows_loaded == shards) {
    loads.pop();
    message.state = MessageState::complete;
    message.completed_at = now;
    message.deficit = 0;
    messages.finish(slot);
  }
  queue_all(slot);
  return true;
}

void Relay::State::queue_decode(std::uint32_t slot, std::uint16_t g) noexcept {
  const Message& message = messages[slot];
  Generation& generation = messages.generation(message, g);
  if (generation.is_decode_queued) return;
  const bool is_awaited = message.is_read || message.is_careful || message.is_asked;
  generation.is_decode_queued = is_awaited;
  // References to messages that went do not count: of the others there are no more than generations.
  const auto push = [&](Fifo<GenerationRef>& to) {
    const GenerationRef ref{slot, message.epoch, g};
    if (to.push(ref)) return true;
    to.keep([&](const GenerationRef& one) { return messages.is_current(one.message, one.epoch); });
    return to.push(ref);
  };
  if (is_awaited) {
    CHECK(push(decodes));
  } else if (!push(idle_decodes)) {
    counters.add(Counter::generations_unchecked_total);
  }
}

/// All of it is here to be passed on. Nobody here reads it, so decoding and hashing wait for a quiet moment.
void Relay::State::carry(Instant now, std::uint32_t slot) noexcept {
  Message& message = messages[slot];
  message.state = MessageState::carried;
  message.completed_at = now;
  messages.finish(slot);
  queue_all(slot);
}

bool Relay::State::decode_one(Instant now, Fifo<GenerationRef>& from) noexcept {
  if (from.is_empty()) return false;
  const GenerationRef ref = from.front();
  from.pop();
  if (!messages.is_current(ref.message, ref.epoch)) return true;
  Message& message = messages[ref.message];
  Generation& generation = messages.generation(message, ref.generation);
  if (&from == &decodes) generation.is_decode_queued = false;
  if (generation.is_right || message.state == MessageState::complete || !generation.decoder.is_complete()) return true;
  const bool is_new = !generation.is_decoded;
  if (is_new) {
    generation.decoder.decode({generation.rows.data(), message.header.k}, message.header.shard_bytes);
    generation.is_decoded = true;
    ++message.generations_decoded;
    counters.add(Counter::generations_decoded_total);
  }
  if (!check_generation(now, ref.message, ref.generation)) return true;
  if (!is_new) return true;
  // Hashing goes in order: this may be the generation it waited for, or any after a restart.
  if (messages.generation(message, message.generations_hashed).is_decoded) queue_hash(ref.message);
  return true;
}

void Relay::State::queue_hash(std::uint32_t slot) noexcept {
  Message& message = messages[slot];
  if (message.is_hash_queued) return;
  message.is_hash_queued = true;
  const GenerationRef ref{slot, message.epoch, 0};
  if (hashes.push(ref)) return;
  hashes.keep([&](const GenerationRef& one) { return messages.is_current(one.message, one.epoch); });
  CHECK(hashes.push(ref));
}

bool Relay::State::hash_one(Instant now) noexcept {
  if (hashes.is_empty()) return false;
  const std::uint32_t slot = hashes.front().message;
  const bool is_current = messages.is_current(slot, hashes.front().epoch);
  if (!is_current) {
    hashes.pop();
    return true;
  }
  Message& message = messages[slot];
  if (!message.is_single && message.generations_hashed < message.header.generations) {
    const std::size_t g = message.generations_hashed;
    const Generation& generation = messages.generation(message, g);
    if (generation.is_decoded) {
      const std::size_t shard = message.header.shard_bytes;
      const std::size_t start = g * message.header.k * shard;
      std::size_t left = message.header.size_bytes > start ? message.header.size_bytes - start : 0;
      for (std::size_t i = 0; i < message.header.k && left != 0; ++i) {
        const std::size_t take = std::min(left, shard);
        messages.hasher(slot).update({generation.rows[i], take});
        left -= take;
      }
      ++message.generations_hashed;
    }
    const bool is_more = message.generations_hashed < message.header.generations &&
                         messages.generation(message, message.generations_hashed).is_decoded;
    if (is_more) return true;
  }
  hashes.pop();
  message.is_hash_queued = false;
  if (message.state != MessageState::complete &&
      (message.is_single || message.generations_hashed == message.header.generations)) {
    finish_check(now, slot);
  }
  return true;
}

void Relay::State::finish_check(Instant now, std::uint32_t slot) noexcept {
  Message& message = messages[slot];
  if (!message.is_signature_ok) {
    if (!verify_header({message.encoded_header.data(), message.header_bytes})) {
      counters.add(Counter::drop_header_signature_total);
      fault(message.opened_by, PeerFault::bad_signature);
      return close_false(now, slot);
    }
    message.is_signature_ok = true;
  }
  if (!message.is_single && messages.hasher(slot).finish() != message.header.id) return mend_wrong_bytes(now, slot);
  // Padding is in the digests and not in the id: somebody on the way may have changed it.
  if (!message.is_single && !is_padding_clean(message)) return mend_wrong_bytes(now, slot);
  if (!message.is_single && !are_digests_true(message)) {
    counters.add(Counter::drop_digest_total);
    fault(message.opened_by, PeerFault::spoilt);
    return close_false(now, slot);
  }
  complete(now, slot);
}

void Relay::State::mend_wrong_bytes(Instant now, std::uint32_t slot) noexcept {
  Message& message = messages[slot];
  counters.add(Counter::drop_digest_total);
  const std::size_t generations = message.header.generations;
  // The digests themselves came from neighbours: they count only when they hash to the signed root.
  const bool is_list_right = holds_list(message);
  std::size_t wrong = 0;
  std::array<bool, flows_max> is_blamed{};
  for (std::size_t g = 0; g < generations; ++g) {
    Generation& generation = messages.generation(message, g);
    if (is_list_right) {
      generation.is_right = generation_digest(message, generation) == generation.digest;
      if (generation.is_right) continue;
      restart_wrong(message, g, is_blamed);
    } else {
      messages.restart_generation(message, g);
    }
    ++wrong;
  }
  blame(message, is_blamed);
  if (!is_list_right) forget_list(message);
  if (wrong == 0) {
    // Every generation is what was signed and yet the id is not the payload's: who signed it lied. Another may have
    // signed the truth.
    fault(message.opened_by, PeerFault::spoilt);
    return close_false(now, slot);
  }
  message.generations_hashed = 0;
  messages.hasher(slot).reset();
  for (std::uint8_t f = 0; f < message.flow_count && !is_list_right; ++f) {
    // Without the right digests nothing can be told apart next time either: ask for the announce too.
    if (message.flows[f].is_provider) queue_loose(now, message.flows[f].peer, message.tag, StatusState::unknown);
  }
  if (begin_again(now, slot)) find_sources(now, slot);
}

/// The flow of the only neighbour that gave packets to a wrong generation; flow_none where several did: which one lied
/// cannot be told then.
std::uint8_t Relay::State::culprit_of(const Generation& generation, const Message& message) const noexcept {
  if (generation.flows[flow_members].received != 0) return flow_none;
  std::uint8_t only = flow_none;
  for (std::uint8_t f = 0; f < message.flow_count; ++f) {
    if (generation.flows[f].received == 0) continue;
    if (only != flow_none) return flow_none;
    only = f;
  }
  return only;
}

void Relay::State::complete(Instant now, std::uint32_t slot) noexcept {
  Message& message = messages[slot];
  message.state = MessageState::complete;
  message.completed_at = now;
  messages.finish(slot);
  if (messages.has_rivals(slot)) drop_rivals(now, slot);
  seen.insert(now, message.tag);
  counters.add(Counter::messages_completed_total);
  const Route* route = find_route(message.topic);
  if (route != nullptr && route->deliver) {
    message.is_delivery_pending = true;
    CHECK(deliveries.push(slot));
  }
  if (message.is_single) return;
  for (std::uint8_t f = 0; f < message.flow_count; ++f) queue_status(now, slot, f, microseconds(0));
  queue_all(slot);
}

}  // namespace corelay::dataplane
