// Perfect knowledge: every node knows, at every moment and for free, which packets each neighbour
// has or is about to get, and which packets are rare. It never sends what is not new, gives to the
// neediest neighbour first, and the rarest packet it has. Greedy, so not a proof of the optimum;
// but a schedule that exists, which nobody without that knowledge should expect to beat.
#include <algorithm>
#include <bit>

#include "sim/routers.h"
#include "sim/transport.h"
#include "sim/under_way.h"

namespace corelay::sim {
namespace {

constexpr std::uint32_t free_kind = 1, arrive_kind = 2, take_kind = 3;

class OracleRouter final : public Router {
 public:
  explicit OracleRouter(Network& network) : net_(network) {
    const std::size_t size = net_.scenario.size_bytes;
    packets_ = (size + segment_payload_bytes - 1) / segment_payload_bytes;
    words_ = (packets_ + 63) / 64;
    payload_ = static_cast<double>(size) / static_cast<double>(packets_);
    messages_.resize(net_.messages.size());
    is_busy_.assign(net_.scenario.nodes, false);
  }

  void publish(std::uint32_t message) override {
    Message& one = messages_[message];
    one.held.assign(net_.scenario.nodes * words_, 0);
    one.coming.assign(net_.scenario.nodes * words_, 0);
    one.rank.assign(net_.scenario.nodes, 0);
    one.expected.assign(net_.scenario.nodes, 0);
    one.copies.assign(packets_, 0);
    const NodeId n = net_.messages[message].publisher;
    for (std::size_t p = 0; p < packets_; ++p) {
      one.held[n * words_ + p / 64] |= std::uint64_t{1} << p % 64;
      one.coming[n * words_ + p / 64] |= std::uint64_t{1} << p % 64;
    }
    one.rank[n] = one.expected[n] = static_cast<std::uint32_t>(packets_);
    live_.push_back(message);
    pump(n);
  }

  void on_event(const Event& event) override {
    const NodeId n = event.node();
    switch (event.kind()) {
      case free_kind:
        is_busy_[n] = false;
        return pump(n);
      case arrive_kind: {
        const Flight& flight = flights_[event.index];
        const Instant through = net_.occupy_downlink(flight.from, n, bytes());
        return net_.push(through, take_kind, n, event.index);
      }
      default:
        return take(n, event.index);
    }
  }

 private:
  struct Message {
    std::vector<std::uint64_t> held;    // a node: packets it has
    std::vector<std::uint64_t> coming;  // and those under way to it
    std::vector<std::uint32_t> rank, expected;
    std::vector<std::uint32_t> copies;  // a packet: nodes that have it or soon will
  };
  struct Flight {
    NodeId from;
    std::uint32_t message;
    std::uint32_t packet;
  };

  [[nodiscard]] std::size_t bytes() const {
    return static_cast<std::size_t>(payload_ + 0.5) + segment_overhead_bytes;
  }

  void take(NodeId n, std::uint32_t f) {
    const Flight flight = flights_.take(f);
    Message& one = messages_[flight.message];
    one.held[n * words_ + flight.packet / 64] |= std::uint64_t{1} << flight.packet % 64;
    net_.account.useful += payload_;
    net_.account.header += static_cast<double>(bytes()) - payload_;
    net_.mix(flight.packet);
    if (++one.rank[n] == packets_) net_.delivered(flight.message, n);
    pump(n);
  }

  /// The rarest packet that n has and the neighbour will not have otherwise.
  [[nodiscard]] std::size_t choose(const Message& one, NodeId n, NodeId peer) const {
    std::size_t best = packets_;
    for (std::size_t w = 0; w < words_; ++w) {
      std::uint64_t word = one.held[n * words_ + w] & ~one.coming[peer * words_ + w];
      while (word != 0) {
        const std::size_t p = w * 64 + static_cast<std::size_t>(std::countr_zero(word));
        word &= word - 1;
        if (best == packets_ || one.copies[p] < one.copies[best]) best = p;
      }
    }
    return best;
  }

  void pump(NodeId n) {
    if (is_busy_[n] || !net_.is_up(n) || !net_.topology.is_honest(n)) return;
    for (const std::uint32_t m : live_) {
      Message& one = messages_[m];
      if (one.rank[n] == 0) continue;
      const auto peers = net_.topology.neighbours(n);
      std::vector<NodeId>& order = order_;
      order.clear();
      for (const NodeId peer : peers) {
        if (one.expected[peer] < packets_ && net_.is_up(peer)) order.push_back(peer);
      }
      std::stable_sort(order.begin(), order.end(),
                       [&](NodeId a, NodeId b) { return one.expected[a] < one.expected[b]; });
      for (const NodeId peer : order) {
        const std::size_t p = choose(one, n, peer);
        if (p == packets_) continue;
        return send(m, n, peer, p);
      }
    }
  }

  void send(std::uint32_t m, NodeId n, NodeId peer, std::size_t p) {
    Message& one = messages_[m];
    is_busy_[n] = true;
    const Instant departs = net_.occupy_uplink(n, peer, bytes());
    net_.push(departs, free_kind, n, 0);
    if (net_.is_lost(n, peer)) {
      net_.account.lost += static_cast<double>(bytes());
      return;
    }
    one.coming[peer * words_ + p / 64] |= std::uint64_t{1} << p % 64;
    ++one.expected[peer];
    ++one.copies[p];
    const std::uint32_t flight = flights_.put({n, m, static_cast<std::uint32_t>(p)});
    net_.push(net_.arrival(n, peer, departs), arrive_kind, peer, flight);
  }

  Network& net_;
  std::size_t packets_ = 1, words_ = 1;
  double payload_ = 0;
  std::vector<Message> messages_;
  std::vector<std::uint32_t> live_;
  std::vector<bool> is_busy_;
  std::vector<NodeId> order_;
  UnderWay<Flight> flights_;
};

}  // namespace

std::unique_ptr<Router> make_oracle(Network& network) {
  return std::make_unique<OracleRouter>(network);
}

}  // namespace corelay::sim
