#include "sim/transport.h"

#include <algorithm>

#include "codec/check.h"

namespace corelay::sim {
namespace {

constexpr std::uint32_t free_kind = 8;    // an uplink has sent what it had; index: the port
constexpr std::uint32_t arrive_kind = 9;  // index: the flight
constexpr std::uint32_t done_kind = 10;   // index: the parcel
constexpr std::uint32_t resend_kind = 11;

/// Segments sent in one turn: one for what is short, a few for long messages, whose times do not
/// depend on it and whose events would be many.
std::uint32_t segments_a_turn(std::uint32_t bytes) {
  return std::clamp<std::uint32_t>(bytes / (128 * 1024), 1, 8);
}

std::size_t wire_bytes(std::size_t bytes) {
  const std::size_t segments = (bytes + segment_payload_bytes - 1) / segment_payload_bytes;
  return bytes + segments * segment_overhead_bytes;
}

}  // namespace

Transport::Transport(Network& network, Sharing sharing, Taken taken)
    : net_(network), sharing_(sharing), taken_(std::move(taken)), queued_(network.scenario.nodes) {
  ports_.resize(network.scenario.nodes);
}

std::uint32_t Transport::port_of(NodeId from, NodeId to) {
  if (!net_.scenario.is_link_shaped) return from;
  const auto [at, is_new] = link_ports_.try_emplace(std::uint64_t{from} << 32 | to,
                                                    static_cast<std::uint32_t>(ports_.size()));
  if (is_new) ports_.emplace_back();
  return at->second;
}

ParcelId Transport::send(const Parcel& parcel) {
  CHECK(parcel.bytes != 0);
  auto id = static_cast<ParcelId>(parcels_.size());
  if (free_.empty()) {
    parcels_.emplace_back();
  } else {
    id = free_.back();
    free_.pop_back();
  }
  State& state = parcels_[id];
  state = State{};
  state.about = parcel;
  state.left = state.missing = parcel.bytes;
  state.seed = segments_a_turn(parcel.bytes);
  enqueue(id);
  return id;
}

void Transport::enqueue(ParcelId id) {
  State& state = parcels_[id];
  if (state.is_queued) return;
  const std::uint32_t port = port_of(state.about.from, state.about.to);
  state.is_queued = true;
  ++queued_[state.about.from];
  ++queued_all_;
  (state.about.is_control ? ports_[port].urgent : ports_[port].waiting).push_back(id);
  if (!ports_[port].is_busy) pump(state.about.from, port);
}

/// Lets the port send its next segments.
void Transport::pump(NodeId n, std::uint32_t p) {
  for (;;) {
    Port& port = ports_[p];
    std::deque<ParcelId>& queue = port.urgent.empty() ? port.waiting : port.urgent;
    if (queue.empty()) {
      port.is_busy = false;
      return;
    }
    const ParcelId id = queue.front();
    State& state = parcels_[id];
    if (state.is_cancelled || state.left == 0) {
      queue.pop_front();
      state.is_queued = false;
      --queued_[n];
      --queued_all_;
      release(id);
      continue;
    }
    if (sharing_ == Sharing::parallel && queue.size() > 1) {
      queue.pop_front();
      queue.push_back(id);
    }
    port.is_busy = true;
    return transmit(id, p);
  }
}

void Transport::transmit(ParcelId id, std::uint32_t port) {
  State& state = parcels_[id];
  const Parcel& about = state.about;
  const auto bytes = std::min<std::uint32_t>(
      state.left, state.seed * static_cast<std::uint32_t>(segment_payload_bytes));
  state.left -= bytes;
  const Instant departs = net_.occupy_uplink(about.from, about.to, wire_bytes(bytes));
  net_.push(departs, free_kind, about.from, port);
  // Segments are lost each by itself; those that are travel again one round trip later.
  std::uint32_t lost = 0;
  for (std::uint32_t at = 0; at < bytes; at += segment_payload_bytes) {
    if (net_.is_lost(about.from, about.to))
      lost += std::min<std::uint32_t>(bytes - at, segment_payload_bytes);
  }
  const auto fly = [&](std::uint32_t amount, std::uint32_t kind, Instant at, NodeId node) {
    ++state.on_way;
    ++flying_;
    net_.push(at, kind, node, flights_.put({id, amount}));
  };
  if (lost != 0) {
    net_.account.lost += static_cast<double>(wire_bytes(lost));
    const Duration way = net_.topology.delay(about.from, about.to);
    fly(lost, resend_kind, departs + way * 2 + way / 4, about.from);
  }
  if (lost == bytes) return;
  const std::uint32_t rest = bytes - lost;
  const std::size_t around = wire_bytes(rest) - rest;
  if (about.is_control) {
    net_.account.control += static_cast<double>(wire_bytes(rest));
  } else {
    net_.account.header += static_cast<double>(around);
  }
  fly(rest, arrive_kind, net_.arrival(about.from, about.to, departs), about.to);
}

void Transport::resend(std::uint32_t flight) {
  const Flight lost = flights_.take(flight);
  --flying_;
  State& state = parcels_[lost.parcel];
  --state.on_way;
  if (state.is_cancelled || !net_.is_up(state.about.from)) return release(lost.parcel);
  state.left += lost.bytes;
  enqueue(lost.parcel);
}

void Transport::arrive(std::uint32_t f) {
  const Flight flight = flights_.take(f);
  --flying_;
  State& state = parcels_[flight.parcel];
  const Parcel about = state.about;
  const Instant through = net_.occupy_downlink(about.from, about.to, wire_bytes(flight.bytes));
  state.missing -= flight.bytes;
  if (!state.has_begun) {
    state.has_begun = true;
    if (on_begin && !state.is_cancelled && state.missing != 0) on_begin(flight.parcel, about);
  }
  State& now = parcels_[flight.parcel];  // on_begin may have sent something
  if (now.missing == 0 && !now.is_cancelled) {
    net_.push(through, done_kind, about.to, flight.parcel);
    return;  // `on_way` holds it until then
  }
  --now.on_way;
  release(flight.parcel);
}

bool Transport::cancel(ParcelId id) {
  State& state = parcels_[id];
  if (state.is_cancelled) return false;
  const bool is_untouched = state.left == state.about.bytes;
  if (state.left == 0 && state.on_way == 0 && !state.is_queued) return false;
  state.is_cancelled = true;
  if (!state.about.is_control)
    net_.account.dependent += static_cast<double>(state.about.bytes - state.left);
  state.left = 0;
  release(id);
  return is_untouched;
}

void Transport::release(ParcelId id) {
  const State& state = parcels_[id];
  if (state.is_queued || state.on_way != 0 || state.left != 0) return;
  if (state.missing == 0 || state.is_cancelled) {
    parcels_[id].about.from = parcels_[id].about.to = 0x0fffffff;
    parcels_[id].is_queued = true;  // nobody releases it twice
    free_.push_back(id);
  }
}

void Transport::drop_node(NodeId n) {
  for (ParcelId id = 0; id < parcels_.size(); ++id) {
    if (parcels_[id].about.from == n && parcels_[id].left != 0) cancel(id);
  }
}

void Transport::on_event(const Event& event) {
  switch (event.kind()) {
    case free_kind: {
      pump(event.node(), event.index);
      if (on_uplink_free && !ports_[event.index].is_busy) on_uplink_free(event.node());
      return;
    }
    case arrive_kind:
      return arrive(event.index);
    case resend_kind:
      return resend(event.index);
    case done_kind: {
      State& state = parcels_[event.index];
      const Parcel about = state.about;
      const bool is_taken = !state.is_cancelled && net_.is_up(about.to);
      --state.on_way;
      release(event.index);
      net_.mix(std::uint64_t{about.part} << 32 | about.kind);
      if (is_taken) taken_(about);
      return;
    }
    default:
      CHECK(false);
  }
}

}  // namespace corelay::sim
