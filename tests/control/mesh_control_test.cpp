// One Mesh and its control messages: the rules of graft and prune, what a first message carries,
// bounds, refusals.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "control/mesh/mesh.h"
#include "proto/mesh.pb.h"

namespace corelay::mesh {
namespace {

TEST(MeshControl, GraftRulesAreGossipsubs) {
  MeshParams params;
  params.degree_target = params.degree_min = 1;
  params.degree_max = 2;
  Mesh mesh(params, "me", {}, 1);
  MeshOutbox out;
  const auto say = [&](const std::string& peer, const MeshControl& control) {
    const std::string bytes = control.SerializeAsString();
    return mesh.on_control({}, peer, as_bytes(bytes), out);
  };
  const auto told = [&](const std::string& peer) {
    MeshControl all;
    for (const MeshAction& action : out) {
      const auto* control = std::get_if<SendControl>(&action);
      if (control == nullptr || control->peer != peer) continue;
      MeshControl one;
      EXPECT_TRUE(
          one.ParseFromArray(control->bytes.data(), static_cast<int>(control->bytes.size())));
      all.MergeFrom(one);
    }
    out.clear();
    return all;
  };
  MeshControl join;
  join.add_subscriptions()->set_subscribe(true);
  join.mutable_subscriptions(0)->set_topic("t");
  MeshControl graft;
  graft.add_graft("t");

  EXPECT_FALSE(say("a", join)) << "not connected";
  for (const std::string peer : {"a", "b", "c", "d"}) {
    mesh.on_connected({}, peer, peer == "d", out);
    mesh.on_session({}, peer, out);
    out.clear();
  }
  EXPECT_TRUE(say("a", graft));
  EXPECT_EQ(told("a").prune_size(), 0) << "a graft of a topic we are not in is ignored";
  EXPECT_TRUE(mesh.subscribe({}, "t", out));
  out.clear();
  EXPECT_TRUE(say("a", graft));
  EXPECT_EQ(told("a").prune_size(), 1) << "a graft by one who does not subscribe is refused";
  for (const std::string peer : {"b", "c", "d"}) EXPECT_TRUE(say(peer, join));
  EXPECT_EQ(told("b").urgent_graft_size(), 1) << "the first fit peer is grafted at once";
  EXPECT_TRUE(say("c", graft));
  EXPECT_EQ(told("c").prune_size(), 0);
  EXPECT_EQ(mesh.mesh_peers("t").size(), 2u);
  EXPECT_TRUE(say("a", join));
  EXPECT_TRUE(say("a", graft));
  const MeshControl refusal = told("a");
  ASSERT_EQ(refusal.prune_size(), 1) << "full, and in backoff";
  EXPECT_GE(refusal.prune(0).backoff_ms(), 10'000u);
  EXPECT_TRUE(say("d", graft));
  EXPECT_EQ(told("d").prune_size(), 0)
      << "a full mesh takes a peer we dialled ourselves, in place of another";
  EXPECT_EQ(mesh.mesh_peers("t").size(), 2u);
  EXPECT_EQ(mesh.mesh_peers("t").back(), "d");

  MeshControl prune;
  prune.add_prune()->set_topic("t");
  prune.mutable_prune(0)->set_backoff_ms(5000);
  EXPECT_TRUE(say("d", prune));
  EXPECT_TRUE(say("d", graft));
  EXPECT_EQ(told("d").prune_size(), 1)
      << "who pruned us may not graft during the backoff it asked for";
}

TEST(MeshControl, AFullMeshSwapsInAPeerInNeedAndNamesItToTheOneItPrunes) {
  MeshParams params;
  params.degree_target = params.degree_min = 1;
  params.degree_max = 2;
  Mesh mesh(params, "me", {}, 1);
  MeshOutbox out;
  MeshControl join;
  join.add_subscriptions()->set_subscribe(true);
  join.mutable_subscriptions(0)->set_topic("t");
  MeshControl graft = join;
  graft.add_graft("t");
  MeshControl need = join;
  need.add_urgent_graft("t");
  const auto say = [&](const std::string& peer, const MeshControl& control) {
    const std::string bytes = control.SerializeAsString();
    out.clear();
    return mesh.on_control({}, peer, as_bytes(bytes), out);
  };
  const auto prunes = [&] {
    std::vector<std::pair<std::string, Prune>> found;
    for (const MeshAction& action : out) {
      const auto* control = std::get_if<SendControl>(&action);
      if (control == nullptr) continue;
      MeshControl one;
      EXPECT_TRUE(one.ParseFromArray(control->bytes.data(), static_cast<int>(control->bytes.size())));
      for (const Prune& prune : one.prune()) found.emplace_back(control->peer, prune);
    }
    return found;
  };
  EXPECT_TRUE(mesh.subscribe({}, "t", out));
  for (const std::string peer : {"a", "b", "c", "d"}) {
    mesh.on_connected({}, peer, false, out);
    mesh.on_session({}, peer, out);
  }
  EXPECT_TRUE(say("a", graft));
  EXPECT_TRUE(say("b", graft));
  EXPECT_EQ(mesh.mesh_peers("t").size(), 2u);
  EXPECT_TRUE(say("c", need));
  EXPECT_EQ(mesh.mesh_peers("t").size(), 2u);
  EXPECT_EQ(mesh.mesh_peers("t").back(), "c");
  ASSERT_EQ(prunes().size(), 1u);
  EXPECT_NE(prunes()[0].first, "c");
  EXPECT_EQ(prunes()[0].second.instead(), "c");
  // One more in the same heartbeat is one too many for so small a mesh; it may come back after a heartbeat.
  EXPECT_TRUE(say("d", need));
  ASSERT_EQ(prunes().size(), 1u);
  EXPECT_EQ(prunes()[0].first, "d");
  EXPECT_LE(prunes()[0].second.backoff_ms(), 701u);

  // The other side: pruned in favour of a peer we know, we take that one.
  MeshControl prune;
  prune.add_prune()->set_topic("t");
  prune.mutable_prune(0)->set_backoff_ms(1000);
  prune.mutable_prune(0)->set_instead(mesh.mesh_peers("t").front() == "a" ? "b" : "a");
  EXPECT_TRUE(say("c", prune));
  EXPECT_EQ(mesh.mesh_peers("t").size(), 1u) << "whom we pruned ourselves a moment ago is left alone";
  prune.mutable_prune(0)->set_instead("nobody");
  EXPECT_TRUE(say(mesh.mesh_peers("t").front(), prune));
  prune.mutable_prune(0)->set_instead("not a name");
  EXPECT_FALSE(say("a", prune));
}

TEST(MeshControl, TheFirstControlMessageCarriesTopicsAndKnownPeers) {
  MeshParams params;
  Mesh mesh(params, "me", {"/ip4/1.1.1.1/tcp/1"}, 1);
  MeshOutbox out;
  for (int i = 0; i < 1000; ++i)
    EXPECT_TRUE(mesh.subscribe({}, std::string(250, 'x') + std::to_string(i), out));
  mesh.on_connected({}, "a", false, out);
  MeshControl hello;
  KnownPeer* told = hello.add_peers();
  told->set_peer("a");
  told->add_addresses("/ip4/2.2.2.2/tcp/1");
  const std::string bytes = hello.SerializeAsString();
  EXPECT_TRUE(mesh.on_control({}, "a", as_bytes(bytes), out));
  out.clear();
  mesh.on_connected({}, "b", false, out);
  std::size_t messages = 0;
  MeshControl all;
  for (const MeshAction& action : out) {
    const auto* control = std::get_if<SendControl>(&action);
    if (control == nullptr) continue;
    ++messages;
    EXPECT_LE(control->bytes.size(), control_bytes_max / 2);
    MeshControl one;
    ASSERT_TRUE(one.ParseFromArray(control->bytes.data(), static_cast<int>(control->bytes.size())));
    all.MergeFrom(one);
  }
  EXPECT_GE(messages, 2u) << "a thousand long topics are split";
  EXPECT_EQ(all.subscriptions_size(), 1000);
  ASSERT_EQ(all.peers_size(), 2);
  EXPECT_EQ(all.peers(0).peer(), "me");
  EXPECT_EQ(all.peers(1).peer(), "a");
}

TEST(MeshControl, BoundsHold) {
  MeshParams params;
  params.topics_max = 8;
  params.known_peers_max = 16;
  params.connections_max = 2;
  Mesh mesh(params, "me", {}, 1);
  MeshOutbox out;
  for (int i = 0; i < 8; ++i) EXPECT_TRUE(mesh.subscribe({}, "t" + std::to_string(i), out));
  EXPECT_FALSE(mesh.subscribe({}, "one more", out));
  EXPECT_FALSE(mesh.want_route({}, "one more", out));
  EXPECT_FALSE(mesh.subscribe({}, "", out));
  EXPECT_FALSE(mesh.subscribe({}, std::string(256, 'x'), out));
  EXPECT_TRUE(mesh.subscribe({}, "t3", out)) << "already there";
  mesh.on_connected({}, "a", true, out);
  mesh.on_connected({}, "b", true, out);
  out.clear();
  mesh.on_connected({}, "c", true, out);
  ASSERT_EQ(
      std::count_if(out.begin(), out.end(), [](const MeshAction& a) { return a.index() == 2; }), 1);
  EXPECT_EQ(std::get<Disconnect>(out.front()).peer, "c");
  mesh.on_connected({}, "me", false, out);
  EXPECT_EQ(mesh.connected_peers().size(), 2u);

  for (int round = 0; round < 4; ++round) {
    MeshControl peers;
    for (int i = 0; i < 60; ++i) {
      KnownPeer* peer = peers.add_peers();
      peer->set_peer("p" + std::to_string(round * 100 + i));
      peer->add_addresses("/ip4/1.2.3.4/tcp/" + std::to_string(i));
    }
    const std::string bytes = peers.SerializeAsString();
    EXPECT_TRUE(mesh.on_control({}, "a", as_bytes(bytes), out));
  }
  EXPECT_EQ(mesh.address_book().size(), 16u);
}

TEST(MeshControl, MalformedControlIsRefusedAndChangesNothing) {
  MeshParams params;
  params.topics_max = 4;
  Mesh mesh(params, "me", {}, 1);
  MeshOutbox out;
  mesh.on_connected({}, "a", false, out);
  out.clear();
  const auto refused = [&](const std::string& bytes) {
    const bool is_refused = !mesh.on_control({}, "a", as_bytes(bytes), out);
    return is_refused && out.empty() && mesh.known_topics().empty() && mesh.address_book().empty();
  };
  const auto with_good = [](MeshControl control) {
    Subscription* good = control.add_subscriptions();
    good->set_subscribe(true);
    good->set_topic("good");
    KnownPeer* peer = control.add_peers();
    peer->set_peer("p");
    peer->add_addresses("/ip4/1.1.1.1/tcp/1");
    return control;
  };
  EXPECT_TRUE(refused("\x0a\xff"));
  EXPECT_TRUE(refused(std::string(control_bytes_max + 1, '\0')));
  MeshControl control = with_good({});
  control.add_graft("");
  EXPECT_TRUE(refused(control.SerializeAsString()));
  control = with_good({});
  control.add_graft(std::string(256, 'x'));
  EXPECT_TRUE(refused(control.SerializeAsString()));
  control = with_good({});
  control.add_prune();
  EXPECT_TRUE(refused(control.SerializeAsString()));
  control = with_good({});
  control.add_subscriptions()->set_subscribe(true);
  EXPECT_TRUE(refused(control.SerializeAsString()));
  for (const std::string& name : {std::string(), std::string("a b"), std::string(129, 'x')}) {
    control = with_good({});
    control.add_peers()->set_peer(name);
    EXPECT_TRUE(refused(control.SerializeAsString())) << name;
  }
  for (const std::string& address :
       {std::string(), std::string("ip4"), "/" + std::string(256, 'x'), std::string("/a\n")}) {
    control = with_good({});
    control.mutable_peers(0)->add_addresses(address);
    EXPECT_TRUE(refused(control.SerializeAsString())) << address;
  }
  control = with_good({});
  for (std::size_t i = 0; i < addresses_per_peer_max; ++i)
    control.mutable_peers(0)->add_addresses("/x");
  EXPECT_TRUE(refused(control.SerializeAsString()));
  control = with_good({});
  for (std::size_t i = 0; i < control_peers_max; ++i) control.add_peers()->set_peer("q");
  EXPECT_TRUE(refused(control.SerializeAsString()));
  control = with_good({});
  for (int i = 0; i < 4; ++i) {
    control.add_subscriptions()->set_subscribe(true);
    control.mutable_subscriptions(i + 1)->set_topic("t" + std::to_string(i));
  }
  EXPECT_TRUE(refused(control.SerializeAsString())) << "more topics than a peer may have";
  EXPECT_FALSE(refused(with_good({}).SerializeAsString()));
}

}  // namespace
}  // namespace corelay::mesh
