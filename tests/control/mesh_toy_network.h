/// Several Mesh objects joined by an ordered, delayed network of their own: what a driver does, in
/// few lines. Checks as it goes that nobody is grafted during a backoff and that control messages
/// parse.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "codec/rng.h"
#include "control/mesh/mesh.h"
#include "proto/mesh.pb.h"

namespace corelay::mesh {

class ToyNetwork {
 public:
  explicit ToyNetwork(std::uint64_t seed) : rng_(seed) {}

  static std::string name_of(std::size_t i) { return "node-" + std::to_string(i); }
  static std::string address_of(std::size_t i) {
    return "/ip4/10.0.0." + std::to_string(i) + "/tcp/7070";
  }

  std::size_t add(const MeshParams& params) {
    nodes_.push_back({});
    const std::size_t i = nodes_.size() - 1;
    nodes_[i].params = params;
    start(i);
    return i;
  }
  void start(std::size_t i) {
    ++nodes_[i].life;
    nodes_[i].mesh = std::make_unique<Mesh>(nodes_[i].params, name_of(i),
                                            std::vector<std::string>{address_of(i)}, rng_.next());
    nodes_[i].routes.clear();
    nodes_[i].quiet_until.clear();
  }
  /// Gone without a word; the others notice after one delay.
  void stop(std::size_t i) {
    nodes_[i].mesh.reset();
    ++nodes_[i].life;
    for (std::size_t j = 0; j < nodes_.size(); ++j) {
      if (links_.erase(key(i, j)) != 0)
        at(delay(), j, [this, i, j](MeshOutbox& out) {
          if (links_.count(key(i, j)) == 0) nodes_[j].mesh->on_disconnected(now, name_of(i), out);
        });
    }
  }
  void disconnect(std::size_t i, std::size_t j) {
    if (links_.erase(key(i, j)) == 0) return;
    lose(i, j);
    lose(j, i);
  }
  void bootstrap(std::size_t i, std::size_t to, bool is_named) {
    act(i, [&](Mesh& mesh, MeshOutbox& out) {
      mesh.add_bootstrap(now, {is_named ? name_of(to) : "", {address_of(to)}}, out);
    });
  }
  void subscribe(std::size_t i, const std::string& topic) {
    act(i, [&](Mesh& mesh, MeshOutbox& out) { EXPECT_TRUE(mesh.subscribe(now, topic, out)); });
  }
  void unsubscribe(std::size_t i, const std::string& topic) {
    act(i, [&](Mesh& mesh, MeshOutbox& out) { mesh.unsubscribe(now, topic, out); });
  }
  void want_route(std::size_t i, const std::string& topic) {
    act(i, [&](Mesh& mesh, MeshOutbox& out) { EXPECT_TRUE(mesh.want_route(now, topic, out)); });
  }

  template <class Call>
  void act(std::size_t i, Call call) {
    MeshOutbox out;
    call(*nodes_[i].mesh, out);
    drive(i, out);
  }

  /// Runs everything due up to and including `until`.
  void run(Instant until) {
    for (;;) {
      Instant tick = dataplane::never;
      std::size_t who = 0;
      for (std::size_t i = 0; i < nodes_.size(); ++i) {
        if (nodes_[i].mesh != nullptr && nodes_[i].mesh->next_deadline() < tick) {
          tick = nodes_[i].mesh->next_deadline();
          who = i;
        }
      }
      const Instant next = queue_.empty() ? dataplane::never : queue_.begin()->first.first;
      if (std::min(tick, next) > until) break;
      if (next <= tick) {
        now = std::max(now, next);
        Arrival arrival = std::move(queue_.begin()->second);
        queue_.erase(queue_.begin());
        if (nodes_[arrival.node].mesh == nullptr || nodes_[arrival.node].life != arrival.life)
          continue;
        MeshOutbox out;
        arrival.call(out);
        drive(arrival.node, out);
      } else {
        now = std::max(now, tick);
        act(who, [&](Mesh& mesh, MeshOutbox& out) { mesh.on_tick(now, out); });
        ASSERT_GT(nodes_[who].mesh->next_deadline(), now) << "a tick must move the deadline";
      }
    }
    now = until;
  }
  void run_for(Duration time) { run(now + time); }

  [[nodiscard]] Mesh& mesh(std::size_t i) { return *nodes_[i].mesh; }
  [[nodiscard]] bool is_up(std::size_t i) const { return nodes_[i].mesh != nullptr; }
  [[nodiscard]] std::size_t size() const { return nodes_.size(); }
  /// The route last given to the driver, none where it was removed or never given.
  [[nodiscard]] std::optional<RouteChanged> route(std::size_t i, const std::string& topic) const {
    const auto found = nodes_[i].routes.find(topic);
    if (found == nodes_[i].routes.end()) return std::nullopt;
    return found->second;
  }
  [[nodiscard]] std::size_t dials(std::size_t i) const { return nodes_[i].dials; }

  Instant now{};
  Duration delay_min = dataplane::milliseconds(1);
  Duration delay_max = dataplane::milliseconds(3);
  Duration dial_delay = dataplane::milliseconds(6);
  Duration session_delay = dataplane::milliseconds(3);
  std::set<std::pair<std::size_t, std::size_t>> unreachable;  // dials that fail, as (from, to)
  std::size_t sessions_refused_from = SIZE_MAX;  // no session ever comes up with this node

