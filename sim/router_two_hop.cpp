// A model of two-hop coded broadcast to a known set of nodes, as Monad's RaptorCast does it: the
// publisher makes 2.5 times as many coded packets as the message has, gives each node its part, and
// each node sends what it was given to all others. Nothing is sent again; an ideal code, where any
// k distinct packets are the message. Datagrams, in order of their making, over unlimited queues.
#include <algorithm>
#include <cmath>

#include "sim/routers.h"
#include "sim/transport.h"
#include "sim/under_way.h"

namespace corelay::sim {
namespace {

constexpr std::uint32_t arrive_kind = 1, take_kind = 2;
constexpr double redundancy = 2.5;
constexpr std::size_t proof_bytes = 130;  // signature share and Merkle proof in every packet

class TwoHopRouter final : public Router {
 public:
  explicit TwoHopRouter(Network& network) : net_(network) {
    const auto size = static_cast<double>(net_.scenario.size_bytes);
    payload_ = static_cast<double>(segment_payload_bytes - proof_bytes);
    needed_ = static_cast<std::size_t>(std::ceil(size / payload_));
    total_ = static_cast<std::size_t>(std::ceil(size / payload_ * redundancy));
    held_.resize(net_.messages.size());
  }

  void publish(std::uint32_t message) override {
    const std::size_t nodes = net_.scenario.nodes;
    held_[message].assign(nodes, 0);
    const NodeId from = net_.messages[message].publisher;
    const std::size_t start = net_.rng.below(nodes);
    std::size_t at = start;
    for (std::size_t p = 0; p < total_; ++p, ++at) {
      if (at % nodes == from) ++at;
      send(message, from, static_cast<NodeId>(at % nodes), true);
    }
  }

  void on_event(const Event& event) override {
    const NodeId n = event.node();
    const std::uint32_t f = event.index;
    if (event.kind() == arrive_kind) {
      const Instant through = net_.occupy_downlink(flights_[f].from, n, bytes());
      return net_.push(through, take_kind, n, f);
    }
    const Flight flight = flights_.take(f);
    net_.mix(flight.from);
    net_.account.header += static_cast<double>(segment_overhead_bytes + proof_bytes);
    std::uint32_t& held = held_[flight.message][n];
    (held < needed_ ? net_.account.useful : net_.account.after_full) += payload_;
    if (++held == needed_ && n != net_.messages[flight.message].publisher)
      net_.delivered(flight.message, n);
    if (!flight.is_first || !net_.topology.is_honest(n)) return;
    for (NodeId to = 0; to < net_.scenario.nodes; ++to) {
      if (to != n && to != net_.messages[flight.message].publisher)
        send(flight.message, n, to, false);
    }
  }

 private:
  struct Flight {
    NodeId from;
    std::uint32_t message;
    bool is_first;
  };

  [[nodiscard]] static std::size_t bytes() {
    return segment_payload_bytes + segment_overhead_bytes;
  }

  void send(std::uint32_t message, NodeId from, NodeId to, bool is_first) {
    const Instant departs = net_.occupy_uplink(from, to, bytes());
    if (net_.is_lost(from, to)) {
      net_.account.lost += static_cast<double>(bytes());
      return;
    }
    const std::uint32_t flight = flights_.put({from, message, is_first});
    net_.push(net_.arrival(from, to, departs), arrive_kind, to, flight);
  }

  Network& net_;
  double payload_ = 0;
  std::size_t needed_ = 1, total_ = 1;
  std::vector<std::vector<std::uint32_t>> held_;  // a message, a node: distinct packets
  UnderWay<Flight> flights_;
};

}  // namespace

std::unique_ptr<Router> make_two_hop(Network& network) {
  return std::make_unique<TwoHopRouter>(network);
}

}  // namespace corelay::sim
