/// Whom to dial and when: bootstrap peers, redialled for ever, and peers heard of, dialled while
/// the mesh has fewer connections than it wants. Both wait between tries, twice as long each time,
/// with jitter. Bounded by MeshParams::known_peers_max; a peer heard of that cannot be reached is
/// forgotten.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "codec/rng.h"
#include "control/mesh/mesh.h"

namespace corelay::mesh {

/// True for 1 to peer_name_bytes_max letters, digits, '-', '_' and '.'.
[[nodiscard]] bool is_peer_name(const std::string& name) noexcept;
/// True for 1 to address_bytes_max printable characters, '/' first.
[[nodiscard]] bool is_address(const std::string& address) noexcept;

class AddressBook {
 public:
  AddressBook(const MeshParams& params, std::string self)
      : params_(params), self_(std::move(self)) {}

  void add_bootstrap(Instant now, PeerAddresses peer);

  /// Notes where a peer can be dialled. What a peer tells of itself replaces what others told.
  /// Returns true when it changed anything the peer told of itself.
  bool learn(Instant now, const PeerAddresses& peer, bool is_from_itself, bool is_connected,
             Rng& rng);

  void on_connected(Instant now, const std::string& peer);
  void on_disconnected(Instant now, const std::string& peer, Rng& rng);
  void on_refused(Instant now, const std::string& peer);
  void on_dialled(Instant now, const PeerAddresses& target, const std::string& peer,
                  bool is_connected, Rng& rng);
  void on_dial_failed(Instant now, const PeerAddresses& target, Rng& rng);

  /// Appends the dials that are due to `out`, given how many peers are connected, and settles
  /// next_dial().
  void plan(Instant now, std::size_t connected, Rng& rng, MeshOutbox& out);
  [[nodiscard]] Instant next_dial() const noexcept { return next_dial_; }

  /// What the peer told of itself, or null.
  [[nodiscard]] const PeerAddresses* told_by(const std::string& peer) const;
  [[nodiscard]] std::vector<PeerAddresses> all() const;

 private:
  struct Tries {
    bool is_dialling = false;
    bool is_connected = false;
    unsigned failures = 0;
    Instant since{};  // of the dial or the connection
    Instant next{};   // no dial before this
  };
  struct Bootstrap {
    PeerAddresses target;
    std::string peer;  // who answered, or the name given
    bool is_self = false;
    Tries tries;
  };
  struct Known {
    PeerAddresses who;
    bool is_told_by_itself = false;
    Instant refused_until{};
    Tries tries;
  };

  void failed(Instant now, Tries& tries, Rng& rng) const;
  [[nodiscard]] Duration pause(unsigned failures, Rng& rng) const;
  void plan_bootstraps(Instant now, Rng& rng, std::size_t& open, MeshOutbox& out);
  void plan_known(Instant now, Rng& rng, std::size_t open, MeshOutbox& out);
  [[nodiscard]] bool is_bootstrap(const std::string& peer) const;
  [[nodiscard]] bool make_room();

  const MeshParams& params_;
  std::string self_;
  std::vector<Bootstrap> bootstraps_;
  std::map<std::string, Known> known_;
  Instant next_dial_ = dataplane::never;
};

}  // namespace corelay::mesh
