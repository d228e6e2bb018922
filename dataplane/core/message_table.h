/// The messages a relay holds, their generations and shards, and what each neighbour has to do with them. All memory is
/// taken in the constructor; when it is full, complete messages make room, those that everybody was told of first, then
/// incomplete ones that stand still.
///
/// What a neighbour opened counts against it until it is complete: beyond its first message a neighbour never holds
/// more than is left for all others, so one neighbour takes at most half of the memory, two a third each, and so on
/// (Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet switches", 1998). Within its share
/// what comes slowly gives way to what is new: an honest relay passes on what a bad neighbour of its own never ends.
///
/// Headers that differ in more than their signer may claim one tag; which is true only the payload shows. They are
/// rivals: messages of their own, chained behind the first, and each neighbour takes part in one of them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "codec/decoder.h"
#include "dataplane/command.h"
#include "dataplane/core/frame.h"
#include "dataplane/core/header.h"
#include "dataplane/core/pool.h"
#include "dataplane/core/tag_map.h"
#include "dataplane/counters.h"
#include "dataplane/instant.h"
#include "dataplane/params.h"

namespace corelay::dataplane {

/// Neighbours that take part in one message: every next hop of a topic, and some that are none (any more).
inline constexpr std::size_t flows_max = next_hops_max + 8;
inline constexpr std::uint8_t flow_none = 0xff;
static_assert(flows_max < flow_none);

/// A place behind the flows for whoever sends without being one: members of the topic, in two hops. Its peer is the one
/// whose frame is being taken; nothing is asked of it or sent by it.
inline constexpr std::uint8_t flow_members = flows_max;

/// Where a shard lives: up to 128 coefficients right before the payload, so that both are one row, the payload 64-byte
/// aligned and cells an odd multiple of 64 bytes apart.
inline constexpr std::size_t cell_coefficient_bytes = k_wire_max;

/// Bytes from one cell to the next, for shards of up to `shard_bytes`.
[[nodiscard]] constexpr std::size_t cell_stride(std::size_t shard_bytes) noexcept {
  const std::size_t lines = (cell_coefficient_bytes + shard_bytes + 63) / 64;
  return (lines | 1) * 64;
}
static_assert(cell_stride(shard_wire_bytes_max) == cell_coefficient_bytes + shard_wire_bytes_max);

/// What a neighbour told about its own need for a message.
enum class PeerState : std::uint8_t { unheard, wanting, full, refused };

/// One neighbour's part in one message.
struct Flow {
  PeerIndex peer = peer_none;
  PeerState state = PeerState::unheard;
  bool is_next_hop = false;     // we may send to it
  bool is_provider = false;     // it has some of the message
  bool needs_announce = false;  // header to be sent
  bool is_announced = false;    // header was sent at least once
  bool needs_single = false;    // whole message to be sent
  bool is_put_off = false;      // whole message to be sent unless it says in time that it has it
  bool is_told = false;         // that we have the whole message: by a copy, a notice, or the answer to its own copy
  bool is_queued = false;       // in its link's bulk queue
  bool is_urgent_queued = false;  // in its link's urgent queue
  bool is_status_queued = false;
  bool has_named = false;       // it announced this very header
  bool is_list_false = false;   // and digests that were not the signed ones
  bool is_list_told = false;    // it was announced with all digests
  bool is_blamed = false;       // for wrong bytes of this message
  bool is_distrusted = false;   // it vouched for a wrong generation: nothing more of this message is taken from it
  bool is_told_full = false;    // it asked around for whoever has all, and was told
  std::uint16_t want = 0;       // coded frames it allows in flight
  std::uint16_t generation = 0;  // where the next run starts
  std::uint32_t start_share = 0;  // unsolicited packets it may have, when it is near
  std::uint32_t start_used = 0;   // that it had and were not lost
  std::uint32_t inflight = 0;    // coded frames
  std::uint32_t received = 0;    // coded frames from it
  float innovative = 0;          // recent innovative frames from it, decaying
  std::uint8_t retold = 0;       // times it was told again, since it had not heard or said that it does not know
  Instant announced_at{};
  Duration announce_wait{};
};

/// One neighbour's part in one generation.
struct GenerationFlow {
  std::uint8_t deficit = 0;    // k - rank it reported last, k at first; deficit_held_back
  std::uint8_t received = 0;   // innovative packets from it
  std::uint16_t inflight = 0;  // frames sent to it that have not ended
  std::uint16_t given = 0;     // frames sent to it that were not lost, less what was let go by with time
  std::uint16_t given_at = 0;  // when it last had all it may be given, or was let go on: in quarters of a second
};

struct Generation {
  codec::Decoder decoder;
  std::array<std::uint8_t*, k_wire_max> rows{};  // payloads: in arrival order, in shard order once decoded
  std::uint16_t held = 0;
  std::uint16_t next_systematic = 0;  // publisher: rows before it went out once
  bool is_decoded = false;
  bool is_decode_queued = false;  // somebody waits for it
  bool has_digest = false;
  bool is_right = false;              // decoded and as signed
  std::uint8_t source = flow_none;    // the one neighbour it is taken from, while somebody spoils the message
  Instant source_at{};                // when it was named or brought something new last
  Instant source_since{};             // when it was named
  Digest digest{};
  std::array<GenerationFlow, flows_max + 1> flows{};
};

/// For messages of several generations: their numbers, and their row lists for MessageView.
struct GenerationMap {
  std::array<std::uint32_t, generations_wire_max> index{};
  std::array<const std::uint8_t* const*, generations_wire_max> rows{};
};

enum class MessageState : std::uint8_t {
  loading,    // local publish, shards being copied in
  receiving,  // rank below k somewhere
  carried,    // full rank, nobody here reads it: checked when there is nothing else to do
  checking,   // all generations decoded, hashes being computed
  complete,   // verified
};

/// What messages take of the tables.
struct Amounts {
  std::uint64_t messages = 0;
  std::uint64_t cells = 0;
  std::uint64_t generations = 0;
  std::uint64_t maps = 0;

