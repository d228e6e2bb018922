/// What a Simulator holds, shared by its source files: simulator.cpp (phases, event loop, results),
/// nodes.cpp (lives, connections, dials, sessions, control messages) and datagrams.cpp (relays and
/// the data they exchange).
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "codec/rng.h"
#include "control/mesh/mesh.h"
#include "dataplane/core/outbox.h"
#include "dataplane/core/relay.h"
#include "dataplane/core/session_table.h"
#include "dataplane/counters.h"
#include "dataplane/message.h"
#include "sim/link_model.h"
#include "sim/results.h"
#include "sim/simulator.h"

namespace corelay::sim {

using NodeIndex = std::uint32_t;
using ConnectionIndex = std::uint32_t;
inline constexpr std::size_t datagram_bytes_max = 2048;

/// A datagram on its way; where sessions are not real, the bare frame with its overhead only
/// counted.
struct Datagram {
  NodeIndex from = 0;
  NodeIndex to = 0;
  ConnectionIndex connection = 0;
  std::uint16_t bytes = 0;
  bool is_copy = false;
  std::array<std::uint8_t, datagram_bytes_max> data;
};

/// A control connection: ordered and reliable while it is open.
struct Connection {
  std::array<NodeIndex, 2> ends{};  // the dialler first
  bool is_open = true;
  std::array<std::deque<std::vector<std::uint8_t>>, 2> queues;  // towards ends[0], towards ends[1]
  std::array<Instant, 2> last{};
  std::array<dataplane::DirectionKeys, 2> keys{};  // of what arrives at ends[0], at ends[1]
};

struct Neighbour {
  NodeIndex node = 0;
  ConnectionIndex connection = 0;
  bool is_used = false;  // until the relay says peer_gone
  bool is_leaving = false;
};

struct Node {
  bool is_up = false;
  std::uint32_t life = 0;
  Instant born{};
  Duration clock_offset{};  // every node has its own origin of time
  std::unique_ptr<dataplane::Counters> counters;
  std::unique_ptr<dataplane::Relay> relay;
  std::unique_ptr<mesh::Mesh> mesh;
  std::unique_ptr<dataplane::SessionTable> sessions;
  std::vector<Neighbour> neighbours;  // by PeerIndex
  std::map<NodeIndex, dataplane::PeerIndex> index_of;
  std::map<NodeIndex, ConnectionIndex> connections;  // as this node believes
  std::deque<dataplane::Event> events;
  Instant wake_at = dataplane::never;
};

struct SimulatedMessage {
  dataplane::PreparedMessage prepared;
  Publication publication;
  bool is_started = false;
};

struct Simulator::State {
  enum class Kind : std::uint32_t { wake, arrive, take, call };
  struct Happening {
    Instant at{};
    std::uint64_t order = 0;
    Kind kind = Kind::call;
    std::uint32_t index = 0;  // node, datagram or call
  };

  explicit State(const Scenario& wanted);

  // simulator.cpp
  void push(Instant at, Kind kind, std::uint32_t index);
  void call_at(Instant at, std::function<void()> what);
  bool step(Instant until);
  void mix(std::uint64_t value) noexcept { hash = Rng(hash ^ value).next(); }
  void mix(Bytes bytes) noexcept;
  void mix_event(Instant at, Kind kind, std::uint64_t subject) noexcept;
  void prepare_messages();
  void plan();
  void end_faults();
  void judge(std::vector<MessageResult>& messages) const;
  [[nodiscard]] bool is_partitioned(NodeIndex a, NodeIndex b) const noexcept;
  [[nodiscard]] Results results();

  // nodes.cpp
  void start(NodeIndex n);
  void crash(NodeIndex n);
  void publish(std::uint32_t message);
  void with_mesh(NodeIndex n,
                 const std::function<void(mesh::Mesh&, Instant, mesh::MeshOutbox&)>& act);
  void perform(NodeIndex n, const mesh::MeshAction& action);
  void send_control(NodeIndex n, const mesh::SendControl& control);
  void deliver_control(ConnectionIndex c, std::size_t end);
  void dial(NodeIndex n, const mesh::PeerAddresses& target);
  void finish_dial(NodeIndex n, const mesh::PeerAddresses& target);
  ConnectionIndex connect(NodeIndex from, NodeIndex to);
  void accept(NodeIndex n, NodeIndex remote, ConnectionIndex c, bool is_outbound);
  void session_up(ConnectionIndex c, std::size_t end);
  void lose_connection(NodeIndex n, NodeIndex remote, ConnectionIndex c);
  void close(ConnectionIndex c, Duration notice_a, Duration notice_b);
  void set_route(NodeIndex n, const mesh::RouteChanged& route);
  void break_across(const Partition& partition);
  void plan_wake(NodeIndex n);
  void wake(NodeIndex n);
  [[nodiscard]] Instant local(NodeIndex n) const noexcept { return now + nodes[n].clock_offset; }

  // datagrams.cpp
  void command(NodeIndex n, const dataplane::Command& what);
  void drain(NodeIndex n);
  void settle(NodeIndex n);
  void transmit(NodeIndex n, const dataplane::TxItem& item);
  void launch(const Passage& passage, Instant at, std::uint32_t datagram);
  void arrive(std::uint32_t d);
  void take(std::uint32_t d);
  [[nodiscard]] bool open(Node& node, Datagram& datagram, dataplane::RxFrame& frame);
  void on_event(NodeIndex n, const dataplane::Event& event);
  void on_delivered(NodeIndex n, const dataplane::Delivered& delivered);
  void on_outcome(const dataplane::PreparedMessage* prepared, Outcome outcome,
                  dataplane::PublishFailure failure);
  [[nodiscard]] std::uint32_t take_datagram();
  void drop_datagram(std::uint32_t d) { datagrams_free.push_back(d); }

  const Scenario scenario;
  Rng rng;
  LinkModel link;
  Instant now{};
  std::uint64_t hash = 0;
  std::uint64_t events_count = 0;
  std::uint64_t order = 0;
  bool is_stuck = false;
  bool is_healed = false;
  std::vector<Happening> heap;
  std::deque<std::function<void()>> calls;
  std::vector<std::uint32_t> calls_free;
  std::deque<Datagram> datagrams;
  std::vector<std::uint32_t> datagrams_free;
  std::vector<Node> nodes;
  std::deque<Connection> connections;
  std::vector<SimulatedMessage> messages;
  std::map<dataplane::MessageTag, std::uint32_t> message_of;
  std::vector<MessageResult> outcomes;
  std::vector<Arrival> arrivals;
  std::vector<LifeResult> lives;
  Traffic traffic;
  std::vector<std::uint64_t> bytes_sent;
  dataplane::Outbox outbox{512, 256};
  std::vector<std::uint8_t> payload_buffer;
  bool is_planted = false;  // the planted fault has happened
};

/// "n0003": sorts as the numbers do.
[[nodiscard]] std::string name_of(NodeIndex n);
[[nodiscard]] std::string address_of(NodeIndex n);
[[nodiscard]] NodeIndex index_of_name(const std::string& name);

}  // namespace corelay::sim
