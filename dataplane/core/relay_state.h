/// What a Relay is made of, shared by its source files: relay.cpp (entry points, routes, timers), relay_receive.cpp
/// (frames in), relay_rivals.cpp (headers that contradict each other, and what is closed), relay_complete.cpp
/// (decoding, hashing, finishing), relay_ask.cpp (feedback out), relay_single.cpp (messages that travel whole),
/// relay_two_hop.cpp (messages to a known membership) and relay_send.cpp (all other frames out).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "codec/rng.h"
#include "dataplane/core/frame.h"
#include "dataplane/core/link.h"
#include "dataplane/core/members.h"
#include "dataplane/core/message_table.h"
#include "dataplane/core/relay.h"
#include "dataplane/core/session_table.h"

namespace corelay::dataplane {

/// A flow by name, safe to keep while its message may go.
struct FlowRef {
  std::uint32_t message = slot_none;
  std::uint32_t epoch = 0;
  std::uint8_t flow = flow_none;
};

/// A status about a message we do not hold (unknown, refused, or complete and gone).
struct LooseStatus {
  MessageTag tag{};
  StatusState state = StatusState::unknown;
};

/// A message that travels whole and waits a moment for copies from others before it is passed on.
struct WholeRef {
  std::uint32_t message = slot_none;
  std::uint32_t epoch = 0;
  Instant at{};
};

/// Copies received of messages that travel whole, from senders so many relays away from the publisher, and those of
/// them that were the first.
struct CopyCount {
  std::uint16_t copies = 0;
  std::uint16_t first = 0;
};

struct MessageRef {
  std::uint32_t message = slot_none;
  std::uint32_t epoch = 0;
};

struct GenerationRef {
  std::uint32_t message = slot_none;
  std::uint32_t epoch = 0;
  std::uint16_t generation = 0;
};

struct PublishOutcome {
  const PreparedMessage* message = nullptr;
  bool is_published = false;
  PublishFailure reason = PublishFailure::no_peers;
};

/// A tag, shortened, and when a neighbour said that it has that message.
struct Heard {
  std::uint64_t name = 0;
  Instant at{};
};

/// A packet that this relay took to pass it on.
struct PassedOn {
  std::uint32_t message = slot_none;
  std::uint32_t epoch = 0;
  std::uint16_t generation = 0;
  std::uint16_t row = row_none;  // where it stands among those that arrived; row_none: it was not kept
  CodedForm form = CodedForm::vector;
  std::uint64_t seed = 0;
  static constexpr std::uint16_t row_none = 0xffff;
};

/// One message's way through two hops.
struct TwoHop {
  Members members;  // of its topic when it began
  Members lacking;  // members that may still need packets of it
  Members untold;   // of them, those that are to hear of it from here
  Members told;
  PeerIndex turn = 0;               // who gets the next packet that is to be passed on
  std::uint32_t given = 0;          // such packets sent,
  std::uint32_t wanted = 0;         // of so many, and two more for each that was lost
  std::uint32_t cycle = 1;          // packets until members and generations meet again in the same order
  std::uint32_t passed_on = 0;      // packets taken to be passed on here,
  std::uint32_t passed_on_max = 0;  // so many at most
  bool is_listed = false;           // among those with something to send
};

/// A frame made for several members in one call.
struct SharedFrame {
  std::uint64_t index = 0;
  std::uint8_t* frame = nullptr;
  std::uint16_t bytes = 0;
  std::uint16_t charged = 0;
};

struct Peer {
  Peer(std::size_t queue_max, std::size_t link_frames_max)
      : link(link_frames_max),
        urgent(queue_max),
        bulk(queue_max),
        statuses(queue_max),
        loose(64) {}
  bool is_up = false;
  std::uint16_t frame_bytes_max = 0;
  float loss = 0;                   // share of frames sent that were lost, smoothed
  Link link;
  Fifo<FlowRef> urgent;             // announces and singles
  Fifo<FlowRef> bulk;               // coded frames
  Fifo<FlowRef> statuses;
  Fifo<LooseStatus> loose;
  LooseStatus last_loose;
  std::uint64_t passed_on = 0;             // where it stands in the ring of packets to be passed on
  std::uint8_t place_here = 0;             // of it among our neighbours, 1 to 255 all around
  std::uint8_t place_there = 0;            // of us among its neighbours
  std::uint8_t right_owed = 0;             // packets that clear it as a suspect, 0: it is none
  std::uint8_t heard_next = 0;
  std::array<Heard, 32> heard{};           // what it said to have that we had nothing of, the newest
};

struct Route {
  TopicHash topic = 0;
  bool deliver = false;
  std::uint8_t count = 0;
  std::array<PeerIndex, next_hops_max> next_hops{};
  Members members;
};

/// Packs the k coefficients before a payload, which stays where it is. Returns where the frame begins now.
[[nodiscard]] std::uint8_t* pack_vector(std::uint8_t* vector, std::size_t k) noexcept;

/// The k coefficients that the payload of a coded frame was mixed with. k = vector.size(), which the frame fits.
void coefficients_of(const CodedFrame& coded, std::span<std::uint8_t> vector) noexcept;

struct Relay::State {
  State(const RelayParams& relay_params, std::uint64_t seed, Counters& lane_counters);

