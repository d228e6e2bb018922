// Corelay's own relay: the daemon's Relay at every node of the mesh. This does what an lcore does
// around it, and holds no protocol of its own. With the two-hop router every node has a session with
// every other, and its number is its peer index there; the mesh is the same as without.
//
// Shards may be carried short: the header says k and generations as they are but 64 bytes a shard,
// and the rest of each coded frame is charged to links and pacing
// (RelayParams::shard_bytes_elided).
#include <sodium.h>

#include <algorithm>
#include <cstring>

#include "codec/check.h"
#include "dataplane/blame.h"
#include "dataplane/core/frame.h"
#include "dataplane/core/header.h"
#include "dataplane/core/outbox.h"
#include "dataplane/core/relay.h"
#include "dataplane/core/session_table.h"
#include "dataplane/counters.h"
#include "dataplane/ingest.h"
#include "sim/routers.h"

namespace corelay::sim {
namespace {

using dataplane::Counter;
using dataplane::FrameKind;
using dataplane::PeerIndex;

constexpr std::uint32_t arrive_kind = 1;
constexpr std::uint32_t take_kind = 2;
constexpr std::uint32_t wake_kind = 3;
constexpr std::size_t short_shard_bytes = 64;
constexpr std::size_t packet_overhead_bytes = 60;  // 28 of IP and UDP, 32 of the session
constexpr std::string_view topic = "sim";
constexpr std::size_t calls_at_once_max = 100'000;
constexpr Duration notice = dataplane::milliseconds(500);  // until neighbours know a node is gone

/// Datagrams on their way, in slabs of two sizes, so that none is ever allocated twice.
class DatagramPool {
 public:
  struct Datagram {
    NodeId from, to;
    std::uint16_t slot;  // of the sender in the receiver's peer table
    std::uint16_t frame_bytes;
    std::uint32_t wire_bytes;
    std::uint32_t life;  // of the receiver
  };
  std::uint32_t take(std::size_t frame_bytes) {
    const std::uint32_t size = frame_bytes <= room(0) ? 0 : 1;
    Slabs& slabs = slabs_[size];
    if (slabs.free.empty()) {
      const auto base = static_cast<std::uint32_t>(slabs.memory.size() * each);
      slabs.memory.push_back(std::make_unique<std::uint8_t[]>(each * slot_bytes(size)));
      for (std::uint32_t i = each; i-- > 0;) slabs.free.push_back(base + i);
    }
    const std::uint32_t d = slabs.free.back();
    slabs.free.pop_back();
    return d << 1 | size;
  }
  void give(std::uint32_t d) { slabs_[d & 1].free.push_back(d >> 1); }
  [[nodiscard]] Datagram& operator[](std::uint32_t d) {
    return *reinterpret_cast<Datagram*>(at(d));
  }
  [[nodiscard]] std::uint8_t* frame(std::uint32_t d) { return at(d) + sizeof(Datagram); }

 private:
  static constexpr std::uint32_t each = 1024;
  static constexpr std::size_t slot_bytes(std::uint32_t size) { return size == 0 ? 256 : 2048; }
  static constexpr std::size_t room(std::uint32_t size) {
    return slot_bytes(size) - sizeof(Datagram);
  }
  [[nodiscard]] std::uint8_t* at(std::uint32_t d) {
    const std::uint32_t size = d & 1;
    const std::uint32_t slot = d >> 1;
    return slabs_[size].memory[slot / each].get() + (slot % each) * slot_bytes(size);
  }
  struct Slabs {
    std::vector<std::unique_ptr<std::uint8_t[]>> memory;
    std::vector<std::uint32_t> free;
  };
  std::array<Slabs, 2> slabs_;
};

class CorelayRouter final : public Router {
 public:
  CorelayRouter(Network& network, dataplane::Router router);
  void publish(std::uint32_t message) override;
  void on_event(const Event& event) override;
  void on_node_down(NodeId n) override;
  void on_node_up(NodeId n) override;
  void finish(PropagationResult& result) override;

