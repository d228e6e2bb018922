// The event loop, the phases of a run, and what is owed to whom.
#include "sim/simulator.h"

#include <sodium.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "codec/check.h"
#include "dataplane/ingest.h"
#include "sim/state.h"

namespace corelay::sim {

namespace {

bool is_later(const auto& a, const auto& b) {
  return a.at != b.at ? a.at > b.at : a.order > b.order;
}

}  // namespace

std::string name_of(NodeIndex n) {
  char text[16];
  std::snprintf(text, sizeof text, "n%05u", n);
  return text;
}

std::string address_of(NodeIndex n) { return "/sim/" + name_of(n); }

NodeIndex index_of_name(const std::string& name) {
  return static_cast<NodeIndex>(std::stoul(name.substr(1)));
}

Simulator::State::State(const Scenario& wanted)
    : scenario(wanted),
      rng(wanted.seed),
      link(wanted.link, wanted.nodes, rng.next()),
      hash(wanted.seed),
      nodes(wanted.nodes),
      bytes_sent(wanted.nodes) {
  CHECK(wanted.nodes != 0 && (wanted.link.corrupt == 0 || wanted.real_sessions));
  CHECK(sodium_init() >= 0);
  for (Node& node : nodes) {
    node.clock_offset = {static_cast<std::int64_t>(rng.below(1'000'000'000'000'000)) +
                         1'000'000'000};
  }
  prepare_messages();
  plan();
}

void Simulator::State::prepare_messages() {
  std::array<std::uint8_t, crypto_sign_PUBLICKEYBYTES> public_key{};
  std::array<std::uint8_t, crypto_sign_SECRETKEYBYTES> secret_key{};
  std::array<std::uint8_t, crypto_sign_SEEDBYTES> seed{};
  for (std::uint8_t& byte : seed) byte = static_cast<std::uint8_t>(rng.next());
  crypto_sign_seed_keypair(public_key.data(), secret_key.data(), seed.data());
  const dataplane::Signer sign = [&](std::span<const std::uint8_t> text) {
    dataplane::Signature signature{};
    crypto_sign_detached(signature.data(), nullptr, text.data(), text.size(), secret_key.data());
    return signature;
  };
  messages.resize(scenario.publications.size());
  for (std::uint32_t i = 0; i < messages.size(); ++i) {
    const Publication& publication = scenario.publications[i];
    std::vector<std::uint8_t> payload(publication.size_bytes);
    for (std::size_t at = 0; at < payload.size(); at += 8) {
      const std::uint64_t word = rng.next();
      std::memcpy(payload.data() + at, &word, std::min<std::size_t>(8, payload.size() - at));
    }
    auto prepared = dataplane::prepare_message(std::move(payload), scenario.topic, public_key,
                                               i + 1, publication.at.ns, scenario.relay, sign);
    CHECK(prepared.has_value());
    messages[i] = {std::move(*prepared), publication, false};
    messages[i].prepared.cookie = i;
    message_of.emplace(messages[i].prepared.tag,
                       i);  // of two with the same bytes the first is meant
    MessageResult result;
    result.publisher = publication.node;
    result.size_bytes = publication.size_bytes;
    result.published_at = publication.at;
    result.delivered_at.assign(scenario.nodes, dataplane::never);
    outcomes.push_back(std::move(result));
  }
}

/// Puts everything the scenario names onto the heap.
void Simulator::State::plan() {
  for (NodeIndex n = 0; n < nodes.size(); ++n) {
    const auto spread = static_cast<std::uint64_t>(scenario.start_spread.ns);
    call_at(now + Duration{static_cast<std::int64_t>(rng.below(spread + 1))},
            [this, n] { start(n); });
  }
  for (std::uint32_t m = 0; m < messages.size(); ++m) {
    call_at(messages[m].publication.at, [this, m] { publish(m); });
  }
  for (const Crash& one : scenario.crashes) {
    const auto n = static_cast<NodeIndex>(one.node);
    call_at(one.at, [this, n] { crash(n); });
    if (one.restart_at != dataplane::never) call_at(one.restart_at, [this, n] { start(n); });
  }
  for (const Partition& one : scenario.partitions) {
    call_at(one.from + scenario.connection_patience, [this, &one] { break_across(one); });
  }
  call_at(scenario.faults_from, [this] { link.set_faults(!is_healed); });
}

void Simulator::State::push(Instant at, Kind kind, std::uint32_t index) {
  heap.push_back({std::max(at, now), order++, kind, index});
  std::push_heap(heap.begin(), heap.end(), is_later<Happening, Happening>);
}

void Simulator::State::call_at(Instant at, std::function<void()> what) {
  std::uint32_t index = static_cast<std::uint32_t>(calls.size());
  if (calls_free.empty()) {
    calls.push_back(std::move(what));
  } else {
    index = calls_free.back();
    calls_free.pop_back();
    calls[index] = std::move(what);
  }
  push(at, Kind::call, index);
}

void Simulator::State::mix(Bytes bytes) noexcept {
  std::uint64_t sum = bytes.size();
  std::size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8)
    sum = (sum ^ load_le<std::uint64_t>(bytes.data() + i)) * 0x9fb21c651e98df25ULL;
  for (; i < bytes.size(); ++i) sum = (sum ^ bytes[i]) * 0x9fb21c651e98df25ULL;
  mix(sum);
}

void Simulator::State::mix_event(Instant at, Kind kind, std::uint64_t subject) noexcept {
  mix(static_cast<std::uint64_t>(at.ns) ^ static_cast<std::uint64_t>(kind) << 60 ^ subject << 40);
}

/// Handles the earliest event if it is due by `until`.
bool Simulator::State::step(Instant until) {
  if (is_stuck || heap.empty() || heap.front().at > until) return false;
  std::pop_heap(heap.begin(), heap.end(), is_later<Happening, Happening>);
  const Happening next = heap.back();
  heap.pop_back();
  now = next.at;
  ++events_count;
  switch (next.kind) {
    case Kind::wake:
      wake(next.index);
      break;
    case Kind::arrive:
      arrive(next.index);
      break;
    case Kind::take:
      take(next.index);
      break;
    case Kind::call: {
      const std::function<void()> what = std::move(calls[next.index]);
      calls_free.push_back(next.index);
      mix_event(now, next.kind, 0);
      what();
      break;
    }
  }
  return true;
}

bool Simulator::State::is_partitioned(NodeIndex a, NodeIndex b) const noexcept {
  if (is_healed) return false;
  return std::any_of(scenario.partitions.begin(), scenario.partitions.end(),
                     [&](const Partition& partition) {
                       return partition.from <= now && now < partition.until &&
                              partition.is_far[a] != partition.is_far[b];
                     });
}

void Simulator::State::end_faults() {
  is_healed = true;
  link.set_faults(false);
  for (NodeIndex n = 0; n < nodes.size(); ++n) {
    if (!nodes[n].is_up) start(n);
  }
}

/// Says who is owed what: a node that has lived since before the publication, while a node that has
/// the message, the publisher or one it was delivered to, lives on.
void Simulator::State::judge(std::vector<MessageResult>& judged) const {
  std::vector<std::vector<bool>> has(judged.size(), std::vector<bool>(nodes.size()));
  for (const Arrival& arrival : arrivals) {
    if (nodes[arrival.node].is_up && nodes[arrival.node].life == arrival.life)
      has[arrival.message][arrival.node] = true;
  }
  for (std::size_t m = 0; m < judged.size(); ++m) {
    MessageResult& message = judged[m];
    message.is_owed.assign(nodes.size(), false);
    if (message.outcome == Outcome::failed || message.outcome == Outcome::not_tried) continue;
    const Node& publisher = nodes[message.publisher];
    const bool is_publisher_here = publisher.is_up && publisher.life == message.publisher_life;
    if (!is_publisher_here && std::find(has[m].begin(), has[m].end(), true) == has[m].end())
      continue;
    for (std::size_t n = 0; n < nodes.size(); ++n) {
      const bool is_publisher = n == message.publisher && is_publisher_here;
      message.is_owed[n] = nodes[n].is_up && nodes[n].born <= message.published_at && !is_publisher;
    }
  }
}

Results Simulator::State::results() {
  Results all;
  all.seed = scenario.seed;
  all.event_hash = hash;
  all.events = events_count;
  all.ended = now;
  all.is_stuck = is_stuck;
  all.messages = outcomes;
  all.arrivals = arrivals;
  all.lives = lives;
  judge(all.messages);
  Instant last{};
  bool is_whole = true;
  for (const MessageResult& message : all.messages) {
    for (std::size_t n = 0; n < nodes.size(); ++n) {
      if (!message.is_owed[n]) continue;
      is_whole = is_whole && message.delivered_at[n] != dataplane::never;
      last = std::max(last, message.delivered_at[n]);
    }
  }
  if (is_whole) all.completed = last;
  all.degree_min = scenario.mesh.degree_min;
  all.degree_max = scenario.mesh.degree_max;
  all.mesh.resize(nodes.size());
  for (NodeIndex n = 0; n < nodes.size(); ++n) {
    if (!nodes[n].is_up) continue;
    LifeResult life{n, nodes[n].life, nodes[n].born, dataplane::never, {}};
    for (std::size_t i = 0; i < dataplane::counter_count; ++i) {
      life.counters[i] = nodes[n].counters->value(static_cast<dataplane::Counter>(i));
    }
    all.lives.push_back(life);
    for (const std::string& peer : nodes[n].mesh->mesh_peers(scenario.topic))
      all.mesh[n].push_back(index_of_name(peer));
  }
  if (scenario.planted == Planted::ghost_graft && !all.mesh[0].empty()) {
    auto& back = all.mesh[all.mesh[0].front()];
    back.erase(std::remove(back.begin(), back.end(), 0u), back.end());
  }
  all.traffic = traffic;
  for (const Happening& one : heap) {
    if (one.kind == Kind::arrive || one.kind == Kind::take) ++all.traffic.on_the_way;
  }
  all.bytes_sent = bytes_sent;
  return all;
}

Simulator::Simulator(const Scenario& scenario) : state_(std::make_unique<State>(scenario)) {}
Simulator::~Simulator() = default;

void Simulator::run_until(Instant until) {
  while (state_->step(until)) {
  }
  state_->now = std::max(state_->now, until);
}

void Simulator::end_faults() { state_->end_faults(); }

bool Simulator::is_complete() {
  std::vector<MessageResult> messages = state_->outcomes;
  state_->judge(messages);
  for (const MessageResult& message : messages) {
    if (message.outcome == Outcome::not_tried && message.published_at > now()) return false;
    for (std::size_t n = 0; n < state_->nodes.size(); ++n) {
      if (message.is_owed[n] && message.delivered_at[n] == dataplane::never) return false;
    }
  }
  return true;
}

Results Simulator::results() { return state_->results(); }
Instant Simulator::now() const noexcept { return state_->now; }
bool Simulator::is_up(std::size_t node) const noexcept { return state_->nodes[node].is_up; }
const mesh::Mesh& Simulator::mesh(std::size_t node) const {
  CHECK(is_up(node));
  return *state_->nodes[node].mesh;
}

Results Simulator::run() {
  const Scenario& scenario = state_->scenario;
  Instant safety_end = scenario.faults_until;
  for (const Publication& one : scenario.publications) safety_end = std::max(safety_end, one.at);
  run_until(safety_end);
  end_faults();
  const Instant bound = now() + scenario.liveness;
  while (now() < bound && !is_complete() && !state_->is_stuck) {
    run_until(std::min(bound, now() + dataplane::milliseconds(50)));
  }
  if (!is_complete() || state_->is_stuck) return results();
  // Every table lets go of what it holds at the latest after these.
  const dataplane::RelayParams& relay = scenario.relay;
  run_until(now() + relay.keep_time + relay.incomplete_time + dataplane::seconds(5));
  return results();
}

}  // namespace corelay::sim
