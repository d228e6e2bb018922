// The decoders of what a node sends, on bytes written out by hand from the published schema.
#include "tools/corelay/sidecar_event.h"

#include <gtest/gtest.h>

namespace corelay::tools {
namespace {

using namespace std::string_literals;

TEST(SidecarMessage, BothSpellingsOfTheKeys) {
  for (const char* json :
       {R"({"source_node_id":"12D3","topic":"t","message_id":"ab","message":"aGk="})",
        R"({"SourceNodeID":"12D3","Topic":"t","MessageID":"ab","Message":"aGk="})"}) {
    const auto message = parse_message(json);
    ASSERT_TRUE(message) << json;
    EXPECT_EQ(message->topic, "t");
    EXPECT_EQ(message->message_id, "ab");
    EXPECT_EQ(message->source_node_id, "12D3");
    EXPECT_EQ(message->payload, "hi");
  }
}

TEST(SidecarMessage, AnEmptyPayloadIsAMessage) {
  const auto message = parse_message(R"({"topic":"t","message_id":"ab","message":""})");
  ASSERT_TRUE(message);
  EXPECT_EQ(message->payload, "");
}

TEST(SidecarMessage, WhatIsNoMessageIsMalformed) {
  for (const char* json : {"", "[]", "3", "{", R"({"message":"a"})", R"({"message":"!!!!"})"}) {
    const auto message = parse_message(json);
    ASSERT_FALSE(message) << json;
    EXPECT_EQ(message.error().code, ErrorCode::malformed);
  }
}

// TraceEvent{type 1, peerID 2, timestamp 3, publishMessage 4 {messageID 1, topic 2}}
TEST(SidecarTrace, Published) {
  const auto trace = parse_trace("\x08\x00\x12\x02pp\x18\x2a\x22\x07\x0a\x02id\x12\x01t"s);
  ASSERT_TRUE(trace);
  EXPECT_EQ(trace->kind, TraceKind::published);
  EXPECT_EQ(trace->message_id, "id");
  EXPECT_EQ(trace->topic, "t");
}

// rejectMessage 5 {messageID 1, receivedFrom 2, reason 3, topic 4}
TEST(SidecarTrace, RejectedWithItsReason) {
  const auto trace = parse_trace(
      "\x08\x01\x2a\x0d\x0a\x02id\x1a\x04"
      "full\x22\x01t"s);
  ASSERT_TRUE(trace);
  EXPECT_EQ(trace->kind, TraceKind::rejected);
  EXPECT_EQ(trace->reason, "full");
  EXPECT_EQ(trace->topic, "t");
}

// join 13 {topic 1}, leave 14 {topic 2}
TEST(SidecarTrace, JoinedAndLeft) {
  const auto joined = parse_trace("\x08\x09\x6a\x03\x0a\x01t"s);
  ASSERT_TRUE(joined);
  EXPECT_EQ(joined->kind, TraceKind::joined);
  EXPECT_EQ(joined->topic, "t");
  const auto left = parse_trace("\x08\x0a\x72\x03\x12\x01t"s);
  ASSERT_TRUE(left);
  EXPECT_EQ(left->kind, TraceKind::left);
  EXPECT_EQ(left->topic, "t");
}

TEST(SidecarTrace, ShardEventsAndUnknownFieldsAreOther) {
  const auto shard = parse_trace("\x08\x10\xa2\x01\x04\x0a\x02id"s);  // newShard 20
  ASSERT_TRUE(shard);
  EXPECT_EQ(shard->kind, TraceKind::other);
  const auto fields =
      parse_trace("\x08\x40\x19\x01\x02\x03\x04\x05\x06\x07\x08\x1d\x01\x02\x03\x04\xfa\x07\x01x"s);
  ASSERT_TRUE(fields);
  EXPECT_EQ(fields->kind, TraceKind::other);
}

TEST(SidecarTrace, BytesThatAreNoProtobufAreMalformed) {
  for (const std::string& bytes :
       {"\x08"s, "\x22\x7f"s, "\x22\xff\xff\xff\xff\x0f"s, "\x0b"s, "\x08\x00\x22\x02\x0a\x09"s}) {
    EXPECT_FALSE(parse_trace(bytes));
  }
}

TEST(RequestLimit, TheRefusalOfGrpcNamesTheSetting) {
  const auto said = over_request_limit("Received message larger than max (67108870 vs. 7340032)");
  ASSERT_TRUE(said);
  EXPECT_EQ(*said,
            "request of 67108870 bytes is over relay.message_bytes_max = 6291456 bytes (OPTIMUM_MAX_MSG_SIZE)");
  EXPECT_EQ(over_request_limit("Received message larger than max (67108870 vs. 7340032)", true),
            "request of 67108870 bytes is over delivery.message_bytes_max = 6291456 bytes");
  for (const char* other : {"", "larger than max", "larger than max (1 vs. 2)", "larger than max (x vs. 7340032)",
                            "larger than max (67108870 vs. )", "larger than max (67108870 vs. 7340032"}) {
    EXPECT_FALSE(over_request_limit(other)) << other;
  }
}

}  // namespace
}  // namespace corelay::tools
