// gossipsub over the ideal transport: messages, or parts of them, sent whole to every mesh peer by
// whoever has them whole. Variants: v1.1, v1.2 (IDONTWANT), lazy pull (IHAVE, IWANT), parts.
// Source: libp2p specs, gossipsub v1.0 to v1.2. Meshes are exact: no grafts while a run goes on.
#include <algorithm>
#include <array>
#include <unordered_set>

#include "sim/routers.h"
#include "sim/transport.h"

namespace corelay::sim {
namespace {

constexpr std::uint32_t data = 0, dont_want = 1, have = 2, want = 3;
constexpr std::uint32_t heartbeat_kind = 1;
constexpr std::uint32_t control_bytes = 46;  // one message id and its framing
constexpr Duration heartbeat = dataplane::seconds(1);
constexpr std::size_t lazy_degree = 6;
constexpr double gossip_factor = 0.25;
constexpr std::size_t other_links = 12;  // connections beside the mesh, as in the test plans' 20
constexpr std::uint32_t history = 3;     // heartbeats a message is gossiped
constexpr std::uint8_t wants_max = 3;

struct GossipOptions {
  Sharing sharing = Sharing::parallel;
  bool has_dont_want = false;
  bool has_lazy_pull = false;
  std::uint32_t part_bytes = 0;  // 0: messages travel whole
};

class GossipRouter final : public Router {
 public:
  GossipRouter(Network& network, const GossipOptions& options)
      : net_(network),
        options_(options),
        wire_(network, options.sharing, [this](const Parcel& parcel) { take(parcel); }) {
    const auto size = static_cast<std::uint32_t>(net_.scenario.size_bytes);
    part_bytes_ = options.part_bytes == 0 ? size : std::min(size, options.part_bytes);
    parts_ = (size + part_bytes_ - 1) / part_bytes_;
    held_.resize(net_.messages.size());
    if (options_.has_lazy_pull) draw_other_links();
  }

  void publish(std::uint32_t message) override {
    const NodeId n = net_.messages[message].publisher;
    held_[message].assign(net_.scenario.nodes, {});
    for (std::uint32_t part = 0; part < parts_; ++part) got(message, part, n, n);
  }

  void on_event(const Event& event) override {
    if (event.kind() == heartbeat_kind) return beat(event.node());
    wire_.on_event(event);
  }

  [[nodiscard]] bool is_quiet() const override { return wire_.is_quiet(); }
  void on_node_down(NodeId n) override { wire_.drop_node(n); }

  void finish(PropagationResult& result) override {
    result.duplicates_per_node =
        duplicates_ / static_cast<double>(net_.scenario.nodes * net_.messages.size() * parts_);
  }

 private:
  /// What a node knows of a message.
  struct Held {
    std::vector<std::uint8_t> has;  // a part
    std::uint32_t count = 0;
    std::vector<std::uint32_t> unwanted;     // a part: neighbours that have it, a bit each
    std::vector<std::vector<ParcelId>> out;  // a part: parcels under way, a neighbour each
    std::uint32_t gossiped = 0;
    std::uint8_t wanted = 0;
  };

  Held& held(std::uint32_t message, NodeId n) {
    Held& one = held_[message][n];
    if (one.has.empty()) {
      one.has.assign(parts_, 0);
      one.unwanted.assign(parts_, 0);
      if (options_.has_dont_want) one.out.resize(parts_);
    }
    return one;
  }

  [[nodiscard]] std::uint32_t bytes_of(std::uint32_t part) const {
    const auto size = static_cast<std::uint32_t>(net_.scenario.size_bytes);
    return std::min(part_bytes_, size - part * part_bytes_);
  }

  void send(NodeId from, NodeId to, std::uint32_t kind, std::uint32_t message, std::uint32_t part) {
    wire_.send({from, to, kind, message, part, control_bytes, true});
  }

  [[nodiscard]] std::size_t slot_of(NodeId n, NodeId peer) const {
    const auto peers = net_.topology.neighbours(n);
    return static_cast<std::size_t>(std::find(peers.begin(), peers.end(), peer) - peers.begin());
  }