  Amounts& operator+=(const Amounts& other) noexcept {
    messages += other.messages;
    cells += other.cells;
    generations += other.generations;
    maps += other.maps;
    return *this;
  }
  Amounts& operator-=(const Amounts& other) noexcept {
    messages -= other.messages;
    cells -= other.cells;
    generations -= other.generations;
    maps -= other.maps;
    return *this;
  }
  [[nodiscard]] bool fits(const Amounts& room) const noexcept {
    return messages <= room.messages && cells <= room.cells && generations <= room.generations && maps <= room.maps;
  }
};

/// What is known of a message, without its flows.
struct MessageFacts {
  bool is_live = false;
  MessageState state = MessageState::receiving;
  bool is_single = false;
  bool is_own = false;           // published here
  bool is_read = false;          // somebody here waits for it
  bool is_signature_ok = false;
  bool is_held_by_control = false;
  bool is_delivery_pending = false;
  bool is_unsettled = false;     // in the unsettled list
  bool is_hash_queued = false;
  bool is_leaving = false;       // chosen to make room
  bool is_careful = false;       // somebody spoils it: relay_vouched.cpp
  bool is_list_right = false;    // all digests are known, and as signed
  bool is_asked = false;         // a neighbour waits for checked generations of what nobody here reads
  bool is_two_hop = false;       // it comes through two hops: relay_two_hop.cpp
  bool is_patient = false;       // and nothing is asked for until patient_until
  std::uint8_t list_from = flow_none;  // whose digests are being taken
  Instant list_at{};             // when it gave some last
  Instant sources_at{};          // when sources were looked for last
  std::uint8_t flow_count = 0;
  std::uint8_t hops = 0;         // relays between the publisher and us, of one that travels whole
  PeerIndex opened_by = peer_none;
  PeerIndex charged_to = peer_none;  // counts against this neighbour, while incomplete
  PeerIndex completed_by = peer_none;
  std::uint32_t epoch = 0;
  std::uint32_t map = slot_none;            // GenerationMap, when generations > 1
  std::uint32_t generation = slot_none;     // the generation, when there is one
  std::uint32_t single_cell = slot_none;
  std::uint16_t generations_complete = 0;   // full rank
  std::uint16_t generations_decoded = 0;
  std::uint16_t generations_hashed = 0;
  std::uint16_t mends = 0;                  // times wrong bytes were found
  std::uint32_t rows_loaded = 0;
  std::uint32_t cells_reserved = 0;         // set aside and not taken yet
  std::uint32_t deficit = 0;                // sum of k - rank
  const PreparedMessage* prepared = nullptr;  // until Published or PublishFailed
  MessageTag tag{};
  TopicHash topic = 0;
  MessageHeader header;
  std::uint16_t header_bytes = 0;
  std::array<std::uint8_t, header_bytes_max> encoded_header{};
  Instant first_seen{};
  Instant progress_at{};
  Instant completed_at{};
  Instant weighed_at{};                     // when the parts of its providers last faded
  Instant refresh_at{};                     // when all of them hear again how much is missing
  Instant status_at = never;                // stall timer
  Duration status_wait{};
  Instant patient_until{};
  const std::uint8_t* single_row = nullptr;
  const std::uint8_t* const* single_rows = nullptr;
  std::uint32_t older = slot_none;          // list of live messages by age
  std::uint32_t newer = slot_none;
  bool is_done = false;                     // in the list of complete messages, by time of completion
  std::uint32_t done_before = slot_none;
  std::uint32_t done_after = slot_none;
  std::uint32_t rival = slot_none;          // the next message of this tag