  // relay.cpp
  void take(Instant now, const PeerUp& command) noexcept;
  void take(Instant now, const PeerDown& command) noexcept;
  void take(Instant now, const RouteSet& command) noexcept;
  void take(Instant now, const MemberSet& command) noexcept;
  void take(Instant now, const RouteClear& command) noexcept;
  void take(Instant now, const Publish& command) noexcept;
  void take(Instant now, const Release& command) noexcept;
  void take(Instant now, const SetTrace& command) noexcept;
  void read(std::uint32_t slot, bool is_read) noexcept;
  [[nodiscard]] Route* find_route(TopicHash topic) noexcept;
  void join_flows(std::uint32_t slot, const Route& route, PeerIndex except) noexcept;
  void place_peers() noexcept;
  void housekeep(Instant now) noexcept;
  void keep_message(Instant now, std::uint32_t slot) noexcept;
  void offer_again(Instant now, std::uint32_t slot) noexcept;
  [[nodiscard]] bool is_settled(const Message& message) const noexcept;
  /// There is a next hop that may still take it.
  [[nodiscard]] bool has_taker(const Message& message) const noexcept;
  void note_unsettled(std::uint32_t slot) noexcept;
  void flush_events(Outbox& out) noexcept;
  void update_deadline(Instant now, const Outbox& out) noexcept;
  void trace(const Message& message, PeerIndex from, ShardTrace kind) noexcept;
  void fault(PeerIndex peer, PeerFault kind) noexcept;
  void outcome(Message& message, bool is_published, PublishFailure reason) noexcept;

  // relay_receive.cpp
  void on_frame(Instant now, const RxFrame& frame) noexcept;
  void on_announce(Instant now, PeerIndex from, Bytes bytes) noexcept;
  void on_coded(Instant now, PeerIndex from, Bytes bytes) noexcept;
  void refresh(Instant now, std::uint32_t slot) noexcept;
  void on_feedback(Instant now, PeerIndex from, Bytes bytes) noexcept;
  void on_probe(Instant now, PeerIndex from, Bytes bytes) noexcept;
  void on_status(Instant now, PeerIndex from, const StatusFrame& status) noexcept;
  void on_wanting(Instant now, std::uint32_t slot, std::uint8_t f, const StatusFrame& status) noexcept;
  [[nodiscard]] std::uint8_t flow_for(Message& message, PeerIndex peer) noexcept;
  [[nodiscard]] std::uint32_t open_received(Instant now, PeerIndex from, Bytes encoded, const MessageTag& tag,
                                            const MessageHeader& header, bool is_single) noexcept;
  void take_digests(Message& message, const AnnounceFrame& announce) noexcept;
  void absorb(Instant now, std::uint32_t slot, std::uint8_t flow, const CodedFrame& coded) noexcept;
  void on_frame_ended(Instant now, PeerIndex peer, const SentFrame& frame, bool is_acknowledged) noexcept;
  void malformed(PeerIndex from) noexcept;

  // relay_single.cpp
  void on_single(Instant now, PeerIndex from, Bytes bytes) noexcept;
  void on_known_single(PeerIndex from, std::uint32_t slot, std::uint8_t hops) noexcept;
  void count_copy(std::uint8_t hops, bool is_first) noexcept;
  void note_heard(Instant now, PeerIndex from, const MessageTag& tag) noexcept;
  void forget_heard(PeerIndex from, const MessageTag& tag) noexcept;
  [[nodiscard]] bool has_heard(Instant now, const Peer& peer, const MessageTag& tag) const noexcept;
  [[nodiscard]] double share_at(std::uint8_t hops) const noexcept;
  void spread(Instant now, std::uint32_t slot, PeerIndex from) noexcept;
  void spread_whole(Instant now, std::uint32_t slot) noexcept;
  void spread_due(Instant now) noexcept;
  bool send_single(Instant now, std::uint32_t slot, std::uint8_t flow, Outbox& out) noexcept;