  /// Node n has the part now, from `from` (itself where it publishes): it tells, and forwards.
  void got(std::uint32_t message, std::uint32_t part, NodeId n, NodeId from) {
    Held& one = held(message, n);
    if (one.has[part] != 0) {
      duplicates_ += 1;
      return;
    }
    one.has[part] = 1;
    if (++one.count == parts_ && n != net_.messages[message].publisher) net_.delivered(message, n);
    if (!net_.topology.is_honest(n)) return;
    const auto peers = net_.topology.neighbours(n);
    const bool is_large = bytes_of(part) > 1024;  // below it the notice costs more than it saves
    if (options_.has_dont_want && is_large && n != from) {
      for (const NodeId peer : peers) {
        if (peer != from) send(n, peer, dont_want, message, part);
      }
    }
    std::vector<std::size_t> order(peers.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    for (std::size_t i = order.size(); i > 1; --i)
      std::swap(order[i - 1], order[net_.rng.below(i)]);
    if (options_.has_dont_want) one.out[part].assign(peers.size(), parcel_none);
    for (const std::size_t slot : order) {
      if (peers[slot] == from || (one.unwanted[part] >> slot & 1) != 0) continue;
      const ParcelId id = wire_.send({n, peers[slot], data, message, part, bytes_of(part), false});
      if (options_.has_dont_want) one.out[part][slot] = id;
    }
  }

  void take(const Parcel& parcel) {
    const NodeId n = parcel.to;
    switch (parcel.kind) {
      case data: {
        const bool is_new = held(parcel.message, n).has[parcel.part] == 0;
        const bool is_full = held(parcel.message, n).count == parts_;
        const auto bytes = static_cast<double>(parcel.bytes);
        (is_new    ? net_.account.useful
         : is_full ? net_.account.after_full
                   : net_.account.dependent) += bytes;
        mark(parcel.message, parcel.part, n, parcel.from);
        return got(parcel.message, parcel.part, n, parcel.from);
      }
      case dont_want:
        return mark(parcel.message, parcel.part, n, parcel.from);
      case have: {
        Held& one = held(parcel.message, n);
        if (one.has[parcel.part] != 0 || one.wanted >= wants_max) return;
        ++one.wanted;
        return send(n, parcel.from, want, parcel.message, parcel.part);
      }
      default:
        wire_.send(
            {n, parcel.from, data, parcel.message, parcel.part, bytes_of(parcel.part), false});
    }
  }

  /// The neighbour has the part: a copy for it that has not left yet is not sent (v1.2).
  void mark(std::uint32_t message, std::uint32_t part, NodeId n, NodeId peer) {
    const std::size_t slot = slot_of(n, peer);
    if (slot >= 32 || slot >= net_.topology.neighbours(n).size() || !options_.has_dont_want) return;
    Held& one = held(message, n);
    one.unwanted[part] |= 1u << slot;
    if (one.out[part].empty() || one.out[part][slot] == parcel_none) return;
    const ParcelId id = one.out[part][slot];
    const Parcel& about = wire_.about(id);
    const bool is_same = about.from == n && about.to == peer && about.kind == data &&
                         about.message == message && about.part == part;
    if (is_same && !wire_.has_started(id)) wire_.cancel(id);
  }

  void draw_other_links() {
    const auto count = net_.scenario.nodes;
    others_.resize(count);
    for (NodeId n = 0; n < count; ++n) {
      while (others_[n].size() < std::min<std::size_t>(other_links, count / 2)) {
        const auto other = static_cast<NodeId>(net_.rng.below(count));
        if (other != n) others_[n].push_back(other);
      }
      const auto first =
          static_cast<std::int64_t>(net_.rng.below(static_cast<std::uint64_t>(heartbeat.ns)));
      net_.push(net_.now() + Duration{first}, heartbeat_kind, n, 0);
    }
  }

  /// Tells some peers outside the mesh what came in of late.
  void beat(NodeId n) {
    net_.push(net_.now() + heartbeat, heartbeat_kind, n, 0);
    for (std::uint32_t m = 0; m < held_.size(); ++m) {
      if (held_[m].empty() || held_[m][n].has.empty() || !net_.topology.is_honest(n)) continue;
      Held& one = held_[m][n];
      if (one.count != parts_ || one.gossiped >= history) continue;
      ++one.gossiped;
      std::vector<NodeId> peers = others_[n];
      const auto share =
          static_cast<std::size_t>(gossip_factor * static_cast<double>(peers.size()));
      const std::size_t told = std::min(peers.size(), std::max(lazy_degree, share));
      for (std::size_t i = 0; i < told; ++i) {
        std::swap(peers[i], peers[i + net_.rng.below(peers.size() - i)]);
        for (std::uint32_t part = 0; part < parts_; ++part) send(n, peers[i], have, m, part);
      }
    }
  }

  Network& net_;
  GossipOptions options_;
  Transport wire_;
  std::uint32_t part_bytes_ = 0;
  std::uint32_t parts_ = 1;
  std::vector<std::vector<Held>> held_;  // a message, a node
  std::vector<std::vector<NodeId>> others_;
  double duplicates_ = 0;
};

std::unique_ptr<Router> make(Network& network, const GossipOptions& options) {
  return std::make_unique<GossipRouter>(network, options);
}

}  // namespace

std::unique_ptr<Router> make_gossip_v11(Network& network) { return make(network, {}); }
std::unique_ptr<Router> make_gossip_v11_sequential(Network& network) {
  return make(network, {Sharing::sequential, false, false, 0});
}
std::unique_ptr<Router> make_gossip_v12(Network& network) {
  return make(network, {Sharing::parallel, true, false, 0});
}
std::unique_ptr<Router> make_gossip_v12_sequential(Network& network) {
  return make(network, {Sharing::sequential, true, false, 0});
}
std::unique_ptr<Router> make_gossip_v12_lazy(Network& network) {
  return make(network, {Sharing::parallel, true, true, 0});
}
std::unique_ptr<Router> make_gossip_parts(Network& network) {
  return make(network, {Sharing::sequential, true, false, 64 * 1024});
}

}  // namespace corelay::sim