 private:
  struct Node {
    std::unique_ptr<dataplane::Counters> counters;
    std::unique_ptr<dataplane::Relay> relay;
    Instant wake_at = dataplane::never;
    std::uint32_t life = 0;
    std::vector<std::uint8_t> is_cut;  // a neighbour: the link is down
    std::vector<dataplane::Blame> blames;         // a neighbour
  };

  [[nodiscard]] bool is_two_hop() const noexcept {
    return params_.router == dataplane::Router::two_hop;
  }
  [[nodiscard]] std::size_t peer_count(NodeId n) const noexcept {
    return is_two_hop() ? net_.scenario.nodes : net_.topology.neighbours(n).size();
  }
  /// Who `n` knows as peer `peer`, and what `n` is to it.
  [[nodiscard]] NodeId node_of(NodeId n, std::size_t peer) const noexcept {
    return is_two_hop() ? static_cast<NodeId>(peer) : net_.topology.neighbours(n)[peer];
  }
  [[nodiscard]] std::uint16_t peer_at(NodeId n, std::size_t peer) const noexcept {
    return is_two_hop() ? static_cast<std::uint16_t>(n) : net_.topology.back_slot(n, peer);
  }

  void prepare();
  void start(NodeId n);
  void command(NodeId n, const dataplane::Command& what);
  void set_route(NodeId n);
  void add_member(NodeId n, std::size_t peer);
  void drain(NodeId n);
  void settle(NodeId n);
  void transmit(NodeId n, const dataplane::TxItem& item);
  [[nodiscard]] Bytes altered(Bytes frame);
  [[nodiscard]] Bytes lie(Bytes frame);
  void arrive(std::uint32_t d);
  void take(std::uint32_t d);
  void on_relay_event(NodeId n, const dataplane::Event& event);
  void on_fault(NodeId n, const dataplane::PeerFaulted& fault);
  void cut(NodeId n, std::size_t slot);
  void count(const Node& node);

