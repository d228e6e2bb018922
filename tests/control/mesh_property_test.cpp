// Random lives of small meshes: whatever happens, once it stops, every mesh is within its degrees
// and symmetric. That no graft is sent during a backoff is asserted by the toy network all along.
// RC_PARAMS overrides the seed.
#include <rapidcheck.h>

#include <algorithm>
#include <cstdlib>

#include "tests/control/mesh_toy_network.h"

namespace corelay::mesh {
namespace {

using dataplane::milliseconds;
using dataplane::seconds;

const int seeded = setenv("RC_PARAMS", "seed=20261121 max_success=150", 0);

constexpr const char* topics[] = {"alpha", "beta"};

struct Life {
  ToyNetwork net;
  Rng rng;
  std::vector<bool> is_in;  // node * 2 + topic

  Life(std::uint64_t seed, std::size_t nodes, const MeshParams& params)
      : net(seed), rng(seed ^ 0x5eed), is_in(nodes * 2) {
    for (std::size_t i = 0; i < nodes; ++i) {
      net.add(params);
      join(i);
    }
  }
  void join(std::size_t i) {
    net.bootstrap(i, 0, i % 2 == 0);
    net.bootstrap(i, 1, true);
  }
  void one_event() {
    const std::size_t i = rng.below(net.size());
    const std::size_t topic = rng.below(2);
    const std::uint64_t kind = rng.below(8);
    if (!net.is_up(i)) {
      net.start(i);
      is_in[i * 2] = is_in[i * 2 + 1] = false;
      return join(i);
    }
    if (kind < 3) {
      net.subscribe(i, topics[topic]);
      is_in[i * 2 + topic] = true;
    } else if (kind == 3) {
      net.unsubscribe(i, topics[topic]);
      is_in[i * 2 + topic] = false;
    } else if (kind == 4) {
      net.want_route(i, topics[topic]);
    } else if (kind == 5) {
      net.stop(i);
    } else {
      net.disconnect(i, rng.below(net.size()));
    }
  }
  /// The first reason why the mesh is not as it should be, or nothing.
  std::string flaw(const MeshParams& params) {
    for (std::size_t topic = 0; topic < 2; ++topic) {
      std::size_t members = 0;
      for (std::size_t i = 0; i < net.size(); ++i)
        members += net.is_up(i) && is_in[i * 2 + topic] ? 1 : 0;
      for (std::size_t i = 0; i < net.size(); ++i) {
        if (!net.is_up(i)) continue;
        const std::vector<std::string> mesh = net.mesh(i).mesh_peers(topics[topic]);
        const std::size_t wanted =
            is_in[i * 2 + topic] ? std::min(params.degree_min, members - 1) : 0;
        const std::string where =
            ToyNetwork::name_of(i) + " has " + std::to_string(mesh.size()) + " in " + topics[topic];
        if (mesh.size() < wanted) return where + ", too few";
        if (mesh.size() > params.degree_max) return where + ", too many";
        for (const std::string& peer : mesh) {
          const std::vector<std::string> back =
              net.mesh(std::stoul(peer.substr(5))).mesh_peers(topics[topic]);
          if (std::count(back.begin(), back.end(), ToyNetwork::name_of(i)) == 0)
            return where + ", one-sided";
        }
        if (!is_in[i * 2 + topic]) continue;
        const auto route = net.route(i, topics[topic]);
        if (!route || (!mesh.empty() && route->next_hops != mesh))
          return where + ", but another route";
      }
    }
    return {};
  }
};

TEST(MeshProperty, EveryMeshSettlesWithinItsDegreesAndSymmetric) {
  EXPECT_TRUE(rc::check("settles", [] {
    const auto seed = *rc::gen::arbitrary<std::uint64_t>();
    MeshParams params;
    params.degree_min = *rc::gen::inRange<std::size_t>(1, 4);
    params.degree_target = params.degree_min + *rc::gen::inRange<std::size_t>(0, 4);
    params.degree_max = params.degree_target + *rc::gen::inRange<std::size_t>(1, 6);
    params.prune_backoff = seconds(*rc::gen::inRange<std::int64_t>(1, 10));
    const auto nodes = *rc::gen::inRange<std::size_t>(2, 13);
    const auto events = *rc::gen::inRange<std::size_t>(0, 60);
    Life life(seed, nodes, params);
    for (std::size_t i = 0; i < events; ++i) {
      life.one_event();
      life.net.run_for(milliseconds(static_cast<std::int64_t>(life.rng.below(1500))));
    }
    for (std::size_t i = 0; i < nodes; ++i) {
      if (!life.net.is_up(i)) life.one_event();
    }
    for (std::size_t i = 0; i < nodes; ++i) {
      if (!life.net.is_up(i)) {
        life.net.start(i);
        life.is_in[i * 2] = life.is_in[i * 2 + 1] = false;
        life.join(i);
      }
    }
    int good = 0;
    for (int second = 0; second < 400 && good < 20; ++second) {
      life.net.run_for(seconds(1));
      // A graft or a prune may be on its way right now; a few milliseconds on it has arrived.
      for (int tries = 0; tries < 3 && !life.flaw(params).empty(); ++tries)
        life.net.run_for(milliseconds(8));
      good = life.flaw(params).empty() ? good + 1 : 0;
    }
    RC_ASSERT(good == 20);
    RC_ASSERT(!::testing::Test::HasFailure());
  }));
}

TEST(MeshProperty, RandomControlBytesNeverBreakTheBounds) {
  EXPECT_TRUE(rc::check("bounds", [] {
    MeshParams params;
    params.topics_max = 6;
    params.known_peers_max = 10;
    Mesh mesh(params, "me", {"/ip4/1.1.1.1/tcp/1"}, *rc::gen::arbitrary<std::uint64_t>());
    MeshOutbox out;
    RC_ASSERT(mesh.subscribe({}, "t0", out));
    mesh.on_connected({}, "a", false, out);
    mesh.on_session({}, "a", out);
    const auto messages = *rc::gen::inRange(1, 30);
    for (int n = 0; n < messages; ++n) {
      MeshControl control;
      const auto topic = [] { return "t" + std::to_string(*rc::gen::inRange(0, 9)); };
      for (int i = *rc::gen::inRange(0, 4); i > 0; --i) {
        Subscription* subscription = control.add_subscriptions();
        subscription->set_subscribe(*rc::gen::arbitrary<bool>());
        subscription->set_topic(topic());
      }
      for (int i = *rc::gen::inRange(0, 3); i > 0; --i) control.add_graft(topic());
      for (int i = *rc::gen::inRange(0, 3); i > 0; --i) {
        Prune* prune = control.add_prune();
        prune->set_topic(topic());
        prune->set_backoff_ms(*rc::gen::arbitrary<std::uint32_t>());
      }
      for (int i = *rc::gen::inRange(0, 5); i > 0; --i) {
        KnownPeer* peer = control.add_peers();
        peer->set_peer(*rc::gen::element<std::string>("a", "me", "x", "y", "z") +
                       std::to_string(*rc::gen::inRange(0, 9)));
        peer->add_addresses("/ip4/1.2.3.4/tcp/" + std::to_string(*rc::gen::inRange(0, 9)));
      }
      std::string bytes = control.SerializeAsString();
      if (!bytes.empty() && *rc::gen::inRange(0, 4) == 0) {
        bytes[*rc::gen::inRange<std::size_t>(0, bytes.size())] ^=
            static_cast<char>(*rc::gen::inRange(1, 256));
      }
      const std::vector<std::string> before = mesh.topic_peers("t0");
      const bool is_taken = mesh.on_control({}, "a", as_bytes(bytes), out);
      if (!is_taken) RC_ASSERT(mesh.topic_peers("t0") == before);
      RC_ASSERT(mesh.known_topics().size() <= 1 + params.topics_max);
      RC_ASSERT(mesh.address_book().size() <= params.known_peers_max);
      for (const PeerAddresses& peer : mesh.address_book()) RC_ASSERT(peer.peer != "me");
    }
  }));
}

}  // namespace
}  // namespace corelay::mesh
