// Mesh through its public interface: several nodes on a toy network.
#include "control/mesh/mesh.h"

#include <algorithm>

#include "tests/control/mesh_toy_network.h"

namespace corelay::mesh {
namespace {

using dataplane::milliseconds;
using dataplane::seconds;

bool is_symmetric(ToyNetwork& net, const std::string& topic) {
  for (std::size_t i = 0; i < net.size(); ++i) {
    if (!net.is_up(i)) continue;
    for (const std::string& peer : net.mesh(i).mesh_peers(topic)) {
      const std::vector<std::string> back = net.mesh(std::stoul(peer.substr(5))).mesh_peers(topic);
      if (std::find(back.begin(), back.end(), ToyNetwork::name_of(i)) == back.end()) return false;
    }
  }
  return true;
}

TEST(Mesh, FourNodesFormFromOneBootstrapAddressInTheFirstTenthsOfASecond) {
  for (const bool is_named : {true, false}) {
    ToyNetwork net(7);
    for (std::size_t i = 0; i < 4; ++i) {
      net.add({});
      net.subscribe(i, "demo");
      net.bootstrap(i, 0, is_named);
    }
    net.run_for(milliseconds(400));
    for (std::size_t i = 0; i < 4; ++i) {
      EXPECT_EQ(net.mesh(i).mesh_peers("demo").size(), 3u) << i;
      ASSERT_TRUE(net.route(i, "demo").has_value());
      EXPECT_TRUE(net.route(i, "demo")->is_subscribed);
      EXPECT_EQ(net.route(i, "demo")->next_hops.size(), 3u);
      EXPECT_EQ(net.mesh(i).connected_peers().size(), 3u);
    }
    EXPECT_TRUE(is_symmetric(net, "demo"));
  }
}

TEST(Mesh, ANewTopicGraftsAtOnceWithoutAHeartbeat) {
  ToyNetwork net(1);
  MeshParams params;
  params.heartbeat = seconds(1000);
  for (std::size_t i = 0; i < 3; ++i) {
    net.add(params);
    net.bootstrap(i, 0, true);
  }
  net.run_for(seconds(1));
  for (std::size_t i = 0; i < 3; ++i) net.subscribe(i, "late");
  net.run_for(milliseconds(10));
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(net.route(i, "late")->next_hops.size(), 2u);
}

TEST(Mesh, RoutesHoldOnlyPeersWithASession) {
  ToyNetwork net(2);
  net.session_delay = milliseconds(500);
  for (std::size_t i = 0; i < 2; ++i) {
    net.add({});
    net.subscribe(i, "t");
  }
  net.bootstrap(1, 0, true);
  net.run_for(milliseconds(400));
  EXPECT_EQ(net.mesh(1).connected_peers().size(), 1u);
  EXPECT_TRUE(net.route(1, "t")->next_hops.empty());
  net.run_for(milliseconds(300));
  EXPECT_EQ(net.route(1, "t")->next_hops, std::vector<std::string>{"node-0"});
  net.act(1, [&](Mesh& mesh, MeshOutbox& out) { mesh.on_session_lost(net.now, "node-0", out); });
  EXPECT_TRUE(net.route(1, "t")->next_hops.empty());
  net.act(1, [&](Mesh& mesh, MeshOutbox& out) { mesh.on_session(net.now, "node-0", out); });
  EXPECT_EQ(net.route(1, "t")->next_hops.size(), 1u);
}

TEST(Mesh, APeerWhoseSessionNeverComesLeavesTheMesh) {
  ToyNetwork net(3);
  for (std::size_t i = 0; i < 3; ++i) {
    net.add({});
    net.subscribe(i, "t");
  }
  net.bootstrap(1, 0, true);
  net.bootstrap(2, 0, true);
  net.run_for(seconds(1));
  EXPECT_EQ(net.mesh(0).mesh_peers("t").size(), 2u);
  net.act(0, [&](Mesh& mesh, MeshOutbox& out) { mesh.on_session_lost(net.now, "node-2", out); });
  net.act(2, [&](Mesh& mesh, MeshOutbox& out) { mesh.on_session_lost(net.now, "node-0", out); });
  net.run_for(seconds(12));
  EXPECT_EQ(net.mesh(0).mesh_peers("t"), std::vector<std::string>{"node-1"});
}

TEST(Mesh, WantedRoutesEndSixtySecondsAfterTheLastWish) {
  ToyNetwork net(4);
  for (std::size_t i = 0; i < 4; ++i) net.add({});
  for (std::size_t i = 1; i < 4; ++i) {
    net.bootstrap(i, 0, false);
    net.subscribe(i, "t");
  }
  net.run_for(seconds(1));
  net.want_route(0, "t");
  ASSERT_TRUE(net.route(0, "t").has_value());
  EXPECT_FALSE(net.route(0, "t")->is_subscribed);
  EXPECT_EQ(net.route(0, "t")->next_hops.size(), 3u);
  net.run_for(seconds(40));
  net.want_route(0, "t");
  net.run_for(seconds(40));
  EXPECT_TRUE(net.route(0, "t").has_value());
  net.run_for(seconds(25));
  EXPECT_FALSE(net.route(0, "t").has_value());
  EXPECT_TRUE(net.mesh(0).subscribed_topics().empty());
}

TEST(Mesh, AWantedRouteFollowsSubscribersAndIsBounded) {
  ToyNetwork net(5);
  MeshParams params;
  params.degree_target = 3;
  for (std::size_t i = 0; i < 8; ++i) {
    net.add(params);
    if (i != 0) net.bootstrap(i, 0, true);
  }
  net.run_for(seconds(1));
  net.want_route(0, "t");
  EXPECT_TRUE(net.route(0, "t")->next_hops.empty());
  for (std::size_t i = 1; i < 8; ++i) net.subscribe(i, "t");
  net.run_for(seconds(1));
  const std::vector<std::string> hops = net.route(0, "t")->next_hops;
  EXPECT_EQ(hops.size(), 3u);
  net.unsubscribe(std::stoul(hops[1].substr(5)), "t");
  net.run_for(seconds(1));
  const std::vector<std::string> after = net.route(0, "t")->next_hops;
  EXPECT_EQ(after.size(), 3u);
  EXPECT_EQ(std::count(after.begin(), after.end(), hops[1]), 0);
  EXPECT_EQ(std::count(after.begin(), after.end(), hops[0]), 1) << "those still fit stay";
}

TEST(Mesh, UnsubscribeEndsTheRouteAndThePeersDropUs) {
  ToyNetwork net(6);
  for (std::size_t i = 0; i < 3; ++i) {
    net.add({});
    net.bootstrap(i, 0, true);
    net.subscribe(i, "t");
  }
  net.run_for(seconds(1));
  net.unsubscribe(1, "t");
  EXPECT_FALSE(net.route(1, "t").has_value());
  net.run_for(seconds(1));
  EXPECT_EQ(net.mesh(0).mesh_peers("t"), std::vector<std::string>{"node-2"});
  EXPECT_EQ(net.mesh(0).topic_peers("t"), std::vector<std::string>{"node-2"});
  net.subscribe(1, "t");
  net.run_for(milliseconds(20));
  EXPECT_EQ(net.mesh(1).mesh_peers("t").size(), 2u) << "coming back needs no backoff";
  EXPECT_TRUE(is_symmetric(net, "t"));
}

TEST(Mesh, BootstrapPeersAreRedialledForEverWithBackoff) {
  ToyNetwork net(8);
  net.add({});
  net.add({});
  net.stop(0);
  net.bootstrap(1, 0, true);
  net.run_for(seconds(10));
  const std::size_t early = net.dials(1);
  EXPECT_GE(early, 5u);
  EXPECT_LE(early, 12u);
  net.run_for(seconds(300));
  const std::size_t late = net.dials(1) - early;
  EXPECT_GE(late, 9u) << "at least every redial_max";
  EXPECT_LE(late, 25u);
  net.start(0);
  net.run_for(seconds(31));
  EXPECT_EQ(net.mesh(1).connected_peers().size(), 1u);
  net.stop(0);
  net.run_for(milliseconds(50));
  EXPECT_TRUE(net.mesh(1).connected_peers().empty());
  net.start(0);
  net.run_for(seconds(31));
  EXPECT_EQ(net.mesh(1).connected_peers().size(), 1u);
}

TEST(Mesh, AnUnansweredDialIsTriedAgain) {
  MeshParams params;
  Mesh mesh(params, "me", {}, 1);
  MeshOutbox out;
  mesh.add_bootstrap({}, {"", {"/ip4/1.2.3.4/tcp/1"}}, out);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_NE(std::get_if<Dial>(&out[0]), nullptr);
  out.clear();
  Instant now{};
  std::size_t dials = 0;
  while (now < Instant{} + seconds(40)) {
    now = std::max(now + milliseconds(1), mesh.next_deadline());
    mesh.on_tick(now, out);
  }
  for (const MeshAction& action : out) dials += std::get_if<Dial>(&action) != nullptr ? 1 : 0;
  EXPECT_EQ(dials, 1u);
}

TEST(Mesh, NeverDialsItself) {
  ToyNetwork net(9);
  net.add({});
  net.bootstrap(0, 0, true);
  net.bootstrap(0, 0, false);
  net.run_for(seconds(100));
  EXPECT_EQ(net.dials(0), 0u);
  // An own address it does not know: one dial tells.
  net.act(0, [&](Mesh& mesh, MeshOutbox& out) {
    mesh.set_own_addresses({"/ip4/9.9.9.9/tcp/1"});
    mesh.add_bootstrap(net.now, {"", {ToyNetwork::address_of(0)}}, out);
  });
  net.run_for(seconds(100));
  EXPECT_EQ(net.dials(0), 1u);
}

TEST(Mesh, DialsKnownPeersUpToTheConnectionsTarget) {
  ToyNetwork net(10);
  MeshParams params;
  params.connections_target = 4;
  for (std::size_t i = 0; i < 12; ++i) {
    net.add(params);
    net.bootstrap(i, 0, true);
  }
  net.run_for(seconds(60));
  for (std::size_t i = 1; i < 12; ++i) {
    EXPECT_GE(net.mesh(i).connected_peers().size(), 4u) << i;
    EXPECT_LE(net.dials(i), 6u) << i;
  }
}

TEST(Mesh, AnUnreachablePeerHeardOfIsForgotten) {
  ToyNetwork net(11);
  for (std::size_t i = 0; i < 3; ++i) net.add({});
  net.unreachable = {{1, 2}, {2, 1}};
  net.bootstrap(1, 0, true);
  net.bootstrap(2, 0, true);
  net.run_for(seconds(5));
  EXPECT_GT(net.dials(1), 2u);
  net.stop(0);  // nobody is left who could tell again
  net.run_for(seconds(100));
  const std::vector<PeerAddresses> book = net.mesh(1).address_book();
  EXPECT_EQ(std::count_if(book.begin(), book.end(),
                          [](const auto& peer) { return peer.peer == "node-2"; }),
            0);
}

TEST(Mesh, ARefusedPeerHeardOfIsNotDialledForTenMinutes) {
  for (const bool is_refused : {false, true}) {
    Mesh mesh({}, "me", {"/ip4/1.1.1.1/tcp/1"}, 5);
    MeshOutbox out;
    mesh.on_connected({}, "other", false, out);
    mesh.on_session({}, "other", out);
    MeshControl told;
    told.add_peers()->set_peer("other");
    told.mutable_peers(0)->add_addresses("/ip4/2.2.2.2/tcp/2");
    const std::string bytes = told.SerializeAsString();
    ASSERT_TRUE(mesh.on_control({}, "other", as_bytes(bytes), out));
    if (is_refused) mesh.on_refused({}, "other", out);
    mesh.on_disconnected({}, "other", out);
    out.clear();
    Instant dialled_at = dataplane::never;
    for (Instant now{}; now < Instant{} + seconds(700) && dialled_at == dataplane::never; now = now + seconds(1)) {
      mesh.on_tick(now, out);
      for (const MeshAction& action : out) {
        if (std::get_if<Dial>(&action) != nullptr) dialled_at = now;
      }
      out.clear();
    }
    EXPECT_GE(dialled_at, Instant{} + seconds(is_refused ? 600 : 0));
    EXPECT_LE(dialled_at, Instant{} + seconds(is_refused ? 601 : 1));
  }
}

TEST(Mesh, AFullMeshMakesRoomForThoseItRefused) {
  ToyNetwork net(12);
  MeshParams params;
  params.degree_target = 2;
  params.degree_min = 1;
  params.degree_max = 3;
  params.connections_target = 1;  // a star: the spokes reach nobody but the hub
  params.prune_backoff = seconds(2);
  for (std::size_t i = 0; i < 6; ++i) {
    net.add(params);
    net.subscribe(i, "t");
    if (i != 0) net.bootstrap(i, 0, true);
  }
  std::set<std::string> seen;
  for (int i = 0; i < 60; ++i) {
    net.run_for(seconds(1));
    for (const std::string& peer : net.mesh(0).mesh_peers("t")) seen.insert(peer);
    for (std::size_t j = 1; j < 6 && i > 0; ++j) {
      EXPECT_EQ(net.route(j, "t")->next_hops.size(), 1u)
          << "a refused node still has whom to publish through";
    }
  }
  EXPECT_EQ(seen.size(), 5u);
  EXPECT_LE(net.mesh(0).mesh_peers("t").size(), 3u);
}

TEST(Mesh, ARestartedPeerIsTakenBackAtOnce) {
  ToyNetwork net(13);
  for (std::size_t i = 0; i < 4; ++i) {
    net.add({});
    net.subscribe(i, "t");
    net.bootstrap(i, 0, true);
  }
  net.run_for(seconds(2));
  net.stop(2);
  net.run_for(milliseconds(100));
  for (const std::size_t i : {0u, 1u, 3u}) EXPECT_EQ(net.mesh(i).mesh_peers("t").size(), 2u);
  net.start(2);
  net.subscribe(2, "t");
  net.bootstrap(2, 0, true);
  net.run_for(milliseconds(600));
  EXPECT_EQ(net.mesh(2).mesh_peers("t").size(), 3u);
  EXPECT_TRUE(is_symmetric(net, "t"));
}

TEST(Mesh, OneSidedMeshesHealByConfirmedGrafts) {
  ToyNetwork net(14);
  for (std::size_t i = 0; i < 2; ++i) {
    net.add({});
    net.subscribe(i, "t");
  }
  net.bootstrap(1, 0, true);
  net.run_for(seconds(1));
  // Node 0 hears a prune that node 1 never sent: node 1 still counts on it.
  MeshControl prune;
  prune.add_prune()->set_topic("t");
  prune.mutable_prune(0)->set_backoff_ms(1);
  const std::string bytes = prune.SerializeAsString();
  net.act(0, [&](Mesh& mesh, MeshOutbox& out) {
    EXPECT_TRUE(mesh.on_control(net.now, "node-1", as_bytes(bytes), out));
  });
  EXPECT_FALSE(is_symmetric(net, "t"));
  net.run_for(seconds(12));
  EXPECT_TRUE(is_symmetric(net, "t"));
  EXPECT_EQ(net.mesh(0).mesh_peers("t").size(), 1u);
}

TEST(Mesh, TightDegreesAreReachedSoon) {
  // Eight nodes of three to four: whoever comes late finds full meshes only, and is let in all the same.
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    ToyNetwork net(seed);
    MeshParams params;
    params.degree_min = params.degree_target = 3;
    params.degree_max = 4;
    for (std::size_t i = 0; i < 8; ++i) {
      net.add(params);
      net.subscribe(i, "t");
      net.bootstrap(i, 0, true);
    }
    net.run_for(milliseconds(500));
    for (std::size_t i = 0; i < 8; ++i) EXPECT_GE(net.mesh(i).mesh_peers("t").size(), 2u) << "seed " << seed;
    net.run_for(seconds(4));
    for (std::size_t i = 0; i < 8; ++i) {
      EXPECT_GE(net.mesh(i).mesh_peers("t").size(), 3u) << "seed " << seed << " node " << i;
      EXPECT_LE(net.mesh(i).mesh_peers("t").size(), 4u) << "seed " << seed << " node " << i;
    }
  }
}

TEST(Mesh, AMeshThatFellApartFindsTogether) {
  // Two halves that know each other only after each has all the mesh peers it wants.
  ToyNetwork net(15);
  MeshParams params;
  params.degree_min = params.degree_target = 2;
  params.degree_max = 4;
  params.connections_target = 16;
  for (std::size_t i = 0; i < 8; ++i) {
    for (std::size_t j = 0; j < 8; ++j) {
      if (i / 4 != j / 4) net.unreachable.insert({i, j});
    }
    net.add(params);
    net.subscribe(i, "t");
    net.bootstrap(i, i < 4 ? 0 : 4, true);
  }
  const auto reach = [&] {
    std::set<std::size_t> seen{0};
    for (std::size_t before = 0; before != seen.size();) {
      before = seen.size();
      for (const std::size_t i : std::set<std::size_t>(seen)) {
        for (const std::string& peer : net.mesh(i).mesh_peers("t"))
          seen.insert(std::stoul(peer.substr(5)));
      }
    }
    return seen.size();
  };
  net.run_for(seconds(2));
  EXPECT_EQ(reach(), 4u);
  net.unreachable.clear();
  net.bootstrap(0, 4, true);
  net.run_for(seconds(25));
  EXPECT_EQ(reach(), 8u);
}

TEST(Mesh, AMeshCutInTwoGrowsTogetherWhenTheCutIsMended) {
  ToyNetwork net(16);
  MeshParams params;
  params.degree_min = params.degree_target = 3;
  params.degree_max = 6;
  for (std::size_t i = 0; i < 8; ++i) {
    net.add(params);
    net.subscribe(i, "t");
    net.bootstrap(i, 0, true);
    net.bootstrap(i, 7, true);
  }
  net.run_for(seconds(2));
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t j = 4; j < 8; ++j) {
      net.unreachable.insert({i, j});
      net.unreachable.insert({j, i});
      net.disconnect(i, j);
    }
  }
  net.run_for(milliseconds(1500));
  net.unreachable.clear();
  net.run_for(milliseconds(3300));
  std::size_t across = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    for (const std::string& peer : net.mesh(i).mesh_peers("t")) across += peer >= "node-4" ? 1 : 0;
  }
  EXPECT_GT(across, 0u);
}

