// The layers of the configuration: who wins, what is refused and in which words.
#include "control/node/config.h"

#include <gtest/gtest.h>

namespace corelay::node {
namespace {

Expected<LoadedConfig> with_file(std::string text) {
  return load_config({.file_name = "corelay.toml", .file_text = std::move(text), .environment = {}, .flags = {}});
}
Expected<LoadedConfig> with_variable(std::string name, std::string value) {
  return load_config({.file_name = "", .file_text = "", .environment = {{name, value}}, .flags = {}});
}
Expected<LoadedConfig> with_flag(std::string key, std::string value) {
  return load_config({.file_name = "", .file_text = "", .environment = {}, .flags = {{key, value}}});
}

std::string origin_of(const LoadedConfig& loaded, std::string_view name) {
  const auto fields = config_fields();
  for (std::size_t i = 0; i < fields.size(); ++i) {
    if (fields[i].name() == name) return loaded.origins[i];
  }
  return "no such key";
}

void expect_text(const Expected<LoadedConfig>& loaded, std::string_view part) {
  ASSERT_FALSE(loaded.has_value());
  EXPECT_NE(loaded.error().what.find(part), std::string::npos) << loaded.error().what;
}

TEST(Config, DefaultFileSaysWhatTheStructSays) {
  const auto nothing = load_config({});
  const auto file = with_file(std::string(default_toml()));
  ASSERT_TRUE(nothing.has_value());
  ASSERT_TRUE(file.has_value()) << file.error().describe();
  for (const auto& field : config_fields()) {
    EXPECT_EQ(field_text(field, file->config), field_text(field, nothing->config)) << field.name();
    EXPECT_TRUE(origin_of(*file, field.name()).starts_with("corelay.toml line "))
        << field.name() << " is not documented";
  }
}

TEST(Config, FlagBeatsEnvironmentBeatsFileBeatsDefault) {
  ConfigSources sources;
  EXPECT_EQ(load_config(sources)->config.p2p.port, 7070);
  sources.file_name = "corelay.toml";
  sources.file_text = "[p2p]\nport = 1001\n";
  EXPECT_EQ(load_config(sources)->config.p2p.port, 1001);
  EXPECT_EQ(origin_of(*load_config(sources), "p2p.port"), "corelay.toml line 2");
  sources.environment = {{"OPTIMUM_PORT", "1002"}};
  EXPECT_EQ(load_config(sources)->config.p2p.port, 1002);
  EXPECT_EQ(origin_of(*load_config(sources), "p2p.port"), "environment OPTIMUM_PORT");
  sources.environment.emplace_back("CORELAY_P2P_PORT", "1003");
  EXPECT_EQ(load_config(sources)->config.p2p.port, 1003);
  sources.flags = {{"p2p.port", "1004", "--port"}};
  EXPECT_EQ(load_config(sources)->config.p2p.port, 1004);
  EXPECT_EQ(origin_of(*load_config(sources), "p2p.port"), "flag --port");
}

TEST(Config, EveryPublishedVariableIsHonoured) {
  const auto loaded =
      load_config({.file_name = "",
                   .file_text = "",
                   .environment = {{"LOG_LEVEL", "debug"},
                                   {"CLUSTER_ID", "docker-dev-cluster"},
                                   {"NODE_MODE", "gossipsub"},
                                   {"SIDECAR_PORT", "33221"},
                                   {"API_PORT", "9091"},
                                   {"IDENTITY_DIR", "/tmp/id"},
                                   {"BOOTSTRAP_PEERS", "/ip4/172.28.0.12/tcp/7070/p2p/a, /ip4/1.2.3.4/tcp/1"},
                                   {"OPTIMUM_PORT", "7071"},
                                   {"OPTIMUM_MAX_MSG_SIZE", "1048576"},
                                   {"OPTIMUM_MESH_TARGET", "7"},
                                   {"OPTIMUM_MESH_MIN", "4"},
                                   {"OPTIMUM_MESH_MAX", "9"},
                                   {"OPTIMUM_SHARD_FACTOR", "4"},
                                   {"OPTIMUM_SHARD_MULT", "1.5"},
                                   {"OPTIMUM_THRESHOLD", "0.75"},
                                   {"OPTIMUM_RANDOM_MSG_SIZE", "99"},
                                   {"GOSSIPSUB_PORT", "6061"},
                                   {"GOSSIPSUB_MAX_MSG_SIZE", "77"},
                                   {"GOSSIPSUB_MESH_TARGET", "8"},
                                   {"GOSSIPSUB_MESH_MIN", "5"},
                                   {"GOSSIPSUB_MESH_MAX", "10"}},
                   .flags = {}});
  ASSERT_TRUE(loaded.has_value()) << loaded.error().describe();
  const NodeConfig& c = loaded->config;
  EXPECT_EQ(c.log.level, LogLevel::debug);
  EXPECT_EQ(c.node.cluster_id, "docker-dev-cluster");
  EXPECT_EQ(c.node.mode, NodeMode::gossipsub);
  EXPECT_EQ(c.sidecar.port, 33221);
  EXPECT_EQ(c.api.port, 9091);
  EXPECT_EQ(c.node.identity_dir, "/tmp/id");
  EXPECT_EQ(c.node.bootstrap_peers,
            (std::vector<std::string>{"/ip4/172.28.0.12/tcp/7070/p2p/a", "/ip4/1.2.3.4/tcp/1"}));
  EXPECT_EQ(c.p2p.port, 7071);
  EXPECT_EQ(c.relay.message_bytes_max, 1048576U);
  EXPECT_EQ(c.mesh.degree_target, 7U);
  EXPECT_EQ(c.mesh.degree_min, 4U);
  EXPECT_EQ(c.mesh.degree_max, 9U);
  EXPECT_EQ(c.relay.random_message_bytes, 99U);
  EXPECT_EQ(c.gossipsub.port, 6061);
  EXPECT_EQ(c.gossipsub.message_bytes_max, 77U);
  EXPECT_EQ(c.gossipsub.degree_target, 8U);
  EXPECT_EQ(c.gossipsub.degree_min, 5U);
  EXPECT_EQ(c.gossipsub.degree_max, 10U);
  const auto params = relay_params(c);
  EXPECT_EQ(params.shards_target, 4);
  EXPECT_EQ(params.start_mult, 1.5);
  EXPECT_EQ(params.forward_threshold, 0.75);
}

TEST(Config, CodingOverridesUnsetMeanAutomatic) {
  const auto params = relay_params(load_config({})->config);
  const dataplane::RelayParams automatic;
  EXPECT_EQ(params.shards_target, automatic.shards_target);
  EXPECT_EQ(params.start_mult, automatic.start_mult);
  EXPECT_EQ(params.forward_threshold, automatic.forward_threshold);
}

TEST(Config, EveryKeyAnswersToItsOwnVariable) {
  for (const auto& field : config_fields()) {
    std::string name = "CORELAY_" + field.name();
    for (char& c : name) c = c == '.' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    std::string value = field_text(field, NodeConfig{});
    if (value.front() == '"') value = value.substr(1, value.size() - 2);
    if (value.empty() || value == "[]") value = "x";
    const auto loaded = with_variable(name, value);
    ASSERT_TRUE(loaded.has_value()) << loaded.error().describe();
    EXPECT_EQ(origin_of(*loaded, field.name()), "environment " + name);
  }
}

TEST(Config, EmptyAndForeignVariablesArePassedOver) {
  EXPECT_EQ(with_variable("OPTIMUM_PORT", "")->config.p2p.port, 7070);
  EXPECT_TRUE(with_variable("CORELAY_GATEWAY_PORT", "1").has_value());
  EXPECT_TRUE(with_variable("PATH", "/bin").has_value());
}

TEST(Config, UnknownNamesTellTheNearest) {
  expect_text(with_file("[p2p]\nprot = 1\n"), "unknown key p2p.prot (corelay.toml line 2): did you mean p2p.port?");
  expect_text(with_file("[mash]\ndegree_target = 1\n"), "did you mean mesh.degree_target?");
  expect_text(with_file("port = 1\n"), "unknown key port");
  expect_text(with_flag("sidecar.prt", "1"), "did you mean sidecar.port?");
  expect_text(with_variable("CORELAY_API_PROT", "1"), "did you mean CORELAY_API_PORT?");
}

TEST(Config, WrongTypesAndRangesNameFieldValueAndWhatIsAllowed) {
  expect_text(with_file("[p2p]\nport = 70000\n"),
              "p2p.port = 70000 (corelay.toml line 2): must be an integer from 0 to 65535");
  expect_text(with_file("[p2p]\nport = \"7070\"\n"), "p2p.port = \"7070\"");
  expect_text(with_file("[p2p]\nport = 7070.5\n"), "an integer");
  expect_text(with_file("[p2p]\nport = true\n"), "p2p.port = true");
  expect_text(with_file("[p2p]\nport = 1979-05-27\n"), "an integer");
  expect_text(with_file("[p2p.port]\nx = 1\n"), "an integer");
  expect_text(with_file("[relay]\nthreshold = nan\n"), "a number from 0 to 1");
  expect_text(with_file("[node]\nbootstrap_peers = [1]\n"), "a list of strings");
  expect_text(with_file("[relay]\nverify_before_forward = 1\n"), "true or false");
  expect_text(with_variable("NODE_MODE", "relay"),
              "node.mode = \"relay\" (environment NODE_MODE): must be one of optimum, gossipsub");
  expect_text(with_variable("OPTIMUM_THRESHOLD", "2"), "relay.threshold = 2");
  expect_text(with_variable("OPTIMUM_PORT", "0x10"), "p2p.port");
  expect_text(with_flag("dataplane.pin_lcores", "yes"), "true or false");
}

TEST(Config, TheRouterIsTheMeshUnlessTwoHopsAreAskedFor) {
  const auto standard = with_file("");
  ASSERT_TRUE(standard.has_value());
  EXPECT_EQ(relay_params(standard->config).router, dataplane::Router::mesh);
  EXPECT_EQ(relay_params(standard->config).start_mult, 1.0);
  for (const auto& loaded : {with_file("[relay]\nrouter = \"two-hop\"\n"), with_flag("relay.router", "two-hop"),
                             with_variable("CORELAY_RELAY_ROUTER", "two-hop")}) {
    ASSERT_TRUE(loaded.has_value()) << loaded.error().describe();
    EXPECT_EQ(relay_params(loaded->config).router, dataplane::Router::two_hop);
    EXPECT_EQ(relay_params(loaded->config).start_mult, dataplane::two_hop_start_mult);
  }
  const auto by_hand = with_file("[relay]\nrouter = \"two-hop\"\nshard_mult = 1.5\n");
  ASSERT_TRUE(by_hand.has_value());
  EXPECT_EQ(relay_params(by_hand->config).start_mult, 1.5);
  expect_text(with_file("[relay]\nrouter = \"three-hop\"\n"), "must be one of mesh, two-hop");
}

TEST(Config, KeysThatMustFitTogether) {
  expect_text(with_file("[mesh]\ndegree_min = 7\n"), "mesh.degree_min = 7");
  expect_text(with_file("[p2p]\nport = 65535\n[dataplane]\nlanes = 2\n"), "65535");
  expect_text(with_file("[p2p]\nport = 0\n[dataplane]\nlanes = 2\n"), "lanes = 1");
  expect_text(with_file("[relay]\nshard_mult = 0.5\n"), "shard_mult");
  expect_text(with_file("[relay]\nrouter = \"two-hop\"\npeers_max = 2000\n"), "relay.peers_max = 2000");
  expect_text(with_file("[relay]\nrouter = \"two-hop\"\npeers_max = 1024\n"), "p2p.connections_max = 256");
  EXPECT_TRUE(with_file("[relay]\npeers_max = 2000\n").has_value());
  EXPECT_TRUE(with_file("[p2p]\nport = 65534\n[dataplane]\nlanes = 2\n").has_value());
}

TEST(Config, SyntaxErrorsHaveLineAndColumn) {
  expect_text(with_file("[p2p]\nport 1\n"), "corelay.toml line 2, column");
}

TEST(Config, PrintedConfigurationReadsBackTheSame) {
  const auto loaded = load_config({.file_name = "",
                                   .file_text = "",
                                   .environment = {{"CLUSTER_ID", "a \"b\" \\ c"}, {"OPTIMUM_THRESHOLD", "0.75"}},
                                   .flags = {{"node.bootstrap_peers", "/ip4/1.1.1.1/tcp/1,/ip4/2.2.2.2/tcp/2"}}});
  ASSERT_TRUE(loaded.has_value());
  const std::string printed = print_config(*loaded);
  EXPECT_NE(printed.find("# environment OPTIMUM_THRESHOLD"), std::string::npos);
  const auto again = with_file(printed);
  ASSERT_TRUE(again.has_value()) << again.error().describe();
  for (const auto& field : config_fields()) {
    EXPECT_EQ(field_text(field, again->config), field_text(field, loaded->config)) << field.name();
  }
}

}  // namespace
}  // namespace corelay::node
