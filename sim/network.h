/// What every router of a propagation run stands on: virtual time, the link model, who holds what,
/// and where the bytes went.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <unordered_map>
#include <vector>

#include "codec/rng.h"
#include "sim/event_queue.h"
#include "sim/link_model.h"
#include "sim/topology.h"
#include "sim/under_way.h"

namespace corelay::sim {

inline constexpr std::uint32_t call_kind = 0;  // of events: the network's own; routers use 1 to 15

struct Event {
  Instant at{};
  std::uint32_t kind_and_node = 0;
  std::uint32_t index = 0;
  [[nodiscard]] std::uint32_t kind() const noexcept { return kind_and_node >> 28; }
  [[nodiscard]] NodeId node() const noexcept { return kind_and_node & 0x0fffffff; }
};

/// Bytes sent, by what became of them; their sum is what went onto uplinks.
struct Account {
  double useful = 0;      // message bytes that were new to the receiver
  double dependent = 0;   // that were not
  double after_full = 0;  // that came when the receiver had everything
  double header = 0;      // around message bytes: IP, UDP, session, frame, coefficients
  double control = 0;     // whole packets that carry no message bytes
  double lost = 0;        // whole packets that did not arrive
};

/// One message of a run.
struct Spread {
  NodeId publisher = 0;
  Instant published{};
  std::vector<Instant> delivered;  // a node, never where not
  std::vector<bool> is_owed;
  std::size_t missing = 0;     // of those owed
  double publisher_bytes = 0;  // sent by it until the end of the round
};

class Network {
 public:
  Network(const PropagationScenario& scenario, const Topology& topology, std::uint64_t seed);

  // Time.
  [[nodiscard]] Instant now() const noexcept { return now_; }
  void push(Instant at, std::uint32_t kind, NodeId node, std::uint32_t index) {
    queue_.push({std::max(at, now_), kind << 28 | node, index});
  }
  void call_at(Instant at, std::function<void()> what);
  /// The next event, `now()` set to its time, calls of call_at() made on the way. False when there
  /// is none left, or a call has ended the run.
  bool next(Event& event);
  void end() noexcept { is_ended_ = true; }
  /// For an owner with a clock of its own, who uses no events: it is `now`, or later already.
  void advance(Instant now) noexcept { now_ = std::max(now_, now); }
  [[nodiscard]] std::uint64_t events() const noexcept { return events_; }
  /// Makes `value` part of the event hash.
  void mix(std::uint64_t value) noexcept {
    hash_ = (hash_ ^ value) * 0x9fb21c651e98df25ULL;
    hash_ ^= hash_ >> 29;
  }
  [[nodiscard]] std::uint64_t hash() const noexcept { return hash_; }

  // Links. A packet of `bytes` (all of them, from the IP header on) goes onto the uplink of `from`
  // behind what waits there. False when it is lost, its queue being full or the path losing it;
  // else `arrives` is when it reaches the downlink of `to`.
  bool send(NodeId from, NodeId to, std::size_t bytes, Instant& arrives);
  /// The packet reaches the downlink now. False when its queue is full; else `through` is when the
  /// node has it, processing time included.
  bool receive(NodeId from, NodeId to, std::size_t bytes, Instant& through);
  /// For routers that have queues of their own above the uplink: takes `bytes` at once, whatever
  /// waits; returns when the last bit is out.
  Instant occupy_uplink(NodeId from, NodeId to, std::size_t bytes);
  Instant occupy_downlink(NodeId from, NodeId to, std::size_t bytes);
  /// Whether the path loses this packet.
  [[nodiscard]] bool is_lost(NodeId from, NodeId to);
  [[nodiscard]] Instant arrival(NodeId from, NodeId to, Instant departs);

  // What is known about nodes.
  [[nodiscard]] bool is_up(NodeId n) const noexcept { return is_up_[n]; }
  void set_up(NodeId n, bool is_up);

  // Results.
  void delivered(std::uint32_t message, NodeId n);
  void published(std::uint32_t message);
  [[nodiscard]] bool has(std::uint32_t message, NodeId n) const noexcept {
    return messages[message].delivered[n] != dataplane::never;
  }

  const PropagationScenario& scenario;
  const Topology& topology;
  Rng rng;
  std::vector<Spread> messages;
  std::size_t missing = 0;                // deliveries owed of messages under way
  std::size_t arrived = 0;                // deliveries in all
  std::vector<std::uint64_t> bytes_sent;  // a node
  std::uint64_t packets = 0;
  std::uint64_t drops_up = 0, drops_down = 0, drops_way = 0;
  Account account;
  std::function<void(NodeId)> on_bytes;  // where set: after each packet of this node

 private:
  struct Direction {
    bool is_bad = false;
    Instant last{};
  };
  Serializer& up(NodeId from, NodeId to);
  Serializer& down(NodeId from, NodeId to);

  EventQueue<Event> queue_;
  Instant now_{};
  std::uint64_t events_ = 0;
  std::uint64_t hash_;
  bool is_ended_ = false;
  UnderWay<std::function<void()>> calls_;
  std::vector<Serializer> up_, down_;
  std::vector<std::uint64_t> up_queue_, down_queue_;  // bytes
  std::vector<Instant> cpu_free_;
  std::unordered_map<std::uint64_t, Serializer> link_up_, link_down_;
  std::unordered_map<std::uint64_t, Direction> directions_;
  std::vector<bool> is_up_;
};

/// A protocol on a network. Made for one run; publish() is called at the time of the publication.
class Router {
 public:
  Router() = default;
  virtual ~Router() = default;
  Router(const Router&) = delete;
  Router& operator=(const Router&) = delete;

  virtual void publish(std::uint32_t message) = 0;
  virtual void on_event(const Event& event) = 0;
  /// The node is gone, with all it held; and is back, empty. Network::is_up() says so already.
  virtual void on_node_down(NodeId) {}
  virtual void on_node_up(NodeId) {}
  /// Nothing waits to be sent: the next round starts on free links, and the bytes of this one are
  /// all counted.
  [[nodiscard]] virtual bool is_quiet() const { return true; }
  /// Adds what only the router knows.
  virtual void finish(PropagationResult&) {}
};

}  // namespace corelay::sim