  Network& net_;
  dataplane::RelayParams params_;
  std::size_t shard_bytes_ = 0;  // real ones, of messages that are coded
  std::vector<Node> nodes_;
  std::vector<dataplane::PreparedMessage> prepared_;
  std::vector<std::pair<dataplane::MessageTag, std::uint32_t>> tags_;
  DatagramPool pool_;
  dataplane::Outbox outbox_{512, 256};
  std::vector<dataplane::Event> events_;
  std::vector<std::uint8_t> payload_;
  std::vector<std::uint8_t> altered_;  // a frame of a polluter
  std::array<std::uint64_t, dataplane::counter_count> totals_{};
  std::uint64_t coded_taken_ = 0, singles_taken_ = 0;  // frames handed to relays
  std::uint64_t under_way_bytes_ = 0;                  // on uplinks, paths and downlinks
  std::uint64_t wrong_ = 0, evicted_polluters_ = 0, evicted_honest_ = 0, altered_frames_ = 0;
};

CorelayRouter::CorelayRouter(Network& network, dataplane::Router router)
    : net_(network), params_(network.scenario.relay) {
  CHECK(sodium_init() >= 0);
  params_.router = router;
  if (is_two_hop() && params_.start_mult == 1.0) params_.start_mult = dataplane::two_hop_start_mult;
  prepare();
  const PropagationScenario& plan = net_.scenario;
  std::size_t peers = 1;
  for (NodeId n = 0; n < plan.nodes; ++n) peers = std::max(peers, peer_count(n));
  const dataplane::MessageHeader& header = prepared_.front().header;
  // Room for the messages under way and those of the round before; older ones make room.
  const std::size_t alive = plan.publishers * 2 + 2;
  params_.peers_max = peers;
  // One neighbour may open no more than half of what there is.
  params_.messages_max = params_.large_messages_max = 2 * std::min(alive, prepared_.size());
  params_.generations_max = params_.messages_max * header.generations;
  params_.cells_max = params_.generations_max * header.k;
  params_.messages_per_peer_max = params_.messages_max;
  params_.seen_max = std::max<std::size_t>(64, prepared_.size() * 2);
  params_.topics_max = 2;
  params_.link_frames_max = plan.nodes > 2000 ? 256 : 1024;  // memory
  if (is_two_hop()) params_.link_frames_max = 128;           // for each pair of nodes
  nodes_.resize(plan.nodes);
  for (NodeId n = 0; n < plan.nodes; ++n) {
    nodes_[n].is_cut.assign(peer_count(n), 0);
    nodes_[n].blames.assign(peer_count(n), {});
    if (is_two_hop()) nodes_[n].is_cut[n] = 1;  // to itself
  }
  for (NodeId n = 0; n < plan.nodes; ++n) start(n);
}

/// Makes every message of the run, with short shards where it is coded.
void CorelayRouter::prepare() {
  const PropagationScenario& plan = net_.scenario;
  const dataplane::Geometry geometry =
      dataplane::choose_geometry(plan.size_bytes, topic.size(), params_);
  CHECK(geometry.generations != 0);
  const bool is_single = geometry.k == 1 && geometry.generations == 1;
  shard_bytes_ = geometry.shard_bytes;
  const std::size_t shard = is_single ? shard_bytes_ : short_shard_bytes;
  params_.shard_bytes_elided = static_cast<std::uint16_t>(shard_bytes_ - shard);
  params_.cell_shard_bytes = static_cast<std::uint16_t>(is_single ? (shard + 63) / 64 * 64 : shard);
  std::array<std::uint8_t, crypto_sign_PUBLICKEYBYTES> public_key{};
  std::array<std::uint8_t, crypto_sign_SECRETKEYBYTES> secret_key{};
  std::array<std::uint8_t, crypto_sign_SEEDBYTES> seed{};
  for (std::uint8_t& byte : seed) byte = static_cast<std::uint8_t>(net_.rng.next());
  crypto_sign_seed_keypair(public_key.data(), secret_key.data(), seed.data());
  for (std::size_t m = 0; m < net_.messages.size(); ++m) {
    dataplane::PreparedMessage one;
    one.payload.resize(std::size_t{geometry.k} * geometry.generations * shard);
    for (std::size_t at = 0; at < one.payload.size(); at += 8) {
      const std::uint64_t word = net_.rng.next();
      std::memcpy(one.payload.data() + at, &word,
                  std::min<std::size_t>(8, one.payload.size() - at));
    }
    dataplane::Sha256 sha;
    sha.update(one.payload);
    dataplane::MessageHeader& header = one.header;
    header.id = sha.finish();
    header.publisher = public_key;
    header.sequence = m + 1;
    header.size_bytes = static_cast<std::uint32_t>(one.payload.size());
    header.k = geometry.k;
    header.shard_bytes = static_cast<std::uint16_t>(shard);
    header.generations = geometry.generations;
    header.topic_bytes = static_cast<std::uint8_t>(topic.size());
    std::copy(topic.begin(), topic.end(), header.topic_text.begin());
    const std::size_t generation_bytes = std::size_t{geometry.k} * shard;
    for (std::size_t g = 0; g < geometry.generations; ++g) {
      one.digests.push_back(
          dataplane::digest_of(Bytes{one.payload}.subspan(g * generation_bytes, generation_bytes)));
    }
    for (const dataplane::Digest& digest : one.digests) sha.update(digest);
    header.digest_root = sha.finish();
    one.encoded_header.resize(dataplane::encoded_header_bytes(header));
    dataplane::write_header(header, one.encoded_header.data());
    std::array<std::uint8_t, dataplane::signed_bytes_max> text;
    const std::size_t text_bytes = dataplane::signed_bytes(one.encoded_header, text);
    crypto_sign_detached(header.signature.data(), nullptr, text.data(), text_bytes,
                         secret_key.data());
    dataplane::write_header(header, one.encoded_header.data());
    one.tag = dataplane::tag_of(header.id, topic);
    one.topic_hash = dataplane::topic_hash(topic);
    one.cookie = m;
    tags_.emplace_back(one.tag, static_cast<std::uint32_t>(m));
    prepared_.push_back(std::move(one));
  }
}

void CorelayRouter::start(NodeId n) {
  Node& node = nodes_[n];
  ++node.life;
  node.wake_at = dataplane::never;
  node.counters = std::make_unique<dataplane::Counters>();
  dataplane::RelayParams params = params_;
  if (net_.scenario.is_uplink_known) {
    params.rate_bytes_per_second_max = static_cast<std::uint64_t>(0.98 * net_.topology.up_bytes_per_second(n));
  }
  node.relay = std::make_unique<dataplane::Relay>(params, net_.rng.next(), *node.counters);
  for (std::size_t slot = 0; slot < node.is_cut.size(); ++slot) {
    if (node.is_cut[slot] != 0) continue;
    dataplane::PeerUp up;
    up.peer = static_cast<PeerIndex>(slot);
    up.path_mtu_bytes = params_.path_mtu_bytes;
    const NodeId other = node_of(n, slot);
    up.rtt = net_.topology.delay(n, other) + net_.topology.delay(other, n);
    command(n, up);
  }
  set_route(n);
  for (std::size_t peer = 0; is_two_hop() && peer < node.is_cut.size(); ++peer) {
    if (node.is_cut[peer] == 0) add_member(n, peer);
  }
  settle(n);
}

void CorelayRouter::add_member(NodeId n, std::size_t peer) {
  command(n, dataplane::MemberSet{dataplane::topic_hash(topic), static_cast<PeerIndex>(peer), true});
}

void CorelayRouter::set_route(NodeId n) {
  const Node& node = nodes_[n];
  dataplane::RouteSet route;
  route.topic = dataplane::topic_hash(topic);
  route.deliver = true;
  const auto neighbours = net_.topology.neighbours(n);
  for (std::size_t slot = 0; slot < neighbours.size(); ++slot) {
    const std::size_t peer = is_two_hop() ? neighbours[slot] : slot;
    if (node.is_cut[peer] == 0 && route.count < dataplane::next_hops_max)
      route.next_hops[route.count++] = static_cast<PeerIndex>(peer);
  }
  command(n, route);
}

void CorelayRouter::publish(std::uint32_t message) {
  const NodeId n = net_.messages[message].publisher;
  command(n, dataplane::Publish{&prepared_[message]});
  settle(n);
}

void CorelayRouter::command(NodeId n, const dataplane::Command& what) {
  nodes_[n].relay->on_command(net_.now(), what, outbox_);
  drain(n);
}

void CorelayRouter::drain(NodeId n) {
  for (const dataplane::TxItem& item : outbox_.items()) transmit(n, item);
  events_.insert(events_.end(), outbox_.events().begin(), outbox_.events().end());
  outbox_.clear();
}

/// Calls the relay until it has no more to do now, answers its events, and plans the next call.
void CorelayRouter::settle(NodeId n) {
  Node& node = nodes_[n];
  for (std::size_t calls = 0;; ++calls) {
    CHECK(calls < calls_at_once_max);
    if (!events_.empty()) {
      std::vector<dataplane::Event> happened;
      happened.swap(events_);
      for (const dataplane::Event& event : happened) on_relay_event(n, event);
    } else if (node.relay->next_deadline() <= net_.now()) {
      node.relay->on_tick(net_.now(), outbox_);
      drain(n);
    } else {
      break;
    }
  }
  const Instant due = node.relay->next_deadline();
  if (due >= node.wake_at || due == dataplane::never) return;
  node.wake_at = due;
  net_.push(due, wake_kind, n, node.life);
}

/// What a polluter sends in place of `frame`; `frame` itself where it has nothing to change.
Bytes CorelayRouter::altered(Bytes frame) {
  const auto kind = static_cast<FrameKind>(frame[0]);
  if (net_.scenario.pollution == Pollution::lies_about_rank) {
    return kind == FrameKind::feedback ? lie(frame) : frame;
  }
  const bool is_bytes = net_.scenario.pollution == Pollution::wrong_bytes;
  if ((!is_bytes && net_.scenario.pollution != Pollution::wrong_mixtures) || kind != FrameKind::coded) return frame;
  const auto coded = dataplane::parse_coded(frame);
  const bool is_vouched = coded && coded->form != dataplane::CodedForm::vector && coded->hop != dataplane::Hop::second;
  if (!is_bytes && is_vouched) return frame;
  altered_.assign(frame.begin(), frame.end());
  altered_[altered_.size() - 1 - net_.rng.below(8)] ^= 0x5a;
  ++altered_frames_;
  return altered_;
}

/// Of every message it says that it has nothing of it and still wants it, also where it has all.
/// What the link needs, acknowledgements and delay, stays true, and the frame is a valid one.
Bytes CorelayRouter::lie(Bytes frame) {
  const auto honest = dataplane::parse_feedback(frame);
  CHECK(honest.has_value());
  std::array<std::uint64_t, dataplane::ack_words_max> words{};
  for (std::size_t i = 0; i < honest->word_count; ++i)
    words[i] = load_le<std::uint64_t>(&honest->words[i * sizeof(std::uint64_t)]);
  const dataplane::MessageHeader& header = prepared_.front().header;
  const std::vector<std::uint8_t> all(header.generations, static_cast<std::uint8_t>(header.k));
  altered_.resize(params_.path_mtu_bytes - packet_overhead_bytes);
  dataplane::FeedbackWriter writer(altered_.data(), altered_.size());
  writer.begin(honest->highest_sequence, honest->delay_us, honest->number, honest->arrival_us,
               std::span(words).first(honest->word_count));
  Bytes rest = honest->statuses;
  bool is_changed = false;
  while (auto status = dataplane::next_status(rest)) {
    const bool is_about_rank = status->state == dataplane::StatusState::wanting ||
                               status->state == dataplane::StatusState::full;
    if (is_about_rank) {
      status->state = dataplane::StatusState::wanting;
      status->want = std::max<std::uint16_t>(status->want, header.k);
      status->first_generation = 0;
      status->deficits = all;
    }
    if (writer.add(*status)) is_changed = is_changed || is_about_rank;
  }
  if (!is_changed) return frame;
  altered_.resize(writer.size());
  ++altered_frames_;
  return altered_;
}

void CorelayRouter::transmit(NodeId n, const dataplane::TxItem& item) {
  Node& node = nodes_[n];
  if (node.is_cut[item.peer] != 0) return;
  const auto kind = static_cast<FrameKind>(item.frame[0]);
  const bool is_data =
      kind == FrameKind::coded || kind == FrameKind::single || kind == FrameKind::announce;
  const Topology& topology = net_.topology;
  const bool is_mute =
      topology.is_silent(n) ||
      (topology.is_polluter(n) && net_.scenario.pollution == Pollution::never_forwards);
  if (is_mute && is_data) return;
  Bytes frame = item.bytes();
  if (topology.is_polluter(n)) frame = altered(frame);
  const std::size_t elided = kind == FrameKind::coded ? params_.shard_bytes_elided : 0;
  const std::size_t bytes = frame.size() + elided + packet_overhead_bytes;
  const NodeId to = node_of(n, item.peer);
  Instant arrives{};
  if (!net_.send(n, to, bytes, arrives)) return;
  under_way_bytes_ += bytes;
  const std::uint32_t d = pool_.take(frame.size());
  pool_[d] = {n,
              to,
              peer_at(n, item.peer),
              static_cast<std::uint16_t>(frame.size()),
              static_cast<std::uint32_t>(bytes),
              nodes_[to].life};
  std::memcpy(pool_.frame(d), frame.data(), frame.size());
  net_.push(arrives, arrive_kind, to, d);
}

void CorelayRouter::arrive(std::uint32_t d) {
  const DatagramPool::Datagram& datagram = pool_[d];
  Instant through{};
  const bool is_here = net_.is_up(datagram.to) && nodes_[datagram.to].life == datagram.life;
  if (!is_here) net_.account.lost += datagram.wire_bytes;
  if (!is_here || !net_.receive(datagram.from, datagram.to, datagram.wire_bytes, through)) {
    under_way_bytes_ -= datagram.wire_bytes;
    return pool_.give(d);
  }
  net_.push(through, take_kind, datagram.to, d);
}

void CorelayRouter::take(std::uint32_t d) {
  const DatagramPool::Datagram datagram = pool_[d];
  const NodeId n = datagram.to;
  Node& node = nodes_[n];
  under_way_bytes_ -= datagram.wire_bytes;
  const bool is_here = net_.is_up(n) && node.life == datagram.life;
  if (!is_here || node.is_cut[datagram.slot] != 0) {
    net_.account.lost += datagram.wire_bytes;
    return pool_.give(d);
  }
  const std::uint8_t* frame = pool_.frame(d);
  net_.mix(load_le<std::uint64_t>(frame) ^
           load_le<std::uint64_t>(frame + datagram.frame_bytes - 8));
  switch (static_cast<FrameKind>(frame[0])) {
    case FrameKind::coded:
      ++coded_taken_;
      net_.account.header += static_cast<double>(datagram.wire_bytes - shard_bytes_);
      break;
    case FrameKind::single:
      ++singles_taken_;
      net_.account.header +=
          static_cast<double>(datagram.wire_bytes) - static_cast<double>(net_.scenario.size_bytes);
      break;
    default:
      net_.account.control += datagram.wire_bytes;
  }
  const dataplane::RxFrame received{datagram.slot, {frame, datagram.frame_bytes}};
  node.relay->on_burst(net_.now(), {&received, 1}, outbox_);
  pool_.give(d);
  drain(n);
  settle(n);
}

void CorelayRouter::on_event(const Event& event) {
  switch (event.kind()) {
    case arrive_kind:
      return arrive(event.index);
    case take_kind:
      return take(event.index);
    default: {
      Node& node = nodes_[event.node()];
      // Planned in an earlier life, or overtaken by a sooner one.
      if (node.relay == nullptr || node.life != event.index || node.wake_at != net_.now()) return;
      node.wake_at = dataplane::never;
      return settle(event.node());
    }
  }
}

void CorelayRouter::on_relay_event(NodeId n, const dataplane::Event& event) {
  if (const auto* delivered = std::get_if<dataplane::Delivered>(&event)) {
    const auto found = std::find_if(tags_.begin(), tags_.end(), [&](const auto& one) {
      return one.first == delivered->message.tag;
    });
    CHECK(found != tags_.end());
    payload_.resize(delivered->message.header->size_bytes);
    dataplane::copy_payload(delivered->message, payload_);
    if (payload_ == prepared_[found->second].payload) {
      net_.delivered(found->second, n);
    } else {
      ++wrong_;
    }
    command(n, dataplane::Release{delivered->message.handle});
  } else if (const auto* fault = std::get_if<dataplane::PeerFaulted>(&event)) {
    on_fault(n, *fault);
  }
}

/// What control does with blame (control/node/peers.cpp): a neighbour whose score passes the
/// limit leaves the mesh, here for good.
void CorelayRouter::on_fault(NodeId n, const dataplane::PeerFaulted& fault) {
  const PeerIndex peer = fault.peer;
  Node& node = nodes_[n];
  if (node.is_cut[peer] != 0 || net_.topology.is_polluter(n)) return;
  const PropagationScenario& plan = net_.scenario;
  const double score = node.blames[peer].add(net_.now(), fault.fault, plan.evict_half_life_ms / 1e3);
  if (score <= plan.evict_score) return;
  const NodeId other = node_of(n, peer);
  ++(net_.topology.is_polluter(other) ? evicted_polluters_ : evicted_honest_);
  const std::uint16_t back = peer_at(n, peer);
  cut(n, peer);
  net_.call_at(net_.now() + net_.topology.delay(n, other), [this, other, back] {
    if (nodes_[other].relay == nullptr) return;
    cut(other, back);
    settle(other);
  });
}

void CorelayRouter::cut(NodeId n, std::size_t slot) {
  if (nodes_[n].is_cut[slot] != 0) return;
  nodes_[n].is_cut[slot] = 1;
  set_route(n);
  command(n, dataplane::PeerDown{static_cast<PeerIndex>(slot)});
}

void CorelayRouter::on_node_down(NodeId n) {
  count(nodes_[n]);
  nodes_[n].relay.reset();
  const std::uint32_t life = nodes_[n].life;
  net_.call_at(net_.now() + notice, [this, n, life] {
    if (nodes_[n].life != life) return;
    for (std::size_t slot = 0; slot < peer_count(n); ++slot) {
      const NodeId other = node_of(n, slot);
      if (other == n || nodes_[other].relay == nullptr) continue;
      cut(other, peer_at(n, slot));
      settle(other);
    }
  });
}

void CorelayRouter::on_node_up(NodeId n) {
  Node& node = nodes_[n];
  for (std::size_t slot = 0; slot < peer_count(n); ++slot) {
    const NodeId there = node_of(n, slot);
    if (there == n) continue;
    const std::size_t back = peer_at(n, slot);
    Node& other = nodes_[there];
    node.is_cut[slot] = other.relay == nullptr ? 1 : 0;
    if (other.relay == nullptr) continue;
    cut(there, back);  // if the time was too short for it to notice
    other.is_cut[back] = 0;
    dataplane::PeerUp up;
    up.peer = static_cast<PeerIndex>(back);
    up.path_mtu_bytes = params_.path_mtu_bytes;
    command(there, up);
    set_route(there);
    if (is_two_hop()) add_member(there, back);
    settle(there);
  }
  start(n);
}

void CorelayRouter::count(const Node& node) {
  for (std::size_t i = 0; i < dataplane::counter_count; ++i)
    totals_[i] += node.counters->value(static_cast<Counter>(i));
}

void CorelayRouter::finish(PropagationResult& result) {
  for (const Node& node : nodes_) {
    if (node.relay != nullptr) count(node);
  }
  const auto total = [&](Counter which) {
    return static_cast<double>(totals_[static_cast<std::size_t>(which)]);
  };
  const auto shard = static_cast<double>(shard_bytes_);
  const double innovative = total(Counter::rx_coded_innovative_total);
  const double late = total(Counter::rx_coded_after_complete_total);
  const double fresh = total(Counter::rx_single_total) - total(Counter::rx_single_duplicate_total);
  const auto size = static_cast<double>(net_.scenario.size_bytes);
  net_.account.useful += innovative * shard + fresh * size;
  net_.account.after_full += late * shard;
  // All else that was taken, what relays dropped with it.
  net_.account.dependent += (static_cast<double>(coded_taken_) - innovative - late) * shard +
                            (static_cast<double>(singles_taken_) - fresh) * size;
  // The run ended before it was there.
  net_.account.lost += static_cast<double>(under_way_bytes_);
  result.wrong_deliveries = wrong_;
  result.altered_frames = altered_frames_;
  result.wrong_digests = totals_[static_cast<std::size_t>(Counter::drop_digest_total)];
  result.malformed_frames = totals_[static_cast<std::size_t>(Counter::drop_malformed_frame_total)];
  result.evicted_polluters = evicted_polluters_;
  result.evicted_honest = evicted_honest_;
}

}  // namespace

std::unique_ptr<Router> make_corelay_router(Network& network) {
  return std::make_unique<CorelayRouter>(network, dataplane::Router::mesh);
}

std::unique_ptr<Router> make_corelay_two_hop(Network& network) {
  return std::make_unique<CorelayRouter>(network, dataplane::Router::two_hop);
}

}  // namespace corelay::sim
