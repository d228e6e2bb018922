/// A toy network for relay tests: relays joined by links with delay, loss and a serialising uplink, in virtual time.
/// The simulator (sim/) is the real one; this one has nothing a test of a single rule does not need.
#pragma once

#include <sodium.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <string>
#include <vector>

#include "codec/rng.h"
#include "dataplane/core/frame.h"
#include "dataplane/core/header.h"
#include "dataplane/core/relay.h"
#include "dataplane/ingest.h"

namespace corelay::dataplane::test {

struct NetworkConfig {
  double loss = 0;
  Duration delay = microseconds(200);
  double uplink_bytes_per_second = 0;  // 0 = no limit
  double queue_bytes_max = 1e6;        // of the uplink, then tail drop
  std::uint64_t seed = 1;
  RelayParams params;
};

class Network {
 public:
  struct Node {
    std::unique_ptr<Counters> counters;
    std::unique_ptr<Relay> relay;
    std::unique_ptr<Outbox> out;
    Instant uplink_free{};
    std::uint64_t bytes_sent = 0;
    std::map<MessageId, int> delivered;
    std::map<MessageId, Instant> delivered_at;
    std::map<MessageId, PeerIndex> delivered_from;
    std::vector<PeerIndex> gone;
    std::vector<const PreparedMessage*> published;
    std::vector<std::pair<const PreparedMessage*, PublishFailure>> failed;
    std::vector<PeerFaulted> faults;
    bool is_dead = false;
  };

  explicit Network(std::size_t count, NetworkConfig config) : config_(config), rng_(config.seed) {
    config_.params.messages_max = 64;
    config_.params.large_messages_max = 32;
    config_.params.seen_max = 1024;
    config_.params.peers_max = std::max<std::size_t>(32, count);
    for (std::size_t i = 0; i < count; ++i) {
      Node node;
      node.counters = std::make_unique<Counters>();
      node.relay = std::make_unique<Relay>(config_.params, config.seed * 1000 + i, *node.counters);
      node.out = std::make_unique<Outbox>(256, 64);
      nodes_.push_back(std::move(node));
    }
    crypto_sign_seed_keypair(public_.data(), secret_.data(), std::array<unsigned char, 32>{7}.data());
  }

  /// Both ways; every node knows node i as peer i.
  void join(std::size_t a, std::size_t b) {
    command(a, PeerUp{static_cast<PeerIndex>(b), {}, {}, config_.params.path_mtu_bytes});
    command(b, PeerUp{static_cast<PeerIndex>(a), {}, {}, config_.params.path_mtu_bytes});
    neighbours_[a].push_back(static_cast<PeerIndex>(b));
    neighbours_[b].push_back(static_cast<PeerIndex>(a));
  }
  void join_all() {
    for (std::size_t a = 0; a < nodes_.size(); ++a) {
      for (std::size_t b = a + 1; b < nodes_.size(); ++b) join(a, b);
    }
  }
  void route(std::size_t node, const std::string& topic, bool deliver = true) {
    RouteSet set{topic_hash(topic), deliver, 0, {}};
    for (const PeerIndex p : neighbours_[node]) set.next_hops[set.count++] = p;
    command(node, set);
  }
  void route_all(const std::string& topic) {
    for (std::size_t i = 0; i < nodes_.size(); ++i) route(i, topic);
  }

  const PreparedMessage* publish(std::size_t node, std::size_t size, const std::string& topic = "t") {
    std::vector<std::uint8_t> payload(size);
    for (auto& byte : payload) byte = static_cast<std::uint8_t>(rng_.next());
    return publish(node, std::move(payload), topic);
  }
  const PreparedMessage* publish(std::size_t node, std::vector<std::uint8_t> payload, const std::string& topic = "t") {
    auto prepared = prepare_message(std::move(payload), topic, public_, ++sequence_, 0, config_.params, signer());
    if (!prepared) return nullptr;
    prepared_.push_back(std::make_unique<PreparedMessage>(std::move(*prepared)));
    command(node, Publish{prepared_.back().get()});
    return prepared_.back().get();
  }
  const PublisherKey& publisher() const { return public_; }
  Signer signer() const {
    return [this](std::span<const std::uint8_t> bytes) {
      Signature signature;
      crypto_sign_detached(signature.data(), nullptr, bytes.data(), bytes.size(), secret_.data());
      return signature;
    };
  }

  void command(std::size_t node, const Command& one) {
    nodes_[node].relay->on_command(now, one, *nodes_[node].out);
    drain(node);
  }
  /// Hands a frame to `to` as if `from` had sent it.
  void inject(std::size_t from, std::size_t to, const std::vector<std::uint8_t>& frame) {
    const RxFrame rx{static_cast<PeerIndex>(from), frame};
    nodes_[to].relay->on_burst(now, {&rx, 1}, *nodes_[to].out);
    drain(to);
  }

  /// Takes what `from` sends to `to` off the network from now on; inject() is the only way then.
  std::vector<std::vector<std::uint8_t>>& capture(std::size_t from, std::size_t to) {
    auto& frames = captured_[{from, to}];
    return frames;
  }

