#include "sim/network.h"

#include <algorithm>
#include <cmath>

#include "codec/check.h"

namespace corelay::sim {
namespace {

std::uint64_t pair_of(NodeId from, NodeId to) { return std::uint64_t{from} << 32 | to; }

std::uint64_t rate_of(double bytes_per_second) {
  return static_cast<std::uint64_t>(std::llround(bytes_per_second));
}

}  // namespace

Network::Network(const PropagationScenario& plan, const Topology& drawn, std::uint64_t seed)
    : scenario(plan),
      topology(drawn),
      rng(seed ^ 0x2e7),
      bytes_sent(plan.nodes, 0),
      now_{1'000'000'000},
      hash_(seed),
      cpu_free_(plan.nodes, Instant{}),
      is_up_(plan.nodes, true) {
  for (NodeId n = 0; n < plan.nodes; ++n) {
    const double rate_up = drawn.up_bytes_per_second(n);
    const double rate_down = drawn.down_bytes_per_second(n);
    up_.emplace_back(rate_of(rate_up));
    down_.emplace_back(rate_of(rate_down));
    up_queue_.push_back(rate_of(rate_up * plan.queue_ms / 1e3));
    down_queue_.push_back(rate_of(rate_down * plan.queue_ms / 1e3));
  }
}

void Network::call_at(Instant at, std::function<void()> what) {
  push(at, call_kind, 0, calls_.put(std::move(what)));
}

bool Network::next(Event& event) {
  while (!is_ended_ && !queue_.is_empty()) {
    event = queue_.pop();
    now_ = event.at;
    ++events_;
    mix(static_cast<std::uint64_t>(event.at.ns) ^ std::uint64_t{event.kind_and_node} << 32);
    if (event.kind() != call_kind) return true;
    const std::function<void()> what = calls_.take(event.index);
    what();
  }
  return false;
}

Serializer& Network::up(NodeId from, NodeId to) {
  if (!scenario.is_link_shaped) return up_[from];
  return link_up_.try_emplace(pair_of(from, to), up_[from]).first->second;
}

Serializer& Network::down(NodeId from, NodeId to) {
  if (!scenario.is_link_shaped) return down_[to];
  return link_down_.try_emplace(pair_of(from, to), down_[to]).first->second;
}

Instant Network::occupy_uplink(NodeId from, NodeId to, std::size_t bytes) {
  bytes_sent[from] += bytes;
  ++packets;
  const Instant departs = up(from, to).take(now_, bytes);
  if (on_bytes) on_bytes(from);
  return departs;
}

Instant Network::occupy_downlink(NodeId from, NodeId to, std::size_t bytes) {
  Instant through = down(from, to).take(now_, bytes);
  if (scenario.cpu_us_per_packet > 0) {
    const Duration cost{static_cast<std::int64_t>(scenario.cpu_us_per_packet * 1e3)};
    through = cpu_free_[to] = std::max(through, cpu_free_[to]) + cost;
  }
  return through;
}

bool Network::is_lost(NodeId from, NodeId to) {
  const LossPlan& loss = scenario.loss;
  bool is_gone = false;
  if (loss.burst_start > 0) {
    bool& is_bad = directions_[pair_of(from, to)].is_bad;
    is_bad = is_bad ? !rng.chance(loss.burst_end) : rng.chance(loss.burst_start);
    is_gone = is_bad;
  }
  if (loss.random > 0 && rng.chance(loss.random)) is_gone = true;
  if (is_gone) ++drops_way;
  return is_gone;
}

Instant Network::arrival(NodeId from, NodeId to, Instant departs) {
  Instant arrives = departs + topology.delay(from, to);
  if (scenario.latency.jitter_ms > 0) {
    const auto jitter = static_cast<std::uint64_t>(scenario.latency.jitter_ms * 1e6);
    Instant& last = directions_[pair_of(from, to)].last;
    arrives = arrives + Duration{static_cast<std::int64_t>(rng.below(jitter + 1))};
    arrives = last = std::max(arrives, last);
  }
  return arrives;
}

bool Network::send(NodeId from, NodeId to, std::size_t bytes, Instant& arrives) {
  if (up(from, to).backlog_bytes(now_) + bytes > up_queue_[from]) {
    ++drops_up;
    return false;
  }
  const Instant departs = occupy_uplink(from, to, bytes);
  if (is_lost(from, to)) {
    account.lost += static_cast<double>(bytes);
    return false;
  }
  arrives = arrival(from, to, departs);
  return true;
}

bool Network::receive(NodeId from, NodeId to, std::size_t bytes, Instant& through) {
  if (down(from, to).backlog_bytes(now_) + bytes > down_queue_[to]) {
    ++drops_down;
    account.lost += static_cast<double>(bytes);
    return false;
  }
  through = occupy_downlink(from, to, bytes);
  return true;
}

void Network::set_up(NodeId n, bool is_up) {
  is_up_[n] = is_up;
  if (is_up) return;
  for (Spread& message : messages) {
    if (message.published == dataplane::never || !message.is_owed[n]) continue;
    message.is_owed[n] = false;
    if (message.delivered[n] == dataplane::never) {
      --message.missing;
      --missing;
    }
  }
}

void Network::published(std::uint32_t index) {
  Spread& message = messages[index];
  message.published = now_;
  message.delivered.assign(scenario.nodes, dataplane::never);
  message.is_owed.assign(scenario.nodes, false);
  for (NodeId n = 0; n < scenario.nodes; ++n) {
    message.is_owed[n] = n != message.publisher && is_up_[n] && topology.is_honest(n);
    if (message.is_owed[n]) ++message.missing;
  }
  missing += message.missing;
}

void Network::delivered(std::uint32_t index, NodeId n) {
  Spread& message = messages[index];
  if (message.delivered[n] != dataplane::never) return;
  message.delivered[n] = now_;
  mix(n ^ 0xde11ULL << 32);
  if (!message.is_owed[n]) return;
  ++arrived;
  --message.missing;
  --missing;
}

}  // namespace corelay::sim