  /// All of it is here, checked or not.
  [[nodiscard]] bool is_whole() const noexcept {
    return state == MessageState::complete || state == MessageState::carried;
  }
  /// It comes by itself, and nothing is asked for.
  [[nodiscard]] bool is_waiting() const noexcept { return is_patient && !is_careful && deficit != 0; }
  /// Something outside the relay still looks at it.
  [[nodiscard]] bool is_in_use() const noexcept {
    return is_held_by_control || is_delivery_pending || prepared != nullptr;
  }
  [[nodiscard]] std::size_t shards() const noexcept {
    return static_cast<std::size_t>(header.k) * header.generations;
  }
};

/// A flow beyond flow_count is whatever it was: make_flow() starts it.
struct Message : MessageFacts {
  std::array<Flow, flows_max + 1> flows{};
};

/// What became of a request to open a message.
enum class Admission : std::uint8_t { opened, over_share, no_memory };
struct Opening {
  std::uint32_t slot = slot_none;
  Admission outcome = Admission::no_memory;
};

class MessageTable {
 public:
  MessageTable(const RelayParams& params, std::uint64_t seed, Counters& counters);

  [[nodiscard]] std::uint32_t find(const MessageTag& tag) const noexcept { return map_.find(tag); }
  [[nodiscard]] Message& operator[](std::uint32_t slot) noexcept { return messages_[slot]; }
  [[nodiscard]] const Message& operator[](std::uint32_t slot) const noexcept { return messages_[slot]; }
  [[nodiscard]] bool is_current(std::uint32_t slot, std::uint32_t epoch) const noexcept {
    return slot < messages_.size() && messages_[slot].is_live && messages_[slot].epoch == epoch;
  }

  /// The message of `tag` that `peer` takes part in, or else the first; slot_none when there is none.
  [[nodiscard]] std::uint32_t find_for(const MessageTag& tag, PeerIndex peer) const noexcept {
    const std::uint32_t slot = map_.find(tag);
    return slot == slot_none || messages_[slot].rival == slot_none ? slot : find_among_rivals(slot, peer);
  }

  [[nodiscard]] bool has_rivals(std::uint32_t slot) const noexcept {
    return messages_[slot].rival != slot_none || map_.find(messages_[slot].tag) != slot;
  }

  /// Opens a message with `header`'s geometry on account of `opener` (peer_none: our own), making room by eviction
  /// where it must; nothing is evicted unless that makes room enough. Behind others of the same tag it is their rival.
  [[nodiscard]] Opening open(Instant now, const MessageTag& tag, const MessageHeader& header, bool is_single,
                             PeerIndex opener) noexcept;

  /// Notes that all of a message is here: it counts against nobody any more and may be evicted. resume() takes it back.
  void finish(std::uint32_t slot) noexcept;
  void resume(std::uint32_t slot) noexcept;

  /// Whose account an incomplete message is on from now; peer_none: nobody's, and the first to make room.
  void charge(std::uint32_t slot, PeerIndex to) noexcept;

  /// Incomplete messages on account of `peer`.
  [[nodiscard]] std::size_t open_of(PeerIndex peer) const noexcept { return shares_[peer].messages; }

  /// Frees a message and everything it holds.
  void close(std::uint32_t slot) noexcept;

  [[nodiscard]] std::uint32_t generation_index(const Message& message, std::size_t g) const noexcept {
    return message.map == slot_none ? message.generation : maps_[message.map].index[g];
  }
  [[nodiscard]] Generation& generation(const Message& message, std::size_t g) noexcept {
    return generations_[generation_index(message, g)];
  }

  /// A cell for one more shard of `message`; open() has set aside as many as the message has shards.
  [[nodiscard]] std::uint8_t* take_cell(Message& message) noexcept;
  /// Makes `cell` the payload of a message that travels whole.
  void hold_single(Message& message, std::uint8_t* cell) noexcept;
  /// The payload of a cell, and the cell of a payload.
  [[nodiscard]] static std::uint8_t* payload_of(std::uint8_t* cell) noexcept { return cell + cell_coefficient_bytes; }
  [[nodiscard]] static std::uint8_t* cell_of(std::uint8_t* payload) noexcept {
    return payload - cell_coefficient_bytes;
  }

