/// Mesh membership, without sockets or clock: which topics we and our peers take part in, which
/// peers are our mesh for each topic, whom to dial. The daemon drives it with libp2p connections,
/// the simulator with simulated ones.
///
/// Peers are known by name (the peer id's text). The mesh follows gossipsub's rules for degree,
/// graft, prune and backoff (libp2p specs, gossipsub v1.1), without its message traffic, which is
/// the data plane's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "codec/bytes.h"
#include "dataplane/instant.h"

namespace corelay::mesh {

using dataplane::Duration;
using dataplane::Instant;

inline constexpr std::size_t control_bytes_max =
    1u << 20;                                         // one encoded MeshControl; larger is refused
inline constexpr std::size_t control_peers_max = 64;  // known peers in one MeshControl
inline constexpr std::size_t peer_name_bytes_max = 128;  // letters, digits, '-', '_' and '.'
inline constexpr std::size_t address_bytes_max = 256;
inline constexpr std::size_t addresses_per_peer_max = 8;
inline constexpr std::size_t bootstraps_max = 256;

/// Mesh brings it into range: 1 <= degree_min <= degree_target <= degree_max <= next_hops_max
/// (dataplane/command.h), topics_max <= 1024, exchange_max < control_peers_max.
struct MeshParams {
  std::size_t degree_target = 6;
  std::size_t degree_min = 3;
  std::size_t degree_max = 12;
  std::size_t connections_target =
      12;  // connections the mesh keeps by dialling peers it has heard of
  Duration heartbeat = dataplane::milliseconds(700);
  Duration prune_backoff = dataplane::seconds(10);
  Duration redial_min =
      dataplane::milliseconds(250);  // first retry; doubles with jitter up to redial_max
  Duration redial_max = dataplane::seconds(30);
  std::size_t connections_max = 128;   // above it a new peer is answered by Disconnect
  std::size_t known_peers_max = 1024;  // address book
  std::size_t topics_max = 1024;       // ours and each peer's
  std::size_t exchange_max = 16;       // addresses told to a new peer
};

/// A peer and where it can be dialled (multiaddr text without /p2p).
struct PeerAddresses {
  std::string peer;
  std::vector<std::string> addresses;
};

/// What the driver must do. In the order given.
struct SendControl {
  std::string peer;
  std::vector<std::uint8_t> bytes;  // one encoded MeshControl (proto/mesh.proto)
};
struct Dial {
  PeerAddresses target;
};
struct Disconnect {
  std::string peer;
};
/// The topic's next hops changed: mesh peers when we are subscribed, else peers we may publish
/// through. A subscribed node that no peer would take into its mesh publishes through subscribed
/// peers too.
struct RouteChanged {
  std::string topic;
  bool is_subscribed = false;
  std::vector<std::string> next_hops;
};
/// No more part in the topic.
struct RouteRemoved {
  std::string topic;
};
/// For traces and counters.
enum class MeshTrace : std::uint8_t { add_peer, remove_peer, join, leave, graft, prune };
struct Traced {
  MeshTrace kind = MeshTrace::join;
  std::string peer;
  std::string topic;
};
using MeshAction = std::variant<SendControl, Dial, Disconnect, RouteChanged, RouteRemoved, Traced>;
using MeshOutbox = std::vector<MeshAction>;

class Mesh {
 public:
  /// `self` is our own peer name, `own_addresses` what we tell others; `seed` drives every random
  /// choice.
  Mesh(const MeshParams& params, std::string self, std::vector<std::string> own_addresses,
       std::uint64_t seed);
  ~Mesh();
  Mesh(const Mesh&) = delete;
  Mesh& operator=(const Mesh&) = delete;

  /// Peers to keep connected to always. A name may be empty where only the address is known. At
  /// most bootstraps_max; more are ignored.
  void add_bootstrap(Instant now, PeerAddresses peer, MeshOutbox& out);
  void set_own_addresses(std::vector<std::string> addresses);

  /// Called again for a peer already connected (a new control stream: it may have restarted), it
  /// forgets what the peer said before and tells it everything anew.
  void on_connected(Instant now, const std::string& peer, bool is_outbound, MeshOutbox& out);
  void on_disconnected(Instant now, const std::string& peer, MeshOutbox& out);
  /// The session with a connected peer is ready: only such peers enter routes.
  void on_session(Instant now, const std::string& peer, MeshOutbox& out);
  void on_session_lost(Instant now, const std::string& peer, MeshOutbox& out);
  /// The peer does not belong here (another cluster, other settings): where it is only heard of, it is not dialled for
  /// ten minutes; a bootstrap peer is dialled with growing pauses as always.
  void on_refused(Instant now, const std::string& peer, MeshOutbox& out);
  /// How a Dial ended; a Dial never answered counts as failed after 30 s. on_dialled names the peer
  /// that the target led to (which matters where the target had no name); on_connected comes as
  /// well, before or after, where the connection is new.
  void on_dialled(Instant now, const PeerAddresses& target, const std::string& peer,
                  MeshOutbox& out);
  void on_dial_failed(Instant now, const PeerAddresses& target, MeshOutbox& out);
  /// One encoded MeshControl from a peer. False when it is malformed or over a bound; nothing
  /// changed then.
  [[nodiscard]] bool on_control(Instant now, const std::string& peer, Bytes control,
                                MeshOutbox& out);

  /// False, changing nothing, where the topic is not 1 to 255 bytes or topics_max is reached
  /// (want_route too).
  bool subscribe(Instant now, const std::string& topic, MeshOutbox& out);
  void unsubscribe(Instant now, const std::string& topic, MeshOutbox& out);
  /// We want to publish on a topic we may not be subscribed to: keeps a route to up to
  /// degree_target subscribed peers until it has not been asked for during 60 s.
  bool want_route(Instant now, const std::string& topic, MeshOutbox& out);

  void on_tick(Instant now, MeshOutbox& out);
  [[nodiscard]] Instant next_deadline() const noexcept;

  [[nodiscard]] std::vector<std::string> subscribed_topics() const;
  [[nodiscard]] std::vector<std::string> mesh_peers(const std::string& topic) const;
  [[nodiscard]] std::vector<std::string> topic_peers(
      const std::string& topic) const;  // all who subscribe, as they told us
  [[nodiscard]] std::vector<std::string> known_topics() const;  // ours and peers'
  [[nodiscard]] std::vector<std::string> connected_peers() const;
  [[nodiscard]] std::vector<PeerAddresses> address_book() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace corelay::mesh
