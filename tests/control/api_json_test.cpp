// The documents of the node API, byte for byte where the published node's are known, and the
// reading of request targets.
#include "control/node/api_json.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "control/daemon/http_request.h"

namespace corelay::node {
namespace {

TEST(ApiJson, HealthAsPublished) {
  EXPECT_EQ(health_json({0.29, 6.7, 84.05}, "ok", {}),
            "{\"cpu_used\":\"0.29\",\"disk_used\":\"84.05\",\"memory_used\":\"6.70\",\"mode\":\"optimum\",\"status\":"
            "\"ok\"}\n");
  NodeConfig config;
  config.node.country = "India";
  config.node.country_iso = "IN";
  EXPECT_EQ(health_json({2.15, 74.56, 75.09}, "ok", config),
            "{\"country\":\"India\",\"country_iso\":\"IN\",\"cpu_used\":\"2.15\",\"disk_used\":\"75.09\","
            "\"memory_used\":\"74.56\",\"mode\":\"optimum\",\"status\":\"ok\"}\n");
}

TEST(ApiJson, NodeStateAsPublished) {
  EXPECT_EQ(node_state_json("12D3Self", {"12D3Peer"}, {"/ip4/172.28.0.12/tcp/7070"}, {}, {}),
            "{\"pub_key\":\"12D3Self\",\"peers\":[\"12D3Peer\"],\"addresses\":[\"/ip4/172.28.0.12/tcp/7070\"],"
            "\"topics\":[]}\n");
}

TEST(ApiJson, VersionAsPublished) {
  EXPECT_EQ(version_json("", "6d3d086"), "{\"commit_hash\":\"6d3d086\",\"version\":\"\"}\n");
}

TEST(ApiJson, ConfigHoldsEverySettingWithItsType) {
  NodeConfig config;
  config.node.cluster_id = "a \"b\" \\ \x01";
  config.node.bootstrap_peers = {"x", "y"};
  const auto document = nlohmann::json::parse(config_json(config));
  for (const auto& field : config_fields()) {
    EXPECT_TRUE(document[std::string(field.section)].contains(std::string(field.key))) << field.name();
  }
  EXPECT_EQ(document["node"]["cluster_id"], config.node.cluster_id);
  EXPECT_EQ(document["node"]["bootstrap_peers"].size(), 2U);
  EXPECT_EQ(document["p2p"]["port"], 7070);
  EXPECT_EQ(document["relay"]["redundancy"], 0.05);
  EXPECT_EQ(document["dataplane"]["backend"], "auto");
}

TEST(ApiJson, TopicsAndErrors) {
  const std::vector<TopicStatus> topics{
      {"demo", true, 2, {{"12D3A", "/ip4/1.2.3.4/tcp/1", true}, {"12D3B", "", false}}}};
  const auto document = nlohmann::json::parse(topics_json(topics, false));
  EXPECT_EQ(document["count"], 1);
  EXPECT_EQ(document["topics"][0]["peers"], 2);
  EXPECT_EQ(document["topics"][0]["mesh_peers"], 1);
  EXPECT_FALSE(document["topics"][0].contains("nodes"));
  const auto nodes = nlohmann::json::parse(topics_json(topics, true))["topics"][0]["nodes"];
  EXPECT_EQ(nodes[0]["peer_id"], "12D3A");
  EXPECT_EQ(nodes[0]["status"], "mesh");
  EXPECT_EQ(nodes[1]["status"], "subscribed");
  EXPECT_EQ(error_json("bad \"x\""), "{\"error\":\"bad \\\"x\\\"\"}\n");
  EXPECT_TRUE(nlohmann::json::accept(error_json("\xff\xfe")));
}

TEST(ApiTarget, PathAndQueryAreDecoded) {
  const auto request = daemon::parse_target("GET", "/api/v1/topics?topic=a%20b+c%2B&nodeinfo=true&empty&x=");
  ASSERT_TRUE(request.has_value());
  EXPECT_EQ(request->path, "/api/v1/topics");
  EXPECT_EQ(request->parameter("topic"), "a b c+");
  EXPECT_EQ(request->parameter("nodeinfo"), "true");
  EXPECT_EQ(request->parameter("empty"), "");
  EXPECT_EQ(request->parameter("missing"), "");
  EXPECT_EQ(daemon::parse_target("GET", "/a%2fb")->path, "/a/b");
}

TEST(ApiTarget, MalformedTargetsAreRefused) {
  for (const char* target : {"", "x", "http://a/b", "/%", "/%1", "/%zz", "/a?b=%", "/a%00b", "/a%0ab"}) {
    EXPECT_FALSE(daemon::parse_target("GET", target).has_value()) << target;
  }
}

}  // namespace
}  // namespace corelay::node