  /// Empties a generation whose bytes turned out wrong or may be: rank 0, no shards, no source.
  void restart_generation(Message& message, std::size_t g) noexcept;

  /// The list of shard lists for MessageView::rows.
  [[nodiscard]] const std::uint8_t* const* const* rows_of(Message& message) noexcept;
  [[nodiscard]] Sha256& hasher(std::uint32_t slot) noexcept { return hashers_[slot]; }

  /// The flow of `peer`, or flow_none; and the same, made when there is room.
  [[nodiscard]] static std::uint8_t find_flow(const Message& message, PeerIndex peer) noexcept;
  [[nodiscard]] std::uint8_t make_flow(Message& message, PeerIndex peer) noexcept;
  void clear_flow(Message& message, std::uint8_t flow) noexcept;

  [[nodiscard]] std::uint32_t oldest() const noexcept { return oldest_; }
  [[nodiscard]] std::size_t live() const noexcept { return messages_.size() - slots_.left(); }
  void update_gauges() noexcept;

  /// Called for a message that must make room: the relay settles what hangs on it and closes it.
  void on_evict(void (*call)(void*, Instant, std::uint32_t), void* context) noexcept {
    evict_call_ = call;
    evict_context_ = context;
  }

 private:
  [[nodiscard]] std::uint32_t find_among_rivals(std::uint32_t first, PeerIndex peer) const noexcept;
  [[nodiscard]] bool is_within_share(PeerIndex opener, const Amounts& need) const noexcept;
  [[nodiscard]] bool is_slow(Instant now, const Message& message) const noexcept;
  [[nodiscard]] bool may_push_out(PeerIndex opener, const Amounts& need, const Message& message) const noexcept;
  template <class Take>
  bool offer_slow(Instant now, const Amounts& need, PeerIndex opener, Take take) noexcept;
  [[nodiscard]] Admission make_room(Instant now, const Amounts& need, PeerIndex opener, bool is_single) noexcept;
  [[nodiscard]] bool clear_share(Instant now, const Amounts& need, PeerIndex opener) noexcept;
  [[nodiscard]] Amounts room() const noexcept;
  [[nodiscard]] bool reserve(Instant now, const Amounts& need, PeerIndex opener) noexcept;
  template <class Take>
  bool offer_victims(Instant now, const Amounts& need, PeerIndex opener, Take take) noexcept;
  void choose(std::uint32_t slot) noexcept;
  void take_back(std::uint32_t slot) noexcept;
  [[nodiscard]] static std::uint8_t spare_flow(const Message& message) noexcept;
  void link_rival(std::uint32_t slot) noexcept;
  void unlink(std::uint32_t slot) noexcept;
  void unlink_done(Message& message) noexcept;
  /// Gives back the cells of a generation; returns how many.
  std::size_t release_generation(std::uint32_t index) noexcept;
  void give_cell(const std::uint8_t* cell) noexcept;

  Counters& counters_;
  TagMap map_;
  std::vector<Message> messages_;
  SlotList slots_;
  std::vector<Generation> generations_;
  SlotList generation_slots_;
  std::size_t tracker_bytes_;
  AlignedMemory trackers_;
  std::vector<GenerationMap> maps_;
  SlotList map_slots_;
  std::size_t cell_bytes_;  // stride
  AlignedMemory cells_;
  SlotList cell_slots_;
  std::size_t cells_reserved_ = 0;  // set aside for open messages, not taken yet
  std::vector<Sha256> hashers_;
  std::uint32_t oldest_ = slot_none;
  std::uint32_t newest_ = slot_none;
  std::uint32_t first_done_ = slot_none;
  std::uint32_t last_done_ = slot_none;
  std::vector<Amounts> shares_;     // a peer: what its incomplete messages take
  Amounts charged_;                 // the sum of them
  Amounts leaving_;                 // what the chosen ones would leave
  std::vector<std::pair<std::uint32_t, std::uint32_t>> chosen_;  // to make room: slots and epochs
  Duration incomplete_time_;
  Amounts all_;                     // what there is
  void (*evict_call_)(void*, Instant, std::uint32_t) = nullptr;
  void* evict_context_ = nullptr;
};

}  // namespace corelay::dataplane
