// Two marks on either end: a publisher that sends the message to everybody by itself, and the bound
// that nobody can beat.
#include "sim/routers.h"
#include "sim/transport.h"

namespace corelay::sim {
namespace {

class StarRouter final : public Router {
 public:
  explicit StarRouter(Network& network)
      : net_(network), wire_(network, Sharing::sequential, [this](const Parcel& parcel) {
          net_.account.useful += parcel.bytes;
          net_.delivered(parcel.message, parcel.to);
        }) {}
  void publish(std::uint32_t message) override {
    const NodeId from = net_.messages[message].publisher;
    const auto bytes = static_cast<std::uint32_t>(net_.scenario.size_bytes);
    for (NodeId n = 0; n < net_.scenario.nodes; ++n) {
      if (n != from) wire_.send({from, n, 0, message, 0, bytes, false});
    }
  }
  void on_event(const Event& event) override { wire_.on_event(event); }
  [[nodiscard]] bool is_quiet() const override { return wire_.is_quiet(); }
  void on_node_down(NodeId n) override { wire_.drop_node(n); }

 private:
  Network& net_;
  Transport wire_;
};

class BoundRouter final : public Router {
 public:
  explicit BoundRouter(Network& network) : net_(network) {}
  void publish(std::uint32_t message) override {
    const NodeId from = net_.messages[message].publisher;
    const auto bytes = static_cast<double>(net_.scenario.size_bytes);
    const Bound bound = net_.topology.bound(from, bytes, false);
    for (NodeId n = 0; n < net_.scenario.nodes; ++n) {
      if (n == from) continue;
      net_.push(net_.now() + Duration{static_cast<std::int64_t>(bound.ms[n] * 1e6)}, 1, n, message);
      // Everybody must take the message in, so on average everybody sends it once.
      net_.bytes_sent[n] += net_.scenario.size_bytes;
      net_.account.useful += bytes;
    }
  }
  void on_event(const Event& event) override { net_.delivered(event.index, event.node()); }

 private:
  Network& net_;
};

}  // namespace

std::unique_ptr<Router> make_star(Network& network) {
  return std::make_unique<StarRouter>(network);
}
std::unique_ptr<Router> make_bound(Network& network) {
  return std::make_unique<BoundRouter>(network);
}

}  // namespace corelay::sim
