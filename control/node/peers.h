/// The node's peers: drives the mesh with libp2p connections, agrees on a session with each peer, and tells the data
/// plane about sessions and routes. Everything runs on the control thread.
///
/// A peer goes through: connected (libp2p) -> control stream each way (/corelay/mesh/1) and session
/// (/corelay/session/1) -> routes. Nothing is said or read on the control streams before the session stands: a node of
/// another cluster learns nothing of this one, and is passed on to nobody. Who dialled the connection opens the
/// session; a listener that waited in vain opens it itself. When both open one at once, the one of the greater peer id
/// stands. Losing a control stream or a first session ends the connection, and the mesh dials again.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <deque>
#include <functional>
#include <unordered_map>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "control/libp2p/host.h"
#include "control/mesh/mesh.h"
#include "control/node/address_swaps.h"
#include "control/node/commands.h"
#include "control/node/config.h"
#include "control/node/peer_indexes.h"
#include "control/node/peer_rates.h"
#include "control/node/repeats.h"
#include "control/node/session.h"
#include "dataplane/blame.h"

namespace corelay::node {

inline constexpr std::string_view mesh_protocol = "/corelay/mesh/1";

/// What the APIs show of a peer.
struct PeerStatus {
  std::string peer;
  std::string address;
  std::string agent;
  bool is_outbound = false;
  bool has_session = false;
  std::uint64_t faults = 0;
};

/// CLOCK_MONOTONIC as the mesh takes it.
[[nodiscard]] dataplane::Instant monotonic_now();

class Peers {
 public:
  using Traced = std::function<void(const mesh::Traced&)>;

  /// `terms` is what sessions say of us. The references outlive this object.
  Peers(boost::asio::io_context& io, libp2p::Host& host, CommandQueue& commands, const NodeConfig& config,
        SessionTerms terms, std::vector<std::string> own_addresses, Traced traced);
  ~Peers();
  Peers(const Peers&) = delete;
  Peers& operator=(const Peers&) = delete;

  /// Serves the protocols and dials the bootstrap peers (multiaddrs that parse).
  void start(const std::vector<libp2p::Multiaddr>& bootstrap);
  /// Says goodbye to every peer and does nothing more.
  void stop();

  /// False where the topic is not 1 to 255 bytes or there are too many.
  bool subscribe(const std::string& topic);
  void unsubscribe(const std::string& topic);
  /// Keeps a route to publish on `topic` for the next minute.
  bool want_route(const std::string& topic);

  void on_peer_gone(dataplane::PeerIndex index);
  void on_faulted(const dataplane::PeerFaulted& fault);

  /// The peer behind an index, also while it is going away; null for none.
  [[nodiscard]] const libp2p::PeerId* peer_at(dataplane::PeerIndex index) const;
  [[nodiscard]] std::size_t sessions() const noexcept { return sessions_; }
  /// Since start: peers refused for what does not match, counted each time; exchanges refused for coming too often.
  [[nodiscard]] std::uint64_t refused() const noexcept { return refused_; }
  [[nodiscard]] std::uint64_t exchanges_refused() const noexcept { return exchanges_refused_; }
  /// Members that the data plane was told of, over all topics; none with relay.router = "mesh".
  [[nodiscard]] std::size_t members() const noexcept;
  [[nodiscard]] const mesh::Mesh& mesh() const noexcept { return mesh_; }
  [[nodiscard]] std::vector<PeerStatus> status() const;

 private:
  struct Peer {
    explicit Peer(boost::asio::io_context& io) : timer(io) {}
    libp2p::PeerId id;
    libp2p::Multiaddr remote;
    std::string agent;
    bool is_outbound = false;
    bool is_refused = false;   // it does not belong here, and has been told
    bool is_foreign = false;   // a libp2p peer that does not speak our protocols
    bool is_opening = false;   // a session stream of ours is being negotiated
    bool is_dialer = false;    // of the exchange under way, else of the session
    bool has_session = false;
    dataplane::PeerIndex index = dataplane::peer_none;
    dataplane::SessionKeys keys;
    std::shared_ptr<SessionExchange> exchange;
    boost::asio::steady_timer timer;  // first the wait for the peer's session, then the rekey
    libp2p::StreamPtr mesh_in;
    libp2p::StreamPtr mesh_read;  // mesh_in once it is being read
    libp2p::StreamPtr mesh_out;
    std::deque<std::vector<std::uint8_t>> unsent;  // control messages until mesh_out is open and the session stands
    std::size_t unsent_bytes = 0;
    dataplane::Blame blame;
    std::uint64_t faults = 0;
  };
  using PeerPtr = std::shared_ptr<Peer>;