  // relay_two_hop.cpp
  [[nodiscard]] bool is_worth_spreading(const Message& message, std::size_t members) const noexcept;
  void begin_spread(std::uint32_t slot, const Route& route) noexcept;
  void begin_two_hop(Instant now, std::uint32_t slot, PeerIndex from) noexcept;
  [[nodiscard]] std::uint32_t find_spread(const CodedFrame& coded, PeerIndex from) const noexcept;
  [[nodiscard]] std::uint8_t flow_or_member(Message& message, std::uint32_t slot, PeerIndex peer) noexcept;
  void note_passed_on(std::uint32_t slot, PeerIndex from, const CodedFrame& coded, std::size_t held_before) noexcept;
  void extend_patience(Instant now, Message& message, PeerIndex from) noexcept;
  [[nodiscard]] bool take_member_status(std::uint32_t slot, PeerIndex from, StatusState state) noexcept;
  void on_member_frame_ended(const SentFrame& frame, PeerIndex peer, bool is_acknowledged) noexcept;
  void tell_members(Instant now, std::uint32_t slot) noexcept;
  void forget_member(PeerIndex peer) noexcept;
  void list_spread(std::uint32_t slot) noexcept;
  void spread_listed(Instant now, Outbox& out) noexcept;
  [[nodiscard]] bool tell_untold(Instant now, std::uint32_t slot, Outbox& out) noexcept;
  [[nodiscard]] bool give_members(Instant now, std::uint32_t slot, Outbox& out) noexcept;
  void give_one(Instant now, std::uint32_t slot, PeerIndex to, Outbox& out) noexcept;
  void send_passed_on(Instant now, PeerIndex to, Outbox& out) noexcept;
  [[nodiscard]] const SharedFrame& shared_frame(std::uint64_t index, Outbox& out) noexcept;
  std::size_t write_shards(const Message& message, std::size_t g, CodedForm form, std::uint64_t seed, Hop hop,
                           std::uint8_t* frame) noexcept;
  void ship_to_member(Instant now, std::uint32_t slot, std::size_t g, PeerIndex to, const SharedFrame& frame,
                      FrameKind kind, Outbox& out) noexcept;

  // relay_vouched.cpp
  [[nodiscard]] bool holds_list(Message& message) noexcept;
  [[nodiscard]] Digest generation_digest(const Message& message, const Generation& generation) noexcept;
  [[nodiscard]] bool are_digests_true(Message& message) noexcept;
  [[nodiscard]] bool check_generation(Instant now, std::uint32_t slot, std::size_t g) noexcept;
  [[nodiscard]] static bool is_checked(const Message& message, const Generation& generation) noexcept {
    return generation.is_right || message.is_own || message.state == MessageState::complete;
  }
  [[nodiscard]] bool is_padding_clean(const Message& message) noexcept;
  void forget_list(Message& message) noexcept;
  void take_list(Instant now, std::uint32_t slot, std::uint8_t flow, const AnnounceFrame& announce) noexcept;
  void on_list_right(std::uint32_t slot) noexcept;
  void restart_wrong(Message& message, std::size_t g, std::span<bool> is_blamed) noexcept;
  void blame(Message& message, std::span<const bool> is_blamed) noexcept;
  [[nodiscard]] bool begin_again(Instant now, std::uint32_t slot) noexcept;
  void find_sources(Instant now, std::uint32_t slot) noexcept;
  [[nodiscard]] std::uint8_t source_for(const Message& message, const Generation& generation,
                                        std::span<const std::uint16_t> load) noexcept;
  [[nodiscard]] static bool is_vouched(const Message& message, const Generation& generation, std::uint8_t flow,
                                       CodedForm form) noexcept;
  [[nodiscard]] std::uint8_t deficit_for(const Message& message, const Generation& generation,
                                         std::uint8_t flow) const noexcept;

