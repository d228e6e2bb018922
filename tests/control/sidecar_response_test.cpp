// What the sidecar sends, without gRPC: the JSON of both client generations and the published trace events.
#include "control/node/response.h"

#include <gtest/gtest.h>

#include <array>
#include <nlohmann/json.hpp>

#include "proto/sidecar.pb.h"
#include "proto/trace.pb.h"

namespace corelay::node {
namespace {

using optimum::pb::TraceEvent;

dataplane::MessageId id_of(std::uint8_t fill) {
  dataplane::MessageId id{};
  id.fill(fill);
  return id;
}

libp2p::PeerId peer_of(std::uint8_t fill) {
  std::array<std::uint8_t, 32> key{};
  key.fill(fill);
  return libp2p::PeerId::from_ed25519(key);
}

TraceEvent event_of(const SharedResponse& response) {
  proto::Response parsed;
  EXPECT_TRUE(parsed.ParseFromString(*response));
  EXPECT_EQ(parsed.command(), proto::MessageTraceMumP2P);
  TraceEvent event;
  EXPECT_TRUE(event.ParseFromString(parsed.data()));
  return event;
}

std::string bytes_of(const libp2p::PeerId& peer) { return std::string(as_text(peer.bytes())); }

TEST(SidecarResponse, Base64AsInRfc4648) {
  EXPECT_EQ(base64(as_bytes("")), "");
  EXPECT_EQ(base64(as_bytes("f")), "Zg==");
  EXPECT_EQ(base64(as_bytes("fo")), "Zm8=");
  EXPECT_EQ(base64(as_bytes("foo")), "Zm9v");
  EXPECT_EQ(base64(as_bytes("foob")), "Zm9vYg==");
  EXPECT_EQ(base64(as_bytes("fooba")), "Zm9vYmE=");
  EXPECT_EQ(base64(as_bytes("foobar")), "Zm9vYmFy");
  const std::array<std::uint8_t, 3> high{0xff, 0xef, 0xbe};
  EXPECT_EQ(base64(high), "/+++");
}

TEST(SidecarResponse, MessageHasTheKeysOfBothClientGenerations) {
  const std::string text = message_json({"demo", as_bytes("hello"), id_of(0xab), "12D3Source", "12D3Up"});
  const std::string id = to_hex(id_of(0xab));
  EXPECT_EQ(text, "{\"topic\":\"demo\",\"message\":\"aGVsbG8=\",\"message_id\":\"" + id + "\",\"MessageID\":\"" + id +
                      "\",\"source_node_id\":\"12D3Source\",\"SourceNodeID\":\"12D3Source\","
                      "\"upstream_peer_id\":\"12D3Up\"}");
  EXPECT_FALSE(nlohmann::json::parse(message_json({"t", {}, id_of(1), "s", ""})).contains("upstream_peer_id"));
}

TEST(SidecarResponse, AnyTopicGivesValidJson) {
  const std::string topic = "a\"b\\c\n\x01\xff";
  const auto parsed = nlohmann::json::parse(message_json({topic, {}, id_of(1), "s", "u"}));
  EXPECT_EQ(parsed["topic"], "a\"b\\c\n\x01\xef\xbf\xbd");
}

TEST(SidecarResponse, EncodesAsProtobufDoes) {
  for (const std::size_t bytes : {0U, 1U, 127U, 128U, 20'000U}) {
    const std::string data(bytes, 'x');
    proto::Response parsed;
    ASSERT_TRUE(parsed.ParseFromString(*encode_response(ResponseKind::message, data)));
    EXPECT_EQ(parsed.command(), proto::Message);
    EXPECT_EQ(parsed.data(), data);
  }
}

TEST(SidecarTrace, PublishRejectDeliver) {
  const Tracer tracer(peer_of(1));
  const auto published = event_of(tracer.published(id_of(2), "demo"));
  EXPECT_EQ(published.type(), TraceEvent::PUBLISH_MESSAGE);
  EXPECT_EQ(published.peerid(), bytes_of(peer_of(1)));
  EXPECT_GT(published.timestamp(), 1'600'000'000'000'000'000);
  EXPECT_EQ(published.publishmessage().messageid(), to_hex(id_of(2)));
  EXPECT_EQ(published.publishmessage().topic(), "demo");

  const auto rejected = event_of(tracer.rejected(id_of(2), "demo", "no peers"));
  EXPECT_EQ(rejected.type(), TraceEvent::REJECT_MESSAGE);
  EXPECT_EQ(rejected.rejectmessage().reason(), "no peers");
  EXPECT_EQ(rejected.rejectmessage().topic(), "demo");
  EXPECT_EQ(rejected.rejectmessage().receivedfrom(), bytes_of(peer_of(1)));

  const auto delivered = event_of(tracer.delivered(id_of(2), "demo", peer_of(3)));
  EXPECT_EQ(delivered.type(), TraceEvent::DELIVER_MESSAGE);
  EXPECT_EQ(delivered.delivermessage().messageid(), to_hex(id_of(2)));
  EXPECT_EQ(delivered.delivermessage().topic(), "demo");
  EXPECT_EQ(delivered.delivermessage().receivedfrom(), bytes_of(peer_of(3)));
}

TEST(SidecarTrace, Shards) {
  using dataplane::ShardTrace;
  const Tracer tracer(peer_of(1));
  const auto traced = [&](ShardTrace kind) {
    return event_of(tracer.shard({id_of(2), 0, kind, 0}, "demo", peer_of(3)));
  };
  const auto fresh = traced(ShardTrace::fresh);
  EXPECT_EQ(fresh.type(), TraceEvent::NEW_SHARD);
  EXPECT_EQ(fresh.newshard().messageid(), to_hex(id_of(2)));
  EXPECT_EQ(fresh.newshard().receivedfrom(), bytes_of(peer_of(3)));
  const auto redundant = traced(ShardTrace::redundant);
  EXPECT_EQ(redundant.type(), TraceEvent::UNHELPFUL_SHARD);
  EXPECT_TRUE(redundant.has_unhelpfulshard());
  const auto late = traced(ShardTrace::after_complete);
  EXPECT_EQ(late.type(), TraceEvent::UNNECESSARY_SHARD);
  EXPECT_TRUE(late.has_unnecessaryshard());
  const auto duplicate = traced(ShardTrace::duplicate_message);
  EXPECT_EQ(duplicate.type(), TraceEvent::DUPLICATE_MESSAGE);
  EXPECT_EQ(duplicate.duplicatemessage().topic(), "demo");
}

TEST(SidecarTrace, Mesh) {
  using mesh::MeshTrace;
  const Tracer tracer(peer_of(1));
  const std::string peer = peer_of(2).text();
  EXPECT_EQ(event_of(tracer.mesh({MeshTrace::join, {}, "demo"})).join().topic(), "demo");
  EXPECT_EQ(event_of(tracer.mesh({MeshTrace::leave, {}, "demo"})).leave().topic(), "demo");
  EXPECT_EQ(event_of(tracer.mesh({MeshTrace::graft, peer, "demo"})).graft().peerid(), bytes_of(peer_of(2)));
  EXPECT_EQ(event_of(tracer.mesh({MeshTrace::prune, peer, "demo"})).prune().topic(), "demo");
  EXPECT_EQ(event_of(tracer.mesh({MeshTrace::add_peer, peer, {}})).addpeer().peerid(), bytes_of(peer_of(2)));
  EXPECT_EQ(event_of(tracer.mesh({MeshTrace::remove_peer, peer, {}})).removepeer().peerid(), bytes_of(peer_of(2)));
}

// The bytes of one event as a published client would read them: Leave's topic is field 2.
TEST(SidecarTrace, LeaveHasItsTopicInFieldTwo) {
  TraceEvent event;
  event.mutable_leave()->set_topic("t");
  EXPECT_EQ(event.SerializeAsString(), std::string("\x72\x03\x12\x01t", 5));
  event.Clear();
  event.mutable_newshard()->set_messageid("m");
  EXPECT_EQ(event.SerializeAsString(), std::string("\xa2\x01\x03\x0a\x01m", 6));
}

}  // namespace
}  // namespace corelay::node
