// Reed-Solomon shards with have-lists, after the published specification of ethp2p (specs 002,
// 003): the publisher makes k data and k parity shards; whoever has any k of them has the message.
// Nodes forward the very shards they hold, least sent first, tell neighbours what they have, and
// stop when told. Over the ideal transport; each choice is made when the uplink is free, so none is
// stale.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "sim/routers.h"
#include "sim/transport.h"

namespace corelay::sim {
namespace {

constexpr std::uint32_t data = 0, open_session = 1, have = 2, done = 3, reject = 4;
constexpr std::uint32_t ack_kind = 1;
constexpr std::uint32_t update_bytes = 40;
using Mask = std::array<std::uint64_t, 4>;

bool has(const Mask& mask, std::uint32_t i) { return (mask[i / 64] >> i % 64 & 1) != 0; }
void add(Mask& mask, std::uint32_t i) { mask[i / 64] |= std::uint64_t{1} << i % 64; }
std::uint32_t count(const Mask& mask) {
  return static_cast<std::uint32_t>(std::popcount(mask[0]) + std::popcount(mask[1]) +
                                    std::popcount(mask[2]) + std::popcount(mask[3]));
}

struct RsOptions {
  std::uint32_t k = 16;           // data shards; as many parity shards
  std::uint32_t budget = 4;       // times a relay sends one shard
  double bitmap_threshold = 0.5;  // share of all shards held before have-lists go out
  std::uint32_t window = 2;       // shards under way to one neighbour
  bool has_reject = true;         // a shard already held is stopped when its first bytes arrive
};

class RsRouter final : public Router {
 public:
  RsRouter(Network& network, const RsOptions& options)
      : net_(network),
        options_(options),
        total_(options.k * 2),
        wire_(network, Sharing::sequential, [this](const Parcel& parcel) { take(parcel); }) {
    const auto size = static_cast<std::uint32_t>(net_.scenario.size_bytes);
    shard_bytes_ = (size + options_.k - 1) / options_.k;
    nodes_.resize(net_.messages.size());
    active_.resize(net_.scenario.nodes);
    turn_.resize(net_.scenario.nodes);
    inflight_.resize(net_.scenario.nodes);
    seeds_.resize(net_.scenario.nodes);
    for (NodeId n = 0; n < net_.scenario.nodes; ++n) {
      inflight_[n].assign(net_.topology.neighbours(n).size(), 0);
      seeds_[n] = net_.rng.next();
    }
    wire_.on_uplink_free = [this](NodeId n) { dispatch(n); };
    if (options_.has_reject) {
      wire_.on_begin = [this](ParcelId id, const Parcel& parcel) { begin(id, parcel); };
    }
  }

  void publish(std::uint32_t message) override {
    const NodeId n = net_.messages[message].publisher;
    nodes_[message].resize(net_.scenario.nodes);
    State& state = open(message, n);
    for (std::uint32_t i = 0; i < total_; ++i) add(state.held, i);
    state.is_done = true;
    dispatch(n);
  }

  void on_event(const Event& event) override {
    if (event.kind() != ack_kind) return wire_.on_event(event);
    std::uint8_t& count = inflight_[event.node()][event.index];
    if (count != 0) --count;
    dispatch(event.node());
  }

  [[nodiscard]] bool is_quiet() const override { return wire_.is_quiet(); }
  void on_node_down(NodeId n) override {
    wire_.drop_node(n);
    active_[n].clear();
    // Nothing is under way any more on connections that are gone.
    const auto peers = net_.topology.neighbours(n);
    for (std::size_t slot = 0; slot < peers.size(); ++slot) {
      inflight_[n][slot] = 0;
      inflight_[peers[slot]][net_.topology.back_slot(n, slot)] = 0;
    }
  }

 private:
  struct Neighbour {
    Mask known{};  // it has them, or they are under way to it
    bool is_done = false;
    bool is_open = false;
  };
  struct State {
    Mask held{};
    std::array<std::uint8_t, 256> sent{};
    std::vector<Neighbour> peers;
    bool is_done = false;
  };

  State& open(std::uint32_t message, NodeId n) {
    State& state = nodes_[message][n];
    if (state.peers.empty()) {
      state.peers.resize(net_.topology.neighbours(n).size());
      active_[n].push_back(message);
    }
    return state;
  }

  void control(NodeId from, NodeId to, std::uint32_t kind, std::uint32_t message,
               std::uint32_t part, std::uint32_t bytes) {
    wire_.send({from, to, kind, message, part, bytes, true});
  }

  [[nodiscard]] std::size_t slot_of(NodeId n, NodeId peer) const {
    const auto peers = net_.topology.neighbours(n);
    return static_cast<std::size_t>(std::find(peers.begin(), peers.end(), peer) - peers.begin());
  }

  /// The shard to give a neighbour: of those it lacks the one we sent least, ties by a draw of
  /// ours.
  [[nodiscard]] std::uint32_t choose(const State& state, const Neighbour& peer, NodeId n,
                                     std::uint32_t message) const {
    const std::uint32_t budget = n == net_.messages[message].publisher ? 255 : options_.budget;
    std::uint32_t best = total_;
    std::uint64_t best_rank = ~std::uint64_t{0};
    for (std::uint32_t i = 0; i < total_; ++i) {
      if (!has(state.held, i) || has(peer.known, i) || state.sent[i] >= budget) continue;
      const std::uint64_t draw = ((seeds_[n] ^ message) ^ i * 0x9E3779B97F4A7C15ULL) >> 32;
      const std::uint64_t rank = std::uint64_t{state.sent[i]} << 32 | draw;
      if (rank >= best_rank) continue;
      best_rank = rank;
      best = i;
    }
    return best;
  }