  // relay_suspects.cpp
  void suspect(PeerIndex peer) noexcept;
  void suspect_providers(const Message& message) noexcept;
  [[nodiscard]] bool is_left_to_suspects(Instant now, const Message& message) const noexcept;
  void suspect_givers(const Message& message, const Generation& generation) noexcept;
  [[nodiscard]] bool is_suspect(const Flow& flow) const noexcept {
    return flow.peer != peer_none && peers[flow.peer].right_owed != 0;
  }
  /// Of this generation nothing but what this neighbour vouches for is taken from it.
  [[nodiscard]] bool is_guarded(const Message& message, const Generation& generation, std::uint8_t f) const noexcept {
    return !generation.is_right && (message.is_careful || is_suspect(message.flows[f]));
  }
  void clear(const Flow& flow) noexcept {
    if (flow.peer != peer_none) peers[flow.peer].right_owed = 0;
  }
  [[nodiscard]] std::size_t exam_for(Instant now, const Message& message, std::uint8_t flow) noexcept;
  void examine(Instant now, std::uint32_t slot, std::uint8_t flow, const CodedFrame& coded) noexcept;
  [[nodiscard]] static bool is_true(const Message& message, const Generation& generation,
                                    const CodedFrame& coded) noexcept;

  // relay_rivals.cpp
  [[nodiscard]] bool is_bound_elsewhere(std::uint32_t slot, PeerIndex peer) const noexcept;
  [[nodiscard]] std::uint32_t rival_for(Instant now, PeerIndex from, Bytes encoded, const MessageTag& tag,
                                        const MessageHeader& header) noexcept;
  void settle_signature(PeerIndex from, std::uint32_t slot, Bytes encoded, const MessageHeader& header) noexcept;
  bool leave_rivals(const MessageTag& tag, std::uint32_t slot, PeerIndex peer) noexcept;
  void drop_rivals(Instant now, std::uint32_t slot) noexcept;
  void drop_rival(Instant now, std::uint32_t slot, std::uint32_t truth) noexcept;
  void find_heir(std::uint32_t slot) noexcept;
  void close_message(std::uint32_t slot) noexcept;
  void close_false(Instant now, std::uint32_t slot) noexcept;
  void make_room(Instant now, std::uint32_t slot) noexcept;

  // relay_complete.cpp
  bool load_some(Instant now) noexcept;
  bool decode_one(Instant now, Fifo<GenerationRef>& from) noexcept;
  void queue_decode(std::uint32_t slot, std::uint16_t g) noexcept;
  void carry(Instant now, std::uint32_t slot) noexcept;
  void queue_hash(std::uint32_t slot) noexcept;
  bool hash_one(Instant now) noexcept;
  void finish_check(Instant now, std::uint32_t slot) noexcept;
  void mend_wrong_bytes(Instant now, std::uint32_t slot) noexcept;
  void complete(Instant now, std::uint32_t slot) noexcept;
  [[nodiscard]] std::uint8_t culprit_of(const Generation& generation, const Message& message) const noexcept;

  // relay_ask.cpp
  void send_feedback(Instant now, PeerIndex to, Outbox& out) noexcept;
  bool write_statuses(Instant now, PeerIndex to, FeedbackWriter& writer) noexcept;
  static void weigh(Instant now, Message& message, Duration rtt) noexcept;
  bool write_status(Instant now, Message& message, std::uint8_t flow, FeedbackWriter& writer,
                    std::size_t room) noexcept;
  [[nodiscard]] std::uint16_t want_from(Message& message, std::uint8_t flow) noexcept;
  [[nodiscard]] double known_ahead(Message& message) noexcept;

