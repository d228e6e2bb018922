// Propagation runs: the link model against arithmetic, determinism, coverage, faults, and scenarios
// from TOML.
#include "sim/propagation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>

#include "sim/topology.h"

namespace corelay::sim {
namespace {

PropagationScenario small(std::size_t nodes = 40, std::size_t size_bytes = 256 * 1024) {
  PropagationScenario one;
  one.name = "small";
  one.nodes = nodes;
  one.size_bytes = size_bytes;
  one.degree_target = one.degree_min = one.degree_max = 6;
  return one;
}

PropagationResult run(const PropagationScenario& scenario, std::string_view router,
                      std::uint64_t seed = 1) {
  const auto result = run_propagation(scenario, router, seed);
  EXPECT_TRUE(result.has_value()) << (result ? "" : result.error().describe());
  return result ? *result : PropagationResult{};
}

TEST(Propagation, two_nodes_take_message_over_bandwidth_plus_delay_and_headers) {
  PropagationScenario pair = small(2, 1'368'000);
  pair.degree_target = pair.degree_min = pair.degree_max = 1;
  const PropagationResult result = run(pair, "gossipsub-v1.1");
  // 1000 packets of 1428 bytes at 6.25 MB/s, 50 ms, and the last turn once more on the downlink.
  const double packets_ms = 1000 * 1428 / 6250.0;
  const double turn_ms = 8 * 1428 / 6250.0;
  EXPECT_NEAR(result.t100_ms, packets_ms + 50 + turn_ms, 0.001 * packets_ms);
  EXPECT_NEAR(result.lb100_ms, 1'368'000 / 6250.0 + 50, 1e-6);
}

TEST(Propagation, every_router_reaches_everybody_and_the_same_seed_gives_the_same_events) {
  for (const RouterInfo& router : routers()) {
    SCOPED_TRACE(router.name);
    const PropagationResult once = run(small(), router.name);
    const PropagationResult again = run(small(), router.name);
    EXPECT_EQ(once.event_hash, again.event_hash);
    EXPECT_EQ(once.times_ms, again.times_ms);
    EXPECT_TRUE(once.coverage == 1.0 || router.name == "raintree-bare") << once.coverage;
    EXPECT_EQ(once.wrong_deliveries, 0u);
    EXPECT_NE(run(small(), router.name, 2).event_hash, once.event_hash);
    EXPECT_GT(once.sent_mean, 0.9);
  }
}

/// More members than a message has flows, a mesh of degree 6 under them.
TEST(Propagation, a_known_membership_is_reached_in_two_hops_sooner_and_for_less_than_by_the_mesh) {
  const PropagationScenario all = small(100, 256 * 1024);
  const PropagationResult two_hop = run(all, "corelay-two-hop");
  const PropagationResult mesh = run(all, "corelay");
  EXPECT_EQ(two_hop.coverage, 1.0);
  EXPECT_LT(two_hop.t99_ms, 0.8 * mesh.t99_ms);
  EXPECT_LT(two_hop.sent_mean, mesh.sent_mean);
  EXPECT_LT(two_hop.sent_max, 2.0);
}

TEST(Propagation, what_two_hops_leave_missing_the_mesh_fills_in) {
  for (const std::uint64_t seed : {1u, 2u}) {
    PropagationScenario bad = small(30, 256 * 1024);
    bad.loss.random = 0.1;
    bad.silent_share = 0.2;
    bad.messages = 2;
    const PropagationResult result = run(bad, "corelay-two-hop", seed);
    EXPECT_EQ(result.coverage, 1.0);
    EXPECT_EQ(result.wrong_deliveries, 0u);
    bad.silent_share = 0;
    bad.publisher_leaves_after = 1.6;
    EXPECT_EQ(run(bad, "corelay-two-hop", seed).coverage, 1.0);
    bad.publisher_leaves_after = 0;
    bad.churn_share = 0.5;
    bad.messages = 6;
    EXPECT_EQ(run(bad, "corelay-two-hop", seed).coverage, 1.0);
    bad.churn_share = 0;
    bad.polluter_share = 0.07;
    const PropagationResult spoilt = run(bad, "corelay-two-hop", seed);
    EXPECT_EQ(spoilt.coverage, 1.0);
    EXPECT_EQ(spoilt.wrong_deliveries, 0u);
  }
}

/// The account says what became of bytes; uplinks count them as they are sent.
TEST(Propagation, every_byte_onto_an_uplink_is_in_the_account_once) {
  PropagationScenario lossy = small();
  lossy.loss.random = 0.05;
  PropagationScenario single = small(40, 1200);
  for (const RouterInfo& router : routers()) {
    SCOPED_TRACE(router.name);
    EXPECT_NEAR(run(small(), router.name).accounted, 1.0, 1e-9);
    EXPECT_NEAR(run(lossy, router.name).accounted, 1.0, 1e-9);
    EXPECT_NEAR(run(single, router.name).accounted, 1.0, 1e-9);
  }
}

TEST(Propagation, useful_bytes_are_one_message_for_each_node) {
  for (const char* router : {"corelay", "gossipsub-v1.1", "oracle"}) {
    SCOPED_TRACE(router);
    const PropagationScenario scenario = small();
    const PropagationResult result = run(scenario, router);
    const double useful = result.useful * result.sent_mean * 40;
    EXPECT_NEAR(useful, 39, 39 * 0.08);  // shards are padded
  }
}

TEST(Propagation, nobody_beats_the_bound_over_the_mesh) {
  for (const char* router : {"corelay", "gossipsub-v1.2-seq", "rs-bitmap", "oracle"}) {
    SCOPED_TRACE(router);
    const PropagationResult result = run(small(), router);
    EXPECT_GE(result.t50_ms, result.lb50_ms);
    EXPECT_GE(result.t100_ms, result.lb100_ms);
  }
}

TEST(Propagation, loss_delays_and_costs_but_everybody_is_reached) {
  PropagationScenario lossy = small();
  lossy.loss.random = 0.1;
  for (const char* router : {"corelay", "gossipsub-v1.2-seq", "rs-bitmap", "oracle"}) {
    SCOPED_TRACE(router);
    const PropagationResult result = run(lossy, router);
    EXPECT_EQ(result.coverage, 1.0);
    EXPECT_NEAR(result.lost, 0.1, 0.03);
  }
}

TEST(Propagation, bursts_lose_as_much_as_they_say) {
  PropagationScenario lossy = small();
  lossy.loss.burst_end = 1.0 / 8;
  lossy.loss.burst_start = 0.05 / 0.95 / 8;
  EXPECT_NEAR(run(lossy, "gossipsub-v1.1").lost, 0.05, 0.02);
}

TEST(Propagation, silent_nodes_are_not_owed_and_do_not_stop_the_others) {
  PropagationScenario silent = small();
  silent.silent_share = 0.2;
  for (const char* router : {"corelay", "gossipsub-v1.1", "rs-bitmap", "oracle"}) {
    SCOPED_TRACE(router);
    EXPECT_EQ(run(silent, router).coverage, 1.0);
  }
}

TEST(Propagation, churn_and_a_publisher_that_leaves_end_with_an_answer) {
  PropagationScenario churn = small();
  churn.churn_share = 0.2;
  churn.messages = 5;
  EXPECT_EQ(run(churn, "corelay").coverage, 1.0);
  PropagationScenario leaving = small();
  leaving.publisher_leaves_after = 2;
  EXPECT_GE(run(leaving, "corelay").coverage, 0.9);
  leaving.publisher_leaves_after = 0.2;
  leaving.timeout_ms = 3000;
  EXPECT_EQ(run(leaving, "corelay").coverage, 0.0);  // nobody can have what was never sent
}

PropagationScenario with_polluters(Pollution pollution) {
  PropagationScenario one = small(100);
  one.degree_target = one.degree_min = one.degree_max = 8;
  one.polluter_share = 0.2;
  one.pollution = pollution;
  one.messages = 3;
  one.timeout_ms = 20'000;
  return one;
}

TEST(Propagation, a_polluter_never_makes_a_wrong_delivery) {
  PropagationScenario polluted = small(20);
  polluted.polluter_share = 0.1;
  polluted.timeout_ms = 1000;
  const PropagationResult result = run(polluted, "corelay");
  EXPECT_GT(result.altered_frames, 0u);
  EXPECT_GT(result.wrong_digests, 0u) << "the wrong bytes must have reached a decoder";
  EXPECT_EQ(result.wrong_deliveries, 0u);
  EXPECT_NEAR(result.accounted, 1.0, 1e-9);
}

TEST(Propagation, liars_about_rank_are_believed_and_everybody_else_is_reached) {
  const PropagationResult result = run(with_polluters(Pollution::lies_about_rank), "corelay");
  EXPECT_GT(result.altered_frames, 0u);
  EXPECT_EQ(result.malformed_frames, 0u) << "a lie is a valid frame";
  EXPECT_EQ(result.coverage, 1.0);
  EXPECT_EQ(result.wrong_deliveries, 0u);
  EXPECT_EQ(result.evicted_honest, 0u);
  // Believed: honest neighbours give liars what they need no more.
  const PropagationResult mute = run(with_polluters(Pollution::never_forwards), "corelay");
  EXPECT_GT(result.sent_mean, 1.2 * mute.sent_mean);
}

TEST(Propagation, polluters_delay_messages_but_stop_none_and_no_honest_neighbour_is_cut) {
  const PropagationResult result = run(with_polluters(Pollution::wrong_bytes), "corelay");
  EXPECT_GT(result.wrong_digests, 0u);
  EXPECT_EQ(result.coverage, 1.0);
  EXPECT_EQ(result.wrong_deliveries, 0u);
  EXPECT_GT(result.evicted_polluters, 0u);
  EXPECT_EQ(result.evicted_honest, 0u);
  EXPECT_LT(result.sent_mean, 5.0);
}

TEST(Propagation, nodes_that_never_forward_cost_time_but_everybody_else_is_reached) {
  const PropagationResult mute = run(with_polluters(Pollution::never_forwards), "corelay");
  EXPECT_EQ(mute.coverage, 1.0);
  EXPECT_EQ(mute.evicted_honest, 0u);
  PropagationScenario clean = with_polluters(Pollution::never_forwards);
  clean.polluter_share = 0;
  EXPECT_GT(mute.t99_ms, run(clean, "corelay").t99_ms) << "they were mute";
}

TEST(Propagation, a_neighbour_leaves_when_its_score_passes_the_limit_unless_faults_are_old) {
  PropagationScenario polluted = small(20);
  polluted.polluter_share = 0.1;
  polluted.timeout_ms = 10'000;
  polluted.messages = 4;  // a fault needs a message of its own
  polluted.evict_score = 21.5;  // one wrong generation vouched for is not enough, the next fault passes it,
  polluted.evict_half_life_ms = 1e9;
  const PropagationResult strict = run(polluted, "corelay");
  EXPECT_GT(strict.evicted_polluters + strict.evicted_honest, 0u);
  polluted.evict_half_life_ms = 1e-6;  // or the first is forgotten by then
  const PropagationResult forgetful = run(polluted, "corelay");
  EXPECT_GT(forgetful.wrong_digests, 0u);
  EXPECT_EQ(forgetful.evicted_polluters + forgetful.evicted_honest, 0u);
}

TEST(Propagation, reed_solomon_serves_nodes_that_come_back) {
  const auto& list = built_in_scenarios();
  const auto churn =
      std::find_if(list.begin(), list.end(), [](const auto& one) { return one.name == "S5-churn"; });
  ASSERT_NE(churn, list.end());
  PropagationScenario scenario = *churn;
  scenario.nodes = 150;
  for (const std::uint64_t seed : {1, 2}) {
    SCOPED_TRACE("SEED=" + std::to_string(seed));
    EXPECT_EQ(run(scenario, "rs-bitmap-64", seed).coverage, 1.0);
  }
}

TEST(Propagation, slow_processors_delay_everybody) {
  PropagationScenario slow = small();
  const double quick_ms = run(slow, "corelay").t99_ms;
  slow.cpu_us_per_packet = 2000;
  EXPECT_GT(run(slow, "corelay").t99_ms, 1.5 * quick_ms);
}

TEST(Propagation, the_products_mesh_can_form_the_mesh) {
  PropagationScenario formed = small(24);
  formed.is_mesh_formed = true;
  formed.degree_min = 4;
  formed.degree_max = 12;
  EXPECT_EQ(run(formed, "corelay").coverage, 1.0);
}

TEST(Propagation, messages_of_several_publishers_at_once) {
  PropagationScenario many = small(40, 32 * 1024);
  many.publishers = 8;
  many.stagger_ms = 5;
  many.messages = 2;
  for (const char* router : {"corelay", "gossipsub-v1.2-seq", "rs-bitmap", "oracle"}) {
    SCOPED_TRACE(router);
    EXPECT_EQ(run(many, router).coverage, 1.0);
  }
}

TEST(Topology, a_mesh_is_symmetric_simple_and_of_the_degree_asked_for) {
  PropagationScenario scenario = small(500);
  const auto check = [&](std::size_t least, std::size_t most) {
    const Topology topology(scenario, 3);
    for (NodeId n = 0; n < topology.nodes(); ++n) {
      const auto peers = topology.neighbours(n);
      EXPECT_GE(peers.size(), least);
      EXPECT_LE(peers.size(), most);
      for (std::size_t slot = 0; slot < peers.size(); ++slot) {
        EXPECT_NE(peers[slot], n);
        EXPECT_EQ(topology.neighbours(peers[slot])[topology.back_slot(n, slot)], n);
        for (std::size_t other = 0; other < slot; ++other) EXPECT_NE(peers[other], peers[slot]);
      }
    }
  };
  check(6, 6);
  scenario.degree_max = 12;
  check(6, 12);
}

TEST(ScenarioToml, the_documented_file_is_the_default) {
  std::ifstream file(std::string(CORELAY_SOURCE) + "/sim/scenario.toml");
  std::ostringstream text;
  text << file.rdbuf();
  const auto parsed = parse_scenario(text.str(), "scenario.toml");
  ASSERT_TRUE(parsed.has_value()) << parsed.error().describe();
  PropagationScenario expected;
  expected.nodes = 30;
  PropagationScenario given = *parsed;
  given.nodes = 30;
  given.size_bytes = expected.size_bytes = 64 * 1024;
  EXPECT_EQ(run(given, "corelay").event_hash, run(expected, "corelay").event_hash);
}

TEST(ScenarioToml, an_unknown_field_names_the_nearest) {
  const auto wrong = parse_scenario("[message]\nsize_byte = 5\n", "x.toml");
  ASSERT_FALSE(wrong.has_value());
  EXPECT_NE(wrong.error().what.find("message.size_bytes"), std::string::npos)
      << wrong.error().describe();
  EXPECT_NE(wrong.error().what.find("line 2"), std::string::npos);
}

TEST(ScenarioToml, a_word_without_quotes_is_told_what_its_field_takes) {
  for (const auto& [text, said] :
       {std::pair{"# x\nnodes = ten # y", "line 2: nodes must be a whole number, 0 or more"},
        {"[cpu]\n[loss]\nrandom = none\r\n", "line 3: loss.random must be a number, 0 to 10^12"},
        {"[[bandwidth]]\nshare = 1\n\nup_mbps = fast", "line 4: bandwidth.up_mbps must be a number, 0 to 10^12"},
        {"about = \"\"\"\n[cpu]\n\"\"\"\nnodes = ten", "line 4: nodes must be a whole number, 0 or more"},
        {"name = S1\n", "line 1: text needs quotes: name = \"S1\""},
        {"[fault]\npollution = wrong-bytes", "line 2: text needs quotes: pollution = \"wrong-bytes\""},
        {"[fault]\npollution = foo",
         "line 2: fault.pollution is 'wrong-bytes', 'wrong-mixtures', 'lies-about-rank' or 'never-forwards', "
         "not 'foo'"},
        {"nodez = ten", "line 1: there is no field 'nodez'; the nearest is 'nodes'"}}) {
    const auto wrong = parse_scenario(text, "x.toml");
    ASSERT_FALSE(wrong.has_value()) << text;
    EXPECT_EQ(wrong.error().where, "x.toml");
    EXPECT_EQ(wrong.error().what, said);
  }
}

/// Where a line cannot be told apart without reading TOML, its parser has the word.
TEST(ScenarioToml, other_lines_that_are_no_toml_are_left_to_the_parser) {
  for (const auto& [text, line] :
       {std::pair{"[message]\ncount = 1\n[message]\n", "line 3: "}, {"nodes = 1\nnodes = 2\n", "line 2: "},
        {"nodes =\n", "line 1: "}, {"[message\nsize_bytes = 1\n", "line 1: "},
        {"[latency]\nregions = [\n  \"a\",\n  paris\n]", "line 4: "},
        {"[latency]\nregions = [\nname = S1\n]", "line 3: "},
        {"[latency]\nmatrix_ms = [\n  [0, 1],\n  [1, x]\n]", "line 4: "}, {"degree.target = six", "line 1: "},
        {"\"nodes\" = ten", "line 1: "}, {"nodes = 99999999999999999999", "line 1: "}, {"nodes = 010", "line 1: "},
        {"[loss]\nrandom = .1", "line 2: "}, {"[message]\nsize_bytes = 1 MiB", "line 2: "},
        {"nodes = 1\nnodes = ten\n", "line 2: "}, {"[nothing]\nname = S1\n", "line 2: "}}) {
    const auto wrong = parse_scenario(text, "x.toml");
    ASSERT_FALSE(wrong.has_value()) << text;
    EXPECT_TRUE(wrong.error().what.starts_with(line)) << text << ": " << wrong.error().what;
    EXPECT_NE(wrong.error().what.find("rror while parsing"), std::string::npos) << text << ": " << wrong.error().what;
    for (const char* hint : {"must be", "quotes:", "there is no field"})
      EXPECT_EQ(wrong.error().what.find(hint), std::string::npos) << text << ": " << wrong.error().what;
  }
}

TEST(ScenarioToml, errors_name_the_line_of_the_value_itself) {
  for (const auto& [text, said] :
       {std::pair{"[[bandwidth]]\nshare = 1\nup_mbps = 5\ndown_mbps = \"x\"", "line 4: bandwidth.down_mbps must be"},
        {"[[bandwidth]]\nshare = 1\nup = 5", "line 3: there is no field 'bandwidth.up'"},
        {"[[bandwidth]]\nshare = 1\nup_mbps = 5\ndown_mbps = 5\n\n[[bandwidth]]\nshare = 0",
         "line 6: bandwidth: share,"},
        {"[latency]\nmatrix_ms = [\n  [0, 1],\n  [\"x\", 0]\n]", "line 4: latency.matrix_ms must be a number"},
        {"[latency]\nregions = [\n  \"a\",\n  2\n]", "line 4: latency.regions must be text"},
        {"nodes = 5\n[message]\ncount = \"two\"", "line 3: message.count must be a whole number"},
        {"\n[mesage.x]\ny = 1", "line 2: there is no field 'mesage'"}}) {
    const auto wrong = parse_scenario(text, "x.toml");
    ASSERT_FALSE(wrong.has_value()) << text;
    EXPECT_TRUE(wrong.error().what.starts_with(said)) << text << ": " << wrong.error().what;
  }
}

TEST(ScenarioToml, nonsense_is_refused_in_words) {
  for (const char* text :
       {"nodes = -1", "nodes = \"many\"", "[loss]\nrandom = 1.5", "bandwidth = []", "[degree",
        "[latency]\nregions = [\"a\"]", "[latency]\nmin_ms = 5.0\nmax_ms = 1.0",
        "[fault]\npollution = \"lies\"", "[[bandwidth]]\nup_mbps = 0", "[[bandwidth]]\nup_mbps = nan",
        "[latency]\nconstant_ms = inf", "[latency]\njitter_ms = -1.0", "[loss]\nrandom = nan",
        "[relay]\nshards_target = 65537", "[relay]\nshards_target = 0", "[relay]\npath_mtu_bytes = 66936"}) {
    const auto wrong = parse_scenario(text, "x.toml");
    EXPECT_FALSE(wrong.has_value()) << text;
  }
  PropagationScenario scenario = small(2);
  EXPECT_FALSE(run_propagation(scenario, "corelay", 1).has_value());  // degree 6 among 2
  EXPECT_FALSE(run_propagation(small(), "carrier-pigeon", 1).has_value());
}

TEST(ScenarioToml, built_in_names_are_unique) {
  std::set<std::string> names;
  for (const PropagationScenario& one : built_in_scenarios())
    EXPECT_TRUE(names.insert(one.name).second) << one.name;
}

}  // namespace
}  // namespace corelay::sim
