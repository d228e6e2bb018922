/// What a Mesh holds, and the steps its entry points are made of. Every entry point changes the
/// state, marks topics whose routes may differ, and ends in finish(), which emits what follows:
/// traces, routes, control messages, dials. Containers are ordered, so that one seed and one
/// sequence of inputs give one sequence of outputs.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "codec/rng.h"
#include "control/mesh/address_book.h"
#include "control/mesh/control_message.h"
#include "control/mesh/mesh.h"

namespace corelay::mesh {

struct Mesh::State {
  struct Peer {
    bool is_outbound = false;
    bool has_session = false;
    Instant session_changed{};
    Instant told{};  // when its addresses were last passed on
    bool has_been_told = false;
    std::set<std::string> topics;
  };
  struct Topic {
    bool is_subscribed = false;
    Instant wanted_until{};           // by want_route
    std::set<std::string> mesh;       // who has us and whom we have, as far as we know
    std::set<std::string> stand_ins;  // who takes our messages where there is no mesh
    std::set<std::string>
        missed;  // mesh peers whose connection was lost, to be taken back when they return
    std::vector<std::string> route;  // as last emitted
    bool is_route_subscribed = false;
    bool has_route = false;
    std::size_t urgent_taken = 0;  // urgent grafts that a full mesh made room for since the last heartbeat
  };

  State(const MeshParams& wanted, std::string name, std::vector<std::string> addresses,
        std::uint64_t seed);

  // Peers coming and going.
  void greet(const std::string& name);
  void forget_peer(Instant now, const std::string& name, MeshOutbox& out);
  void pass_on(Instant now, const std::string& name);
  void exchange_some();

  // What a checked MeshControl asks for.
  void apply_subscriptions(Instant now, const std::string& name, const MeshControl& control,
                           MeshOutbox& out);
  void apply_graft(Instant now, const std::string& name, const std::string& topic, bool is_urgent,
                   MeshOutbox& out);
  void apply_prune(Instant now, const std::string& name, const Prune& prune, MeshOutbox& out);
  void apply_peers(Instant now, const std::string& name, const MeshControl& control);

  // Mesh upkeep of one topic.
  [[nodiscard]] bool may_graft(Instant now, const std::string& topic,
                               const std::string& name) const;
  void graft(const std::string& topic, const std::string& name, MeshOutbox& out);
  void drop(const std::string& topic, const std::string& name, MeshOutbox& out);
  void prune(Instant now, const std::string& topic, const std::string& name,
             const std::string& instead, MeshOutbox& out);
  void refuse(Instant now, const std::string& topic, const std::string& name, Duration backoff, bool is_full);
  void consider(Instant now, const std::string& topic, const std::string& name, MeshOutbox& out);
  void fill_below(Instant now, const std::string& topic, std::size_t threshold, MeshOutbox& out);
  void trim(Instant now, const std::string& topic, std::size_t degree, const std::string& instead,
            MeshOutbox& out);
  void beat_topic(Instant now, const std::string& topic, MeshOutbox& out);
  void reach_out(Instant now, const std::string& topic, MeshOutbox& out);
  void heartbeat(Instant now, MeshOutbox& out);
  void confirm_grafts();

  // Backoff, ours and theirs alike.
  [[nodiscard]] Instant backoff_until(const std::string& topic, const std::string& name) const;
  void back_off(Instant until, const std::string& topic, const std::string& name);

  // Output.
  [[nodiscard]] std::size_t live_degree(const Topic& topic) const;
  [[nodiscard]] std::vector<std::string> choose_route(const std::string& name, Topic& topic);
  void emit_route(Instant now, const std::string& topic, MeshOutbox& out);
  void finish(Instant now, MeshOutbox& out);
  MeshControl& control_to(const std::string& name) { return pending[name]; }
  void add_self(MeshControl& control) const;
  void add_known(MeshControl& control, const std::string& topic, const std::string& except);
  template <class T>
  void shuffle(std::vector<T>& items) {
    for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[rng.below(i)]);
  }

  MeshParams params;
  std::string self;
  std::vector<std::string> own_addresses;
  Rng rng;
  AddressBook book;
  std::map<std::string, Peer> peers;  // connected
  std::map<std::string, Topic> topics;
  std::map<std::pair<std::string, std::string>, Instant> backoffs;  // (topic, peer)
  std::map<std::string, MeshControl> pending;
  std::set<std::string> dirty;
  Instant next_heartbeat{};
  bool has_started = false;
  unsigned beats = 0;
};

}  // namespace corelay::mesh