  // relay_send.cpp
  void pump(Instant now, Outbox& out) noexcept;
  void send_probe(Instant now, PeerIndex to, Outbox& out) noexcept;
  void send_urgent(Instant now, PeerIndex to, Outbox& out) noexcept;
  bool send_announces(Instant now, std::uint32_t slot, std::uint8_t flow, Outbox& out) noexcept;
  void send_bulk(Instant now, PeerIndex to, Outbox& out) noexcept;
  std::size_t send_coded(Instant now, std::uint32_t slot, std::uint8_t flow, std::size_t budget, Outbox& out) noexcept;
  [[nodiscard]] bool is_far(PeerIndex peer) const noexcept;
  [[nodiscard]] bool is_own(const FlowRef& ref) const noexcept;
  [[nodiscard]] std::size_t start_allowance(const Message& message, const Flow& flow) const noexcept;
  [[nodiscard]] bool is_slow(const Link& link) const noexcept;
  [[nodiscard]] std::size_t outputs_each_turn(const Link& link) const noexcept;
  [[nodiscard]] std::size_t older_wanted(const Message& message, const Generation& generation,
                                         std::uint8_t flow) const noexcept;
  [[nodiscard]] std::size_t allowed(const Message& message, const Flow& flow) const noexcept;
  [[nodiscard]] std::size_t can_give(Instant now, const Message& message, const Generation& generation,
                                     const Flow& flow, GenerationFlow& part) noexcept;
  std::size_t send_systematic(Instant now, std::uint32_t slot, std::size_t g, std::uint8_t flow, std::size_t count,
                              Outbox& out) noexcept;
  std::size_t send_encoded(Instant now, std::uint32_t slot, std::size_t g, std::uint8_t flow, std::size_t count,
                           Outbox& out) noexcept;
  std::size_t send_recoded(Instant now, std::uint32_t slot, std::size_t g, std::uint8_t flow, std::size_t count,
                           Outbox& out) noexcept;
  void begin_coded(const Message& message, std::size_t g, CodedForm form, std::uint64_t seed, std::uint8_t* frame,
                   Hop hop = Hop::none) noexcept;
  std::size_t ship_all(Instant now, std::uint32_t slot, std::size_t g, std::uint8_t flow,
                       std::span<std::uint8_t* const> frames, std::size_t vector_bytes, Outbox& out) noexcept;
  void ship(Instant now, std::uint32_t slot, std::size_t g, std::uint8_t flow,
            std::span<std::uint8_t* const> frames, std::size_t vector_bytes, Outbox& out) noexcept;
  void charge_rate(Instant now, std::size_t charged, std::size_t frames = 1) noexcept;
  [[nodiscard]] AnnounceFrame announce_of(const Message& message, std::size_t first, std::size_t most,
                                          std::span<std::uint8_t> digests) noexcept;
  void queue_bulk(std::uint32_t slot, std::uint8_t flow) noexcept;
  void queue_urgent(std::uint32_t slot, std::uint8_t flow) noexcept;
  void queue_status(Instant now, std::uint32_t slot, std::uint8_t flow, Duration within) noexcept;
  void queue_loose(Instant now, PeerIndex to, const MessageTag& tag, StatusState state) noexcept {
    queue_loose(now, to, tag, state, microseconds(state == StatusState::full ? 100 : 500));
  }
  void queue_loose(Instant now, PeerIndex to, const MessageTag& tag, StatusState state, Duration within) noexcept;
  void queue_all(std::uint32_t slot) noexcept;

  const RelayParams params;
  Counters& counters;
  Rng rng;
  MessageTable messages;
  SeenCache seen;
  SeenCache condemned;  // digests of encoded headers that proved false, or went unchecked
  Sha256 single_hasher;
  std::vector<Peer> peers;
  std::vector<PeerIndex> up_peers;
  std::size_t first_peer = 0;  // where the next pump starts, so that nobody is always last
  Duration nearest_rtt{};      // of all neighbours
  std::vector<Route> routes;
  std::vector<std::uint32_t> unsettled;
  std::vector<TwoHop> two_hops;           // by message slot; empty where the router is the mesh
  std::vector<MessageRef> spreading;      // messages with something to send to members
  std::vector<PassedOn> passed_on;        // a ring
  std::uint64_t passed_on_end = 0;        // packets ever put into it
  std::array<SharedFrame, 16> shared{};   // frames of it made in this call
  std::array<CopyCount, hops_wire_max + 1> copy_counts{};
  bool has_singles = false;      // there were such
  Fifo<WholeRef> waiting_whole;  // in order of arrival: one may wait a little longer than it was to
  Fifo<std::uint32_t> loads;
  Fifo<GenerationRef> decodes;
  Fifo<GenerationRef> idle_decodes;  // of messages nobody here reads
  std::size_t busy_ticks = 0;        // ticks until those may have their turn
  Fifo<GenerationRef> hashes;
  Fifo<std::uint32_t> deliveries;
  Fifo<PublishOutcome> outcomes;
  Fifo<PeerIndex> gone;
  Fifo<Event> soft_events;  // may be dropped
  bool is_tracing = false;
  bool is_outbox_short = false;
  Instant rate_at{};  // when the cap over all peers lets the next coded frame go
  Instant housekeep_at = never;
  Instant deadline = never;
};

}  // namespace corelay::dataplane