  /// Runs until `until` says so or virtual time is up. True when `until` said so.
  bool run(Duration limit, const std::function<bool()>& until = [] { return false; }) {
    const Instant end = now + limit;
    while (now < end) {
      if (until()) return true;
      Instant next = end;
      if (!flights_.empty()) next = std::min(next, flights_.top().at);
      for (const Node& node : nodes_) {
        if (!node.is_dead) next = std::min(next, node.relay->next_deadline());
      }
      now = std::max(now, next);
      while (!flights_.empty() && flights_.top().at <= now) {
        const Flight flight = flights_.top();
        flights_.pop();
        if (!nodes_[flight.to].is_dead) inject(flight.from, flight.to, *flight.frame);
      }
      for (std::size_t i = 0; i < nodes_.size(); ++i) {
        if (nodes_[i].is_dead || nodes_[i].relay->next_deadline() > now) continue;
        nodes_[i].relay->on_tick(now, *nodes_[i].out);
        drain(i);
      }
    }
    return until();
  }

  bool has_all(const PreparedMessage* message, std::size_t publisher) {
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      if (i != publisher && !nodes_[i].is_dead && nodes_[i].delivered[message->header.id] != 1) return false;
    }
    return true;
  }

  std::vector<Node>& nodes() { return nodes_; }
  Rng& rng() { return rng_; }
  Instant now{};
  std::function<void(std::size_t from, std::size_t to, std::vector<std::uint8_t>& frame)> tamper;
  /// What leaves and arrives nowhere.
  std::function<bool(std::size_t from, std::size_t to, const std::vector<std::uint8_t>& frame)> drops;
  void set_loss(double loss) { config_.loss = loss; }
  /// Node `i` anew, with other settings. Before anything else happens to it.
  void replace(std::size_t i, const std::function<void(RelayParams&)>& change) {
    RelayParams params = config_.params;
    change(params);
    nodes_[i].relay = std::make_unique<Relay>(params, config_.seed * 1000 + i, *nodes_[i].counters);
  }

 private:
  struct Flight {
    Instant at;
    std::uint64_t order;
    std::size_t from;
    std::size_t to;
    std::shared_ptr<std::vector<std::uint8_t>> frame;
    bool operator<(const Flight& other) const {
      return std::pair(at, order) > std::pair(other.at, other.order);
    }
  };

  void drain(std::size_t i) {
    Node& node = nodes_[i];
    for (const TxItem& item : node.out->items()) {
      node.bytes_sent += item.frame_bytes + 60u;
      Instant leaves = now;
      if (config_.uplink_bytes_per_second > 0) {
        const double queued = static_cast<double>((node.uplink_free - now).ns) * 1e-9 * config_.uplink_bytes_per_second;
        if (queued > config_.queue_bytes_max) continue;
        const double cost = (item.frame_bytes + 60) / config_.uplink_bytes_per_second * 1e9;
        node.uplink_free = std::max(node.uplink_free, now) + Duration{static_cast<std::int64_t>(cost)};
        leaves = node.uplink_free;
      }
      if (rng_.chance(config_.loss)) continue;
      const Bytes bytes = item.bytes();
      auto frame = std::make_shared<std::vector<std::uint8_t>>(bytes.begin(), bytes.end());
      if (drops && drops(i, item.peer, *frame)) continue;
      if (tamper) tamper(i, item.peer, *frame);
      if (const auto at = captured_.find({i, item.peer}); at != captured_.end()) {
        at->second.push_back(std::move(*frame));
        continue;
      }
      flights_.push({leaves + config_.delay, order_++, i, item.peer, std::move(frame)});
    }
    std::vector<std::uint32_t> releases;
    for (const Event& event : node.out->events()) take(node, event, releases);
    node.out->clear();
    for (const std::uint32_t handle : releases) {
      node.relay->on_command(now, Release{handle}, *node.out);
      drain(i);
    }
  }
  void take(Node& node, const Event& event, std::vector<std::uint32_t>& releases) {
    if (const auto* delivered = std::get_if<Delivered>(&event)) {
      std::vector<std::uint8_t> payload(delivered->message.header->size_bytes);
      copy_payload(delivered->message, payload);
      Sha256 hash;
      hash.reset();
      hash.update(payload);
      CHECK(hash.finish() == delivered->message.header->id);
      ++node.delivered[delivered->message.header->id];
      node.delivered_at[delivered->message.header->id] = now;
      node.delivered_from[delivered->message.header->id] = delivered->from;
      releases.push_back(delivered->message.handle);
    } else if (const auto* published = std::get_if<Published>(&event)) {
      node.published.push_back(published->message);
    } else if (const auto* failed = std::get_if<PublishFailed>(&event)) {
      node.failed.emplace_back(failed->message, failed->reason);
    } else if (const auto* faulted = std::get_if<PeerFaulted>(&event)) {
      node.faults.push_back(*faulted);
    } else if (const auto* left = std::get_if<PeerGone>(&event)) {
      node.gone.push_back(left->peer);
    }
  }

  NetworkConfig config_;
  Rng rng_;
  std::vector<Node> nodes_;
  std::map<std::size_t, std::vector<PeerIndex>> neighbours_;
  std::map<std::pair<std::size_t, std::size_t>, std::vector<std::vector<std::uint8_t>>> captured_;
  std::priority_queue<Flight> flights_;
  std::uint64_t order_ = 0;
  std::uint64_t sequence_ = 0;
  std::vector<std::unique_ptr<PreparedMessage>> prepared_;
  PublisherKey public_{};
  std::array<unsigned char, 64> secret_{};
};

}  // namespace corelay::dataplane::test
