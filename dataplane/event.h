/// Data plane to control: one Event a ring slot. Events that must not be lost (delivered, published, publish_failed,
/// peer_gone) wait in the core while the ring is full; the rest are dropped with a counter.
#pragma once

#include <cstdint>
#include <variant>

#include "dataplane/command.h"
#include "dataplane/message.h"

namespace corelay::dataplane {

/// A message is complete and its digest and signature hold. Exactly once a message; ends with Command Release.
struct Delivered {
  MessageView message;
  PeerIndex from = peer_none;  // whose packet completed it
};

/// Why a message could not be published.
enum class PublishFailure : std::uint8_t {
  duplicate,     // the same bytes went through this topic within the dedupe time
  no_peers,      // held for publish_hold_ms and still nobody to send to
  memory_full,   // message or cell table full of messages that may not be evicted
  too_large,     // over message_bytes_max
};

/// The message is in the data plane and at least one next hop has been sent all it asked for.
/// The PreparedMessage is control's again.
struct Published {
  const PreparedMessage* message = nullptr;
};

/// The message will not be sent. The PreparedMessage is control's again.
struct PublishFailed {
  const PreparedMessage* message = nullptr;
  PublishFailure reason = PublishFailure::no_peers;
};

/// PeerDown is done: nothing in the data plane names the index any more.
struct PeerGone {
  PeerIndex peer = peer_none;
};

/// A peer broke the protocol inside an authenticated session; control scores it.
enum class PeerFault : std::uint8_t {
  malformed_frame,
  bad_signature,
  bad_digest,  // a message of one frame whose bytes are not what it names
  flooded,
  spoilt,      // wrong bytes it may have passed on unknowingly
  polluted,    // a wrong generation from it alone, which it said it had checked
};
struct PeerFaulted {
  PeerIndex peer = peer_none;
  PeerFault fault = PeerFault::malformed_frame;
};

/// What happened to one coded packet, or to a repeated whole message; sent only while tracing is on.
enum class ShardTrace : std::uint8_t { fresh, redundant, after_complete, duplicate_message };
struct ShardTraced {
  MessageId id{};
  PeerIndex from = peer_none;
  ShardTrace kind = ShardTrace::fresh;
  TopicHash topic = 0;
};

using Event = std::variant<Delivered, Published, PublishFailed, PeerGone, PeerFaulted, ShardTraced>;

}  // namespace corelay::dataplane