TEST(Mesh, TheSameSeedGivesTheSameActions) {
  const auto run = [](std::uint64_t seed) {
    Mesh mesh({}, "me", {"/ip4/1.1.1.1/tcp/1"}, seed);
    MeshOutbox out;
    EXPECT_TRUE(mesh.subscribe({}, "t", out));
    MeshControl join;
    join.add_subscriptions()->set_subscribe(true);
    join.mutable_subscriptions(0)->set_topic("t");
    const std::string bytes = join.SerializeAsString();
    for (int i = 0; i < 20; ++i) {
      const std::string peer = "p" + std::to_string(i);
      mesh.on_connected({}, peer, false, out);
      mesh.on_session({}, peer, out);
      EXPECT_TRUE(mesh.on_control({}, peer, as_bytes(bytes), out));
    }
    for (int i = 0; i < 6; ++i) mesh.on_disconnected({}, "p" + std::to_string(i), out);
    for (int i = 0; i < 50; ++i) mesh.on_tick(mesh.next_deadline(), out);
    std::string text;
    for (const MeshAction& action : out) {
      text += std::to_string(action.index());
      if (const auto* control = std::get_if<SendControl>(&action)) {
        text += control->peer + std::string(control->bytes.begin(), control->bytes.end());
      }
    }
    return text;
  };
  EXPECT_EQ(run(1), run(1));
  EXPECT_NE(run(1), run(2));
}

}  // namespace
}  // namespace corelay::mesh