  /// Sends one shard where the uplink is free and somebody lacks one.
  void dispatch(NodeId n) {
    if (!net_.is_up(n) || !net_.topology.is_honest(n) || wire_.queued(n) != 0) return;
    const auto peers = net_.topology.neighbours(n);
    for (const std::uint32_t message : active_[n]) {
      State& state = nodes_[message][n];
      for (std::size_t tried = 0; tried < peers.size(); ++tried) {
        const std::size_t slot = turn_[n]++ % peers.size();
        Neighbour& peer = state.peers[slot];
        // That a connection is gone is known at once.
        if (!net_.is_up(peers[slot])) continue;
        if (peer.is_done || inflight_[n][slot] >= options_.window) continue;
        const std::uint32_t shard = choose(state, peer, n, message);
        if (shard == total_) continue;
        if (!peer.is_open) {
          peer.is_open = true;
          control(n, peers[slot], open_session, message, 0, update_bytes + 32 * total_);
        }
        add(peer.known, shard);
        ++state.sent[shard];
        ++inflight_[n][slot];
        wire_.send({n, peers[slot], data, message, shard, shard_bytes_, false});
        return;
      }
    }
  }

  void take(const Parcel& parcel) {
    const NodeId n = parcel.to;
    const std::uint32_t message = parcel.message;
    State& state = open(message, n);
    const std::size_t slot = slot_of(n, parcel.from);
    switch (parcel.kind) {
      case data:
        acknowledge(parcel);
        add(state.peers[slot].known, parcel.part);
        take_shard(state, parcel);
        break;
      case have: {
        // The mask is the sender's now; it was its own when it left, or larger.
        const Mask& theirs = nodes_[message][parcel.from].held;
        for (std::size_t w = 0; w < theirs.size(); ++w) state.peers[slot].known[w] |= theirs[w];
        break;
      }
      case done:
        state.peers[slot].is_done = true;
        break;
      case reject: {
        const Parcel& about = wire_.about(parcel.part);
        if (about.from == n && about.to == parcel.from && about.kind == data &&
            about.message == message && wire_.is_unsent(parcel.part)) {
          // The neighbour has it from elsewhere; the budget is not charged for what did not go.
          if (state.sent[about.part] != 0) --state.sent[about.part];
          wire_.cancel(parcel.part);
          if (inflight_[n][slot] != 0) --inflight_[n][slot];
        }
        break;
      }
      default:
        break;
    }
    dispatch(n);
  }

  void acknowledge(const Parcel& parcel) {
    const std::size_t back = slot_of(parcel.from, parcel.to);
    net_.push(net_.now() + net_.topology.delay(parcel.to, parcel.from), ack_kind, parcel.from,
              static_cast<std::uint32_t>(back));
  }

  void take_shard(State& state, const Parcel& parcel) {
    const NodeId n = parcel.to;
    const bool is_new = !has(state.held, parcel.part);
    (state.is_done ? net_.account.after_full
     : is_new      ? net_.account.useful
                   : net_.account.dependent) += parcel.bytes;
    if (!is_new || state.is_done) return;
    add(state.held, parcel.part);
    const std::uint32_t held = count(state.held);
    const auto peers = net_.topology.neighbours(n);
    const bool is_whole = held >= options_.k;
    if (is_whole) {
      state.is_done = true;
      for (std::uint32_t i = 0; i < total_; ++i) add(state.held, i);  // encoded again
      net_.delivered(parcel.message, n);
    }
    if (!net_.topology.is_honest(n) && !is_whole) return;
    const bool is_telling = held >= options_.bitmap_threshold * total_;
    for (std::size_t slot = 0; slot < peers.size(); ++slot) {
      if (state.peers[slot].is_done && !is_whole) continue;
      if (is_whole) {
        control(n, peers[slot], done, parcel.message, 0, update_bytes);
      } else if (is_telling) {
        control(n, peers[slot], have, parcel.message, 0, update_bytes + total_ / 8);
      }
    }
  }

  void begin(ParcelId id, const Parcel& parcel) {
    if (parcel.kind != data) return;
    const State& state = open(parcel.message, parcel.to);
    if (state.is_done || has(state.held, parcel.part))
      control(parcel.to, parcel.from, reject, parcel.message, id, update_bytes);
  }

  Network& net_;
  RsOptions options_;
  std::uint32_t total_;
  std::uint32_t shard_bytes_ = 0;
  Transport wire_;
  std::vector<std::vector<State>> nodes_;  // a message, a node
  std::vector<std::vector<std::uint32_t>> active_;
  std::vector<std::size_t> turn_;
  std::vector<std::vector<std::uint8_t>> inflight_;
  std::vector<std::uint64_t> seeds_;
};

}  // namespace

std::unique_ptr<Router> make_rs_bitmap(Network& network) {
  return std::make_unique<RsRouter>(network, RsOptions{});
}
std::unique_ptr<Router> make_rs_bitmap_tuned(Network& network) {
  return std::make_unique<RsRouter>(network, RsOptions{16, 4, 0, 4, true});
}
std::unique_ptr<Router> make_rs_bitmap_64(Network& network) {
  return std::make_unique<RsRouter>(network, RsOptions{64, 4, 0, 8, true});
}

}  // namespace corelay::sim
