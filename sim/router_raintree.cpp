// RainTree on the ideal transport, with and without its cleanup. Every message received at a level
// above 0 is passed on, a repeat too, as Pocket's implementation does. Cleanup: whoever has the
// message tells both neighbours on the ring (IGYW, "I got, you want"); who lacks it asks and is
// sent it, who has it says so to the neighbour on its left.
#include <algorithm>
#include <cmath>

#include "sim/raintree.h"
#include "sim/routers.h"
#include "sim/transport.h"

namespace corelay::sim {

std::uint32_t raintree_levels(std::size_t nodes) {
  constexpr double precision = 1e-7;
  const double exact = std::log(static_cast<double>(nodes)) / std::log(3.0);
  return static_cast<std::uint32_t>(std::ceil(std::round(exact / precision) * precision));
}

std::array<std::size_t, 2> raintree_targets(std::size_t nodes, std::uint32_t level) {
  const double shrunk = std::pow(2.0 / 3.0, static_cast<double>(raintree_levels(nodes) - level));
  const auto length = static_cast<std::size_t>(static_cast<double>(nodes) * shrunk);
  return {static_cast<std::size_t>(1.0 / 3.0 * static_cast<double>(length)),
          static_cast<std::size_t>(2.0 / 3.0 * static_cast<double>(length))};
}

namespace {

constexpr std::uint32_t data = 0, offer = 1, want = 2, ack = 3;
constexpr std::uint32_t control_bytes = 50;

class RainTreeRouter final : public Router {
 public:
  RainTreeRouter(Network& network, bool has_cleanup)
      : net_(network),
        has_cleanup_(has_cleanup),
        wire_(network, Sharing::sequential, [this](const Parcel& parcel) { take(parcel); }) {
    held_.resize(net_.messages.size());
  }

  void publish(std::uint32_t message) override {
    const NodeId n = net_.messages[message].publisher;
    held_[message].assign(net_.scenario.nodes, State::lacks);
    held_[message][n] = State::has;
    spread(message, n, raintree_levels(net_.scenario.nodes));
    clean(message, n);
  }
  void on_event(const Event& event) override { wire_.on_event(event); }
  [[nodiscard]] bool is_quiet() const override { return wire_.is_quiet(); }
  void on_node_down(NodeId n) override { wire_.drop_node(n); }
  void finish(PropagationResult& result) override { result.packets = sends_; }

 private:
  enum class State : std::uint8_t { lacks, has, asked };

  void send(std::uint32_t message, NodeId from, NodeId to, std::uint32_t kind,
            std::uint32_t level) {
    ++sends_;
    const bool is_data = kind == data;
    wire_.send({from, to, kind, message, level,
                is_data ? static_cast<std::uint32_t>(net_.scenario.size_bytes) : control_bytes,
                !is_data});
  }

  /// From `level` down to 1, one after the other.
  void spread(std::uint32_t message, NodeId n, std::uint32_t level) {
    if (!net_.topology.is_honest(n)) return;
    const std::size_t nodes = net_.scenario.nodes;
    for (; level > 0; --level) {
      for (const std::size_t ahead : raintree_targets(nodes, level)) {
        if (ahead != 0) send(message, n, static_cast<NodeId>((n + ahead) % nodes), data, level);
      }
    }
  }

  void clean(std::uint32_t message, NodeId n) {
    if (!has_cleanup_ || !net_.topology.is_honest(n)) return;
    const std::size_t nodes = net_.scenario.nodes;
    send(message, n, static_cast<NodeId>((n + 1) % nodes), offer, 0);
    send(message, n, static_cast<NodeId>((n + nodes - 1) % nodes), offer, 0);
  }

  void take(const Parcel& parcel) {
    const NodeId n = parcel.to;
    State& state = held_[parcel.message][n];
    switch (parcel.kind) {
      case data: {
        const bool is_new = state != State::has;
        (is_new ? net_.account.useful : net_.account.dependent) += parcel.bytes;
        if (is_new) {
          state = State::has;
          net_.delivered(parcel.message, n);
        }
        if (parcel.part > 0) spread(parcel.message, n, parcel.part - 1);
        if (is_new) clean(parcel.message, n);
        return;
      }
      case offer:
        if (state == State::lacks) {
          state = State::asked;
          send(parcel.message, n, parcel.from, want, 0);
        } else if (state == State::has && (parcel.from + 1) % net_.scenario.nodes == n) {
          send(parcel.message, n, parcel.from, ack, 0);
        }
        return;
      case want:
        return send(parcel.message, n, parcel.from, data, 0);
      default:
        return;
    }
  }

  Network& net_;
  bool has_cleanup_;
  Transport wire_;
  std::vector<std::vector<State>> held_;
  std::uint64_t sends_ = 0;
};

}  // namespace

std::unique_ptr<Router> make_raintree(Network& network) {
  return std::make_unique<RainTreeRouter>(network, true);
}
std::unique_ptr<Router> make_raintree_bare(Network& network) {
  return std::make_unique<RainTreeRouter>(network, false);
}

}  // namespace corelay::sim
