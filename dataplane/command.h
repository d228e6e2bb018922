/// Control to data plane: one Command a ring slot, drained with a bound by each lcore.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <variant>

#include "dataplane/message.h"
#include "dataplane/session_keys.h"

namespace corelay::dataplane {

/// A peer's place in every table of the data plane. Control assigns it at session start and may reuse it after
/// PeerDown has been acknowledged by Event::peer_gone.
using PeerIndex = std::uint16_t;
inline constexpr PeerIndex peer_none = 0xffff;
inline constexpr std::size_t next_hops_max = 64;
inline constexpr std::size_t members_max = 1024;

/// Where a peer's lane 0 receives; lane n is `port` + n. IPv4 addresses are held as IPv4-mapped IPv6.
struct Endpoint {
  std::array<std::uint8_t, 16> address{};
  std::uint16_t port = 0;  // host byte order
  friend bool operator==(const Endpoint&, const Endpoint&) noexcept = default;
};

/// A session is up, or its keys changed.
struct PeerUp {
  PeerIndex peer = peer_none;
  Endpoint endpoint;
  SessionKeys keys;
  std::uint16_t path_mtu_bytes = 1400;  // UDP payload
  Duration rtt{};                       // as seen when the keys were agreed; 0: unknown
};

struct PeerDown {
  PeerIndex peer = peer_none;
};

/// The next hops of a topic, replacing what was there; an empty list leaves nobody to send to. `deliver` says whether
/// complete messages are handed to control.
struct RouteSet {
  TopicHash topic = 0;
  bool deliver = false;
  std::uint8_t count = 0;
  std::array<PeerIndex, next_hops_max> next_hops{};
};

/// For the two-hop router: a peer, of an index below members_max, takes part in a topic that has a route, or no longer
/// does. PeerDown takes a peer out of all topics, RouteClear all peers out of one; RouteSet leaves members as they are.
struct MemberSet {
  TopicHash topic = 0;
  PeerIndex peer = peer_none;
  bool is_member = false;
};

/// Nobody here takes part in the topic any more.
struct RouteClear {
  TopicHash topic = 0;
};

/// Send a message. The pointer stays control's, untouched until Event::published or Event::publish_failed names it.
struct Publish {
  const PreparedMessage* message = nullptr;
};

/// Control has done with a MessageView.
struct Release {
  std::uint32_t handle = 0;
};

/// Shard trace events on or off (off at start).
struct SetTrace {
  bool on = false;
};

using Command = std::variant<PeerUp, PeerDown, RouteSet, MemberSet, RouteClear, Publish, Release, SetTrace>;

}  // namespace corelay::dataplane
