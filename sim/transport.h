/// The transport under the rival protocols: what TCP or QUIC would be without any limit of their
/// own. No handshake, no congestion window, no queue that overflows, lost segments known one round
/// trip later and sent again at once. It flatters whoever runs on it.
///
/// A parcel is what a protocol sends in one go: a message, a shard, a request. Parcels wait at
/// their sender; urgent ones go first, others share the uplink or take turns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <unordered_map>
#include <vector>

#include "sim/network.h"
#include "sim/under_way.h"

namespace corelay::sim {

inline constexpr std::size_t segment_payload_bytes = 1368;  // packets as long as Corelay's at 1400
inline constexpr std::size_t segment_overhead_bytes = 60;

/// How waiting parcels of one node share its uplink.
enum class Sharing : std::uint8_t {
  parallel,    // all connections at once, a fair share each
  sequential,  // one parcel after the other, in the order given
};

struct Parcel {
  NodeId from = 0;
  NodeId to = 0;
  std::uint32_t kind = 0;  // the router's
  std::uint32_t message = 0;
  std::uint32_t part = 0;
  std::uint32_t bytes = 0;
  bool is_control = false;  // urgent, counted as control
};

using ParcelId = std::uint32_t;
inline constexpr ParcelId parcel_none = 0xffffffff;

class Transport {
 public:
  using Taken = std::function<void(const Parcel&)>;
  /// `taken` is called when the last byte of a parcel is there. Event kinds 8 to 11 are this
  /// class's.
  Transport(Network& network, Sharing sharing, Taken taken);

  /// Called, where set, when a node's uplink has nothing left to do: room to queue more, late.
  std::function<void(NodeId)> on_uplink_free;
  /// Called, where set, when the first segment of a parcel reaches its receiver.
  std::function<void(ParcelId, const Parcel&)> on_begin;

  ParcelId send(const Parcel& parcel);
  /// Takes back what has not left yet. True when none of it had; a parcel cut short never arrives,
  /// and what was sent of it counts as dependent.
  bool cancel(ParcelId id);
  /// True when the parcel waits or is being sent.
  [[nodiscard]] bool is_unsent(ParcelId id) const noexcept { return parcels_[id].left != 0; }
  [[nodiscard]] bool has_started(ParcelId id) const noexcept {
    return parcels_[id].left != parcels_[id].about.bytes;
  }
  [[nodiscard]] const Parcel& about(ParcelId id) const noexcept { return parcels_[id].about; }
  /// Forgets all that a node still has to send.
  void drop_node(NodeId n);
  [[nodiscard]] std::size_t queued(NodeId n) const noexcept { return queued_[n]; }

  /// Nobody has anything to send, or to send again.
  [[nodiscard]] bool is_quiet() const noexcept { return queued_all_ == 0 && flying_ == 0; }

  void on_event(const Event& event);

 private:
  struct State {
    Parcel about;
    std::uint32_t left = 0;     // bytes not sent yet (or to be sent again)
    std::uint32_t missing = 0;  // bytes not there yet
    std::uint32_t on_way = 0;   // flights
    std::uint32_t seed = 0;     // segments each turn
    bool is_cancelled = false;
    bool is_queued = false;
    bool has_begun = false;
  };
  struct Flight {
    ParcelId parcel;
    std::uint32_t bytes;
  };
  /// What shares one transmitter: a node's uplink, or one link where links are shaped each.
  struct Port {
    std::deque<ParcelId> urgent;
    std::deque<ParcelId> waiting;  // parallel: one turn each, round and round
    bool is_busy = false;
  };
  [[nodiscard]] std::uint32_t port_of(NodeId from, NodeId to);
  void enqueue(ParcelId id);
  void pump(NodeId n, std::uint32_t port);
  void transmit(ParcelId id, std::uint32_t port);
  void arrive(std::uint32_t flight);
  void resend(std::uint32_t flight);
  void release(ParcelId id);

  Network& net_;
  Sharing sharing_;
  Taken taken_;
  std::vector<State> parcels_;
  std::vector<ParcelId> free_;
  UnderWay<Flight> flights_;
  std::vector<Port> ports_;
  std::unordered_map<std::uint64_t, std::uint32_t> link_ports_;
  std::vector<std::size_t> queued_;  // parcels waiting, a node
  std::size_t queued_all_ = 0;
  std::size_t flying_ = 0;
};

}  // namespace corelay::sim
