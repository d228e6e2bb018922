// Lives of nodes and what the daemon does around a Mesh: connections, dials, sessions, control
// messages, routes.
#include <algorithm>
#include <variant>

#include "codec/check.h"
#include "dataplane/core/header.h"
#include "sim/state.h"

namespace corelay::sim {

using dataplane::PeerIndex;

void Simulator::State::start(NodeIndex n) {
  Node& node = nodes[n];
  if (node.is_up) return;
  node.is_up = true;
  ++node.life;
  node.born = now;
  node.wake_at = dataplane::never;
  node.counters = std::make_unique<dataplane::Counters>();
  node.relay = std::make_unique<dataplane::Relay>(scenario.relay, rng.next(), *node.counters);
  if (scenario.real_sessions) {
    node.sessions =
        std::make_unique<dataplane::SessionTable>(std::uint8_t{0}, scenario.relay.peers_max);
  }
  node.mesh = std::make_unique<mesh::Mesh>(scenario.mesh, name_of(n),
                                           std::vector<std::string>{address_of(n)}, rng.next());
  node.neighbours.assign(scenario.relay.peers_max, {});
  with_mesh(n, [&](mesh::Mesh& mesh, Instant at, mesh::MeshOutbox& out) {
    CHECK(mesh.subscribe(at, scenario.topic, out));
    for (NodeIndex b = 0; b < std::min(scenario.bootstraps, nodes.size()); ++b) {
      // Half of the bootstrap list has names, the other half addresses alone.
      if (b != n) mesh.add_bootstrap(at, {b % 2 == 0 ? "" : name_of(b), {address_of(b)}}, out);
    }
  });
}

void Simulator::State::crash(NodeIndex n) {
  Node& node = nodes[n];
  if (!node.is_up || is_healed) return;
  LifeResult life{n, node.life, node.born, now, {}};
  for (std::size_t i = 0; i < dataplane::counter_count; ++i) {
    life.counters[i] = node.counters->value(static_cast<dataplane::Counter>(i));
  }
  lives.push_back(life);
  node.is_up = false;
  for (const auto& [remote, c] : node.connections) {
    const auto notice = static_cast<std::int64_t>(
        rng.below(static_cast<std::uint64_t>(scenario.crash_notice_max.ns) + 1));
    close(c, {notice}, {notice});
  }
  node.connections.clear();
  node.index_of.clear();
  node.events.clear();
  node.mesh.reset();
  node.relay.reset();
  node.sessions.reset();
}

void Simulator::State::publish(std::uint32_t message) {
  SimulatedMessage& one = messages[message];
  const auto n = static_cast<NodeIndex>(one.publication.node);
  MessageResult& result = outcomes[message];
  result.published_at = now;
  if (!nodes[n].is_up) return;
  one.is_started = true;
  result.publisher_life = nodes[n].life;
  result.outcome = Outcome::unanswered;
  command(n, dataplane::Publish{&one.prepared});
  settle(n);
}

void Simulator::State::with_mesh(
    NodeIndex n, const std::function<void(mesh::Mesh&, Instant, mesh::MeshOutbox&)>& act) {
  mesh::MeshOutbox out;
  act(*nodes[n].mesh, local(n), out);
  for (const mesh::MeshAction& action : out) perform(n, action);
  settle(n);
}

void Simulator::State::perform(NodeIndex n, const mesh::MeshAction& action) {
  if (const auto* control = std::get_if<mesh::SendControl>(&action)) {
    send_control(n, *control);
  } else if (const auto* wanted = std::get_if<mesh::Dial>(&action)) {
    dial(n, wanted->target);
  } else if (const auto* gone = std::get_if<mesh::Disconnect>(&action)) {
    const auto at = nodes[n].connections.find(index_of_name(gone->peer));
    if (at != nodes[n].connections.end()) close(at->second, {}, link.delay(n, at->first));
  } else if (const auto* route = std::get_if<mesh::RouteChanged>(&action)) {
    set_route(n, *route);
  } else if (const auto* removed = std::get_if<mesh::RouteRemoved>(&action)) {
    command(n, dataplane::RouteClear{dataplane::topic_hash(removed->topic)});
  }
}

void Simulator::State::set_route(NodeIndex n, const mesh::RouteChanged& route) {
  dataplane::RouteSet set;
  set.topic = dataplane::topic_hash(route.topic);
  set.deliver = route.is_subscribed;
  for (const std::string& peer : route.next_hops) {
    const auto at = nodes[n].index_of.find(index_of_name(peer));
    CHECK(at != nodes[n].index_of.end() && set.count < set.next_hops.size());
    set.next_hops[set.count++] = at->second;
  }
  command(n, set);
}

void Simulator::State::send_control(NodeIndex n, const mesh::SendControl& control) {
  const auto at = nodes[n].connections.find(index_of_name(control.peer));
  if (at == nodes[n].connections.end() || !connections[at->second].is_open) return;
  const ConnectionIndex c = at->second;
  Connection& connection = connections[c];
  const std::size_t end = connection.ends[0] == at->first ? 0 : 1;
  Instant arrives = now + link.delay(n, at->first);
  if (link.is_faulty() && scenario.link.loss > 0 && rng.chance(scenario.link.loss)) {
    arrives = arrives + scenario.control_retry;
  }
  connection.last[end] = std::max(connection.last[end], arrives);
  connection.queues[end].push_back(control.bytes);
  call_at(connection.last[end], [this, c, end] { deliver_control(c, end); });
}

void Simulator::State::deliver_control(ConnectionIndex c, std::size_t end) {
  Connection& connection = connections[c];
  const NodeIndex to = connection.ends[end];
  const NodeIndex from = connection.ends[1 - end];
  if (!connection.is_open || connection.queues[end].empty()) return;
  if (is_partitioned(from, to)) {
    call_at(now + dataplane::milliseconds(50), [this, c, end] { deliver_control(c, end); });
    return;
  }
  const std::vector<std::uint8_t> bytes = std::move(connection.queues[end].front());
  connection.queues[end].pop_front();
  mix(bytes);
  with_mesh(to, [&](mesh::Mesh& mesh, Instant at, mesh::MeshOutbox& out) {
    CHECK(mesh.on_control(at, name_of(from), bytes, out));
  });
}

void Simulator::State::dial(NodeIndex n, const mesh::PeerAddresses& target) {
  const NodeIndex to = index_of_name(target.addresses.front().substr(5));
  const bool is_cut = is_partitioned(n, to);
  const Duration takes =
      is_cut ? scenario.dial_timeout : link.delay(n, to) * 3 + dataplane::milliseconds(1);
  const std::uint32_t life = nodes[n].life;
  call_at(now + takes, [this, n, life, target] {
    if (nodes[n].is_up && nodes[n].life == life) finish_dial(n, target);
  });
}

void Simulator::State::finish_dial(NodeIndex n, const mesh::PeerAddresses& target) {
  const NodeIndex to = index_of_name(target.addresses.front().substr(5));
  if (to == n || !nodes[to].is_up || is_partitioned(n, to)) {
    return with_mesh(n, [&](mesh::Mesh& mesh, Instant at, mesh::MeshOutbox& out) {
      mesh.on_dial_failed(at, target, out);
    });
  }
  const auto open = nodes[n].connections.find(to);
  if (open == nodes[n].connections.end() || !connections[open->second].is_open) connect(n, to);
  with_mesh(n, [&](mesh::Mesh& mesh, Instant at, mesh::MeshOutbox& out) {
    mesh.on_dialled(at, target, name_of(to), out);
  });
}

ConnectionIndex Simulator::State::connect(NodeIndex from, NodeIndex to) {
  const auto c = static_cast<ConnectionIndex>(connections.size());
  connections.push_back({});
  Connection& connection = connections.back();
  connection.ends = {from, to};
  for (std::size_t end = 0; end < 2; ++end) {
    dataplane::DirectionKeys& keys = connection.keys[end];
    keys.key_id = 2 * c + static_cast<std::uint32_t>(end) + 1;
    for (std::uint8_t& byte : keys.key) byte = static_cast<std::uint8_t>(rng.next());
    for (std::uint8_t& byte : keys.iv) byte = static_cast<std::uint8_t>(rng.next());
  }
  accept(to, from, c, false);
  accept(from, to, c, true);
  // The dialler's hello takes one way, the answer the other.
  const Duration way = link.delay(from, to);
  call_at(now + way, [this, c] { session_up(c, 1); });
  call_at(now + way * 2, [this, c] { session_up(c, 0); });
  return c;
}

void Simulator::State::accept(NodeIndex n, NodeIndex remote, ConnectionIndex c, bool is_outbound) {
  const auto old = nodes[n].connections.find(remote);
  if (old != nodes[n].connections.end()) {
    const ConnectionIndex gone = old->second;
    connections[gone].is_open = false;
    lose_connection(n, remote, gone);
  }
  nodes[n].connections[remote] = c;
  with_mesh(n, [&](mesh::Mesh& mesh, Instant at, mesh::MeshOutbox& out) {
    mesh.on_connected(at, name_of(remote), is_outbound, out);
  });
}

void Simulator::State::session_up(ConnectionIndex c, std::size_t end) {
  const Connection& connection = connections[c];
  const NodeIndex n = connection.ends[end];
  const NodeIndex remote = connection.ends[1 - end];
  if (!connection.is_open) return;
  const auto believed = nodes[n].connections.find(remote);
  if (believed == nodes[n].connections.end() || believed->second != c) return;
  if (is_partitioned(n, remote)) {
    call_at(now + dataplane::milliseconds(50), [this, c, end] { session_up(c, end); });
    return;
  }
  Node& node = nodes[n];
  const auto free = std::find_if(node.neighbours.begin(), node.neighbours.end(),
                                 [](const auto& at) { return !at.is_used; });
  CHECK(free != node.neighbours.end());
  const auto index = static_cast<PeerIndex>(free - node.neighbours.begin());
  *free = {remote, c, true, false};
  node.index_of[remote] = index;
  dataplane::PeerUp up;
  up.peer = index;
  up.keys = {connection.keys[1 - end], connection.keys[end]};
  up.path_mtu_bytes = scenario.relay.path_mtu_bytes;
  if (node.sessions != nullptr) node.sessions->install(local(n), index, up.keys);
  command(n, up);
  with_mesh(n, [&](mesh::Mesh& mesh, Instant at, mesh::MeshOutbox& out) {
    mesh.on_session(at, name_of(remote), out);
  });
}

/// The node learns that its connection is gone: mesh first, so that no route names the peer when it
/// goes down.
void Simulator::State::lose_connection(NodeIndex n, NodeIndex remote, ConnectionIndex c) {
  Node& node = nodes[n];
  const auto believed = node.connections.find(remote);
  if (!node.is_up || believed == node.connections.end() || believed->second != c) return;
  node.connections.erase(believed);
  with_mesh(n, [&](mesh::Mesh& mesh, Instant at, mesh::MeshOutbox& out) {
    mesh.on_disconnected(at, name_of(remote), out);
  });
  const auto session = node.index_of.find(remote);
  if (session == node.index_of.end()) return;
  const PeerIndex index = session->second;
  node.index_of.erase(session);
  node.neighbours[index].is_leaving = true;
  if (node.sessions != nullptr) node.sessions->remove(index);
  command(n, dataplane::PeerDown{index});
  settle(n);
}

void Simulator::State::close(ConnectionIndex c, Duration notice_a, Duration notice_b) {
  Connection& connection = connections[c];
  if (!connection.is_open) return;
  connection.is_open = false;
  const std::array<Duration, 2> notice{notice_a, notice_b};
  for (std::size_t end = 0; end < 2; ++end) {
    const NodeIndex n = connection.ends[end];
    const NodeIndex remote = connection.ends[1 - end];
    const std::uint32_t life = nodes[n].life;
    call_at(now + notice[end], [this, n, remote, c, life] {
      if (nodes[n].life == life) lose_connection(n, remote, c);
    });
  }
}

void Simulator::State::break_across(const Partition& partition) {
  if (is_healed || now >= partition.until) return;
  for (ConnectionIndex c = 0; c < connections.size(); ++c) {
    const auto [a, b] = connections[c].ends;
    if (connections[c].is_open && partition.is_far[a] != partition.is_far[b]) close(c, {}, {});
  }
}

void Simulator::State::plan_wake(NodeIndex n) {
  Node& node = nodes[n];
  const Instant due = std::min(node.relay->next_deadline(), node.mesh->next_deadline());
  if (due == dataplane::never) return;
  const Instant at = std::max(now, due - node.clock_offset);
  if (at >= node.wake_at) return;
  node.wake_at = at;
  push(at, Kind::wake, n);
}

void Simulator::State::wake(NodeIndex n) {
  Node& node = nodes[n];
  if (!node.is_up || node.wake_at != now)
    return;  // planned in an earlier life, or overtaken by a sooner one
  node.wake_at = dataplane::never;
  mix_event(now, Kind::wake, n);
  if (node.mesh->next_deadline() <= local(n)) {
    with_mesh(n,
              [](mesh::Mesh& mesh, Instant at, mesh::MeshOutbox& out) { mesh.on_tick(at, out); });
  }
  settle(n);
}

}  // namespace corelay::sim