  // connections (peers.cpp)
  void on_connected(const libp2p::ConnectionInfo& info);
  void on_disconnected(const libp2p::PeerId& id);
  void note_addresses(const libp2p::PeerId& id, const libp2p::PeerIdentity& identity);
  void drop(const PeerPtr& peer, std::string_view why);
  void refuse(const PeerPtr& peer, const std::string& why, bool is_dialer);
  void set_foreign(const PeerPtr& peer);
  [[nodiscard]] PeerPtr find(const libp2p::PeerId& id) const;
  [[nodiscard]] PeerPtr find(const std::string& name) const;
  [[nodiscard]] bool is_current(const PeerPtr& peer) const;

  // mesh (peers_mesh.cpp)
  template <class Call>
  void with_mesh(Call call);
  void start_mesh(const std::vector<libp2p::Multiaddr>& bootstrap);
  void tell_mesh_connected(const PeerPtr& peer);
  void tell_mesh_disconnected(const PeerPtr& peer);
  void tell_mesh_session(const PeerPtr& peer);
  void tell_mesh_refused(const PeerPtr& peer);
  void act(const mesh::MeshAction& action);
  void dial(const mesh::PeerAddresses& target, std::size_t next);
  void send_control(const std::string& name, std::vector<std::uint8_t> bytes);
  void begin_control(const PeerPtr& peer);
  void install_route(const mesh::RouteChanged& route);
  void open_mesh_stream(const PeerPtr& peer);
  void accept_mesh_stream(libp2p::StreamPtr stream);
  void read_control(const PeerPtr& peer, const libp2p::StreamPtr& stream);
  void schedule_tick();
  void schedule_members();
  void update_members();

  // sessions (peers_session.cpp)
  void open_session(const PeerPtr& peer, bool is_rekey);
  void accept_session(libp2p::StreamPtr stream);
  void exchange_keys(const PeerPtr& peer, libp2p::StreamPtr stream, bool is_dialer, std::uint32_t replaces_key_id);
  void on_exchanged(const PeerPtr& peer, bool is_dialer, bool is_rekey_asked, Expected<AgreedSession> outcome);
  void end_session(const PeerPtr& peer);
  void wait_for_session(const PeerPtr& peer);
  void rekey_later(const PeerPtr& peer, std::chrono::milliseconds after);
  [[nodiscard]] std::uint32_t next_key_id();

  boost::asio::io_context& io_;
  libp2p::Host& host_;
  CommandQueue& commands_;
  SessionTerms terms_;
  std::chrono::seconds rekey_;
  Traced traced_;
  mesh::Mesh mesh_;
  std::deque<mesh::MeshAction> actions_;
  bool is_acting_ = false;
  bool is_stopped_ = false;
  boost::asio::steady_timer tick_;
  dataplane::Instant tick_at_ = dataplane::never;
  bool is_two_hop_;
  boost::asio::steady_timer members_due_;
  bool is_members_due_ = false;
  std::map<std::string, std::set<dataplane::PeerIndex>> members_;  // of topics with a route, as the data plane knows
  std::unordered_map<libp2p::PeerId, PeerPtr, libp2p::PeerIdHash> peers_;
  PeerIndexes indexes_;
  std::uint32_t last_key_id_ = 0;
  std::size_t sessions_ = 0;
  PeerRates exchange_rates_;
  AddressSwaps address_swaps_;
  Repeats repeats_;
  std::uint64_t refused_ = 0;
  std::uint64_t exchanges_refused_ = 0;
};

}  // namespace corelay::node