 private:
  struct Node {
    MeshParams params;
    std::unique_ptr<Mesh> mesh;
    std::uint64_t life = 0;
    std::size_t dials = 0;
    std::map<std::string, RouteChanged> routes;
    std::map<std::pair<std::string, std::string>, Instant>
        quiet_until;  // (peer, topic): no graft before
  };
  struct Arrival {
    std::size_t node = 0;
    std::uint64_t life = 0;
    std::function<void(MeshOutbox&)> call;
  };
  static std::pair<std::size_t, std::size_t> key(std::size_t i, std::size_t j) {
    return {std::min(i, j), std::max(i, j)};
  }
  static std::size_t index_of(const std::string& name) { return std::stoul(name.substr(5)); }
  Duration delay() {
    return delay_min + Duration{static_cast<std::int64_t>(
                           rng_.below(static_cast<std::uint64_t>((delay_max - delay_min).ns + 1)))};
  }
  void at(Duration after, std::size_t node, std::function<void(MeshOutbox&)> call) {
    queue_.emplace(std::make_pair(now + after, order_++),
                   Arrival{node, nodes_[node].life, std::move(call)});
  }
  void lose(std::size_t i, std::size_t j) {
    at(delay(), j, [this, i, j](MeshOutbox& out) {
      if (links_.count(key(i, j)) == 0) nodes_[j].mesh->on_disconnected(now, name_of(i), out);
    });
  }

  void connect(std::size_t from, std::size_t to) {
    if (!links_.emplace(key(from, to), ++connection_).second) return;
    const std::uint64_t connection = connection_;
    const auto up = [&](std::size_t here, std::size_t there, bool is_outbound) {
      last_[{there, here}] = {};
      at({}, here, [this, here, there, is_outbound, connection](MeshOutbox& out) {
        if (link(here, there) == connection)
          nodes_[here].mesh->on_connected(now, name_of(there), is_outbound, out);
      });
      if (here == sessions_refused_from || there == sessions_refused_from) return;
      at(session_delay, here, [this, here, there, connection](MeshOutbox& out) {
        if (link(here, there) == connection)
          nodes_[here].mesh->on_session(now, name_of(there), out);
      });
    };
    up(from, to, true);
    up(to, from, false);
  }
  std::uint64_t link(std::size_t i, std::size_t j) const {
    const auto found = links_.find(key(i, j));
    return found == links_.end() ? 0 : found->second;
  }

  void dial(std::size_t i, const PeerAddresses& target) {
    ++nodes_[i].dials;
    at(dial_delay, i, [this, i, target](MeshOutbox& out) {
      for (std::size_t j = 0; j < nodes_.size(); ++j) {
        if (target.addresses.empty() || target.addresses.front() != address_of(j)) continue;
        if (!target.peer.empty() && target.peer != name_of(j)) break;
        if (!is_up(j) || unreachable.count({i, j}) != 0) break;
        if (i != j) connect(i, j);
        nodes_[i].mesh->on_dialled(now, target, name_of(j), out);
        return;
      }
      nodes_[i].mesh->on_dial_failed(now, target, out);
    });
  }

  void send(std::size_t i, const SendControl& control) {
    const std::size_t j = index_of(control.peer);
    const std::uint64_t connection = link(i, j);
    ASSERT_LE(control.bytes.size(), control_bytes_max);
    MeshControl message;
    ASSERT_TRUE(
        message.ParseFromArray(control.bytes.data(), static_cast<int>(control.bytes.size())));
    MeshControl grafts = message;
    grafts.mutable_graft()->MergeFrom(message.urgent_graft());
    for (const std::string& topic : grafts.graft()) {
      const auto quiet = nodes_[i].quiet_until.find({control.peer, topic});
      if (quiet != nodes_[i].quiet_until.end()) {
        ASSERT_GE(now, quiet->second)
            << name_of(i) << " grafts " << control.peer << " during a backoff";
      }
    }
    for (const Prune& prune : message.prune()) quieten(i, control.peer, prune);
    if (connection == 0) return;
    const Instant arrives = std::max(now + delay(), last_[{i, j}]);
    last_[{i, j}] = arrives;
    at(arrives - now, j, [this, i, j, connection, control, message](MeshOutbox& out) {
      if (link(i, j) != connection) return;
      ASSERT_TRUE(nodes_[j].mesh->on_control(now, name_of(i), control.bytes, out));
      for (const Prune& prune : message.prune()) quieten(j, name_of(i), prune);
    });
  }
  void quieten(std::size_t i, const std::string& peer, const Prune& prune) {
    Instant& until = nodes_[i].quiet_until[{peer, prune.topic()}];
    // A backoff is told in whole milliseconds, rounded up; one millisecond of slack.
    until = std::max(until, now + dataplane::milliseconds(std::int64_t{prune.backoff_ms()} - 1));
  }

  void drive(std::size_t i, const MeshOutbox& out) {
    for (const MeshAction& action : out) {
      if (const auto* control = std::get_if<SendControl>(&action)) send(i, *control);
      if (const auto* wanted = std::get_if<Dial>(&action)) dial(i, wanted->target);
      if (const auto* gone = std::get_if<Disconnect>(&action)) disconnect(i, index_of(gone->peer));
      if (const auto* changed = std::get_if<RouteChanged>(&action))
        nodes_[i].routes[changed->topic] = *changed;
      if (const auto* removed = std::get_if<RouteRemoved>(&action))
        nodes_[i].routes.erase(removed->topic);
    }
  }

  Rng rng_;
  std::vector<Node> nodes_;
  std::map<std::pair<std::size_t, std::size_t>, std::uint64_t>
      links_;  // (low, high): connection number
  std::map<std::pair<std::size_t, std::size_t>, Instant>
      last_;  // (from, to): last arrival, keeps order
  std::map<std::pair<Instant, std::uint64_t>, Arrival> queue_;
  std::uint64_t order_ = 0;
  std::uint64_t connection_ = 0;
};

}  // namespace corelay::mesh
