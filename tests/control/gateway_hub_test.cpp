// The hub without sockets: thresholds, order, windows, deduplication. Nodes are a list of what was asked of them.
#include "control/gateway/hub.h"

#include <gtest/gtest.h>

#include <map>

#include "control/gateway/text.h"

namespace corelay::gateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class Nodes final : public Upstream {
 public:
  struct Sent {
    std::string topic, bytes, id;
    PublishDone done;
  };
  void subscribe(const std::string& topic) override { topics.push_back(topic); }
  void unsubscribe(const std::string& topic) override { std::erase(topics, topic); }
  void publish(const std::string& topic, SharedBytes payload, const std::string& id, std::string_view,
               PublishDone done) override {
    sent.push_back({topic, *payload, id, std::move(done)});
  }
  void settled(const std::string&, const std::string&) override { ++settled_count; }
  [[nodiscard]] std::uint64_t reachable() const override { return mask; }

  std::vector<std::string> topics;
  std::vector<Sent> sent;
  std::uint64_t mask = 0xf;
  int settled_count = 0;
};

class Woken final : public Reader {
 public:
  void wake() override { ++count; }
  int count = 0;
};

class HubTest : public ::testing::Test {
 protected:
  HubTest() { params.nodes = 4; }

  Hub& hub() {
    if (!hub_) {
      params.epoch = "e";
      hub_ = std::make_unique<Hub>(params, nodes);
      advance(milliseconds(1));
    }
    return *hub_;
  }
  void advance(Instant::duration time) {
    now_ += time;
    hub_->set_now(now_);
  }
  void report(unsigned node, const std::string& text, const std::string& topic = "t") {
    hub().report(node, topic, sha256_hex(text), "source", [&] { return std::optional(text); });
  }
  Feed* open(const std::string& client, const Position& position = {}) {
    return *hub().open(client, &reader, Format::text, position);
  }
  /// Everything there is for a feed, without the frames' headers; a lagged notice as "lagged N".
  std::vector<std::string> read(Feed* feed) {
    std::vector<std::string> texts;
    while (const auto bytes = hub().next(*feed)) {
      const std::size_t head = static_cast<unsigned char>((*bytes)[1]) < 126 ? 2 : 4;
      std::string text = bytes->substr(head);
      if (const auto at = text.find("\"count\":");
          text.starts_with("{\"type\":\"lagged\"") && at != std::string::npos) {
        text = "lagged " + std::to_string(std::stoul(text.substr(at + 8)));
      }
      texts.push_back(text);
    }
    return texts;
  }
  PublishOutcome publish(const std::string& text, const std::string& client = "p", std::uint64_t timestamp = 0,
                         bool no_dedup = false) {
    PublishRequest request;
    request.client = client;
    request.topic = "t";
    request.payload = text;
    request.timestamp = timestamp;
    request.has_timestamp = timestamp != 0;
    request.no_dedup = no_dedup;
    request.done = [this](const PublishOutcome& outcome) { outcomes.push_back(outcome); };
    const std::size_t before = outcomes.size();
    if (const auto taken = hub().publish(std::move(request)); !taken)
      return {PublishResult::busy, "", taken.error().what};
    return outcomes.size() > before ? outcomes.back() : PublishOutcome{PublishResult::timed_out, "", "under way"};
  }

  HubParams params;
  Nodes nodes;
  Woken reader;
  std::vector<PublishOutcome> outcomes;

 private:
  Instant now_{seconds(1000)};
  std::unique_ptr<Hub> hub_;
};

using Texts = std::vector<std::string>;

TEST_F(HubTest, ThresholdsCountDistinctNodes) {
  ASSERT_TRUE(hub().subscribe("quarter", "t", 0.25));
  ASSERT_TRUE(hub().subscribe("half", "t", 0.5));
  ASSERT_TRUE(hub().subscribe("seventy", "t", 0.7));
  ASSERT_TRUE(hub().subscribe("all", "t", 1));
  const std::map<std::string, Feed*> feeds{
      {"quarter", open("quarter")}, {"half", open("half")}, {"seventy", open("seventy")}, {"all", open("all")}};
  const std::vector<std::pair<std::string, unsigned>> needs{{"quarter", 1}, {"half", 2}, {"seventy", 3}, {"all", 4}};
  for (unsigned node = 0; node < 4; ++node) {
    report(node, "m");
    report(node, "m");  // the same node again counts for nothing
    for (const auto& [name, need] : needs) {
      EXPECT_EQ(read(feeds.at(name)), need == node + 1 ? Texts{"m"} : Texts{}) << name << " after node " << node;
    }
  }
  EXPECT_EQ(hub().counts().duplicate_reports, 4U);
}

TEST_F(HubTest, MessagesMadeTheirOwnTakeNoOffsets) {
  ASSERT_TRUE(hub().subscribe("c", "t", 0));
  Feed* feed = *hub().open("c", &reader, Format::json, {});
  for (int n = 1; n <= 3; ++n) {
    publish("m", "p", 0, true);
    report(0, nodes.sent.back().bytes);
    const SharedBytes frame = hub().next(*feed);
    ASSERT_TRUE(frame);
    EXPECT_NE(frame->find("\"offset\":\"e-" + std::to_string(n) + "\""), std::string::npos) << *frame;
  }
}

TEST_F(HubTest, LevelsOfThresholds) {
  EXPECT_EQ(hub().level_of(0), 1U);  // the default, 0.1
  EXPECT_EQ(hub().level_of(0.1), 1U);
  EXPECT_EQ(hub().level_of(0.25), 1U);
  EXPECT_EQ(hub().level_of(0.26), 2U);
  EXPECT_EQ(hub().level_of(0.75), 3U);
  EXPECT_EQ(hub().level_of(1), 4U);
}

TEST_F(HubTest, FallsBackWhereNodesCannotBeReached) {
  ASSERT_TRUE(hub().subscribe("all", "t", 1));
  Feed* const feed = open("all");
  nodes.mask = 0b0111;
  report(0, "m");
  report(1, "m");
  advance(seconds(3));
  hub().tick();
  EXPECT_EQ(read(feed), Texts{});  // node 2 can be reached and has not reported it
  report(2, "m");
  EXPECT_EQ(read(feed), Texts{});
  hub().tick();
  EXPECT_EQ(read(feed), Texts{"m"});
  EXPECT_EQ(hub().counts().fallback_deliveries, 1U);
  report(3, "m");  // comes back late: not again
  EXPECT_EQ(read(feed), Texts{});
}

TEST_F(HubTest, NoFallbackWhileEveryNodeCanBeReached) {
  ASSERT_TRUE(hub().subscribe("all", "t", 1));
  Feed* const feed = open("all");
  for (unsigned node = 0; node < 3; ++node) report(node, "m");
  advance(seconds(10));
  hub().tick();
  EXPECT_EQ(read(feed), Texts{});
  EXPECT_EQ(hub().counts().fallback_deliveries, 0U);
}

TEST_F(HubTest, MessagesOfOnePublisherLeaveInOrder) {
  ASSERT_TRUE(hub().subscribe("c", "t", 0));
  Feed* const feed = open("c");
  for (const char* text : {"1", "2", "3"}) publish(text);
  report(0, "3");
  report(0, "2");
  EXPECT_EQ(read(feed), Texts{});
  report(1, "other");  // somebody else's does not wait
  EXPECT_EQ(read(feed), Texts{"other"});
  report(2, "1");
  EXPECT_EQ(read(feed), (Texts{"1", "2", "3"}));
}

TEST_F(HubTest, OrderDoesNotWaitForFailuresOrForEver) {
  ASSERT_TRUE(hub().subscribe("c", "t", 0));
  Feed* const feed = open("c");
  for (const char* text : {"1", "2", "3", "4"}) publish(text);
  report(0, "2");
  EXPECT_EQ(read(feed), Texts{});
  nodes.sent[0].done({PublishResult::refused, "", "no"});
  EXPECT_EQ(read(feed), Texts{"2"});
  report(0, "4");
  advance(seconds(2));
  hub().tick();
  EXPECT_EQ(read(feed), Texts{"4"});
  report(0, "3");  // late, and yet delivered
  EXPECT_EQ(read(feed), Texts{"3"});
}

TEST_F(HubTest, OrderHoldsAtEveryThreshold) {
  ASSERT_TRUE(hub().subscribe("one", "t", 0));
  ASSERT_TRUE(hub().subscribe("all", "t", 1));
  Feed* const one = open("one");
  Feed* const all = open("all");
  for (const char* text : {"1", "2"}) publish(text);
  for (unsigned node = 0; node < 4; ++node) report(node, "2");
  EXPECT_EQ(read(one), Texts{});
  report(0, "1");
  EXPECT_EQ(read(one), (Texts{"1", "2"}));
  EXPECT_EQ(read(all), Texts{});
  for (unsigned node = 1; node < 4; ++node) report(node, "1");
  EXPECT_EQ(read(all), (Texts{"1", "2"}));
}

TEST_F(HubTest, WhoFallsBehindTheWindowIsToldHowMuch) {
  params.log.messages_max = 3;
  ASSERT_TRUE(hub().subscribe("slow", "t", 0));
  Feed* const feed = open("slow");
  for (int i = 0; i < 10; ++i) report(0, std::to_string(i));
  EXPECT_EQ(read(feed), (Texts{"lagged 7", "7", "8", "9"}));
  EXPECT_EQ(hub().counts().lagged, 7U);
}

TEST_F(HubTest, BytesBoundTheWindowToo) {
  params.log.bytes_max = 4000;
  ASSERT_TRUE(hub().subscribe("slow", "t", 0));
  Feed* const feed = open("slow");
  for (int i = 0; i < 10; ++i) report(0, std::string(1000, static_cast<char>('a' + i)));
  EXPECT_LE(hub().log_bytes(), 4000U);
  const auto texts = read(feed);
  EXPECT_EQ(texts.front(), "lagged 7");
}

TEST_F(HubTest, AllWindowsTogetherAreBounded) {
  params.total_bytes_max = 10000;
  for (const char* topic : {"a", "b", "c"}) ASSERT_TRUE(hub().subscribe("c", topic, 0));
  for (int i = 0; i < 30; ++i) report(0, std::string(1000, static_cast<char>('a' + i)), std::string(1, "abc"[i % 3]));
  EXPECT_LE(hub().log_bytes(), 10000U);
  EXPECT_GT(hub().log_bytes(), 5000U);
}

TEST_F(HubTest, GoesOnWhereItStopped) {
  ASSERT_TRUE(hub().subscribe("c", "t", 0));
  report(0, "before");  // subscribed, not connected yet
  Feed* feed = open("c");
  EXPECT_EQ(read(feed), Texts{"before"});
  hub().close(feed);
  report(0, "between");
  feed = open("c");
  EXPECT_EQ(read(feed), Texts{"between"});
  hub().close(feed);
  feed = open("c", {"e", 1});  // by its own account it has had the first only
  EXPECT_EQ(read(feed), Texts{"between"});
  hub().close(feed);
}

TEST_F(HubTest, ResumingBehindTheWindowIsTold) {
  params.log.messages_max = 2;
  ASSERT_TRUE(hub().subscribe("c", "t", 0));
  for (int i = 1; i <= 6; ++i) report(0, std::to_string(i));
  EXPECT_EQ(read(open("c", {"e", 2})), (Texts{"lagged 2", "5", "6"}));
  EXPECT_EQ(read(open("c", {"", 5})), Texts{"6"});
  EXPECT_EQ(read(open("c", {"another run", 6})), (Texts{"5", "6"}));  // rather too much than too little
}

TEST_F(HubTest, OneOrderOverTopics) {
  ASSERT_TRUE(hub().subscribe("c", "a", 0));
  ASSERT_TRUE(hub().subscribe("c", "b", 0));
  Feed* const feed = open("c");
  report(0, "1", "a");
  report(0, "2", "b");
  report(0, "3", "a");
  EXPECT_EQ(read(feed), (Texts{"1", "2", "3"}));
}

TEST_F(HubTest, ReadersAreWokenOnceForABurst) {
  ASSERT_TRUE(hub().subscribe("c", "t", 0));
  Feed* const feed = open("c");
  for (int i = 0; i < 5; ++i) report(0, std::to_string(i));
  EXPECT_EQ(reader.count, 0);
  hub().flush();
  EXPECT_EQ(reader.count, 1);
  hub().flush();
  EXPECT_EQ(reader.count, 1);
  hub().close(feed);
  report(0, "x");
  hub().flush();
  EXPECT_EQ(reader.count, 1);
}

TEST_F(HubTest, SameBytesAreOneMessage) {
  ASSERT_TRUE(hub().subscribe("c", "t", 0));
  EXPECT_EQ(publish("m").reason, "under way");
  publish("m");  // while the first is under way: ends as that does
  ASSERT_EQ(nodes.sent.size(), 1U);
  nodes.sent[0].done({PublishResult::published, "", ""});
  ASSERT_EQ(outcomes.size(), 2U);
  EXPECT_EQ(outcomes[0].result, PublishResult::published);
  EXPECT_EQ(outcomes[1].result, PublishResult::deduplicated);
  const auto again = publish("m");
  EXPECT_EQ(again.result, PublishResult::deduplicated);
  EXPECT_EQ(again.message_id, sha256_hex("m"));
  advance(seconds(121));
  hub().tick();
  EXPECT_EQ(publish("m").reason, "under way");
}

TEST_F(HubTest, TimestampAndNoDedupMakeThemAnother) {
  ASSERT_TRUE(hub().subscribe("c", "t", 0));
  Feed* const feed = open("c");
  publish("m", "p", 1);
  EXPECT_EQ(nodes.sent[0].bytes, "m");  // the first is as it is
  nodes.sent[0].done({PublishResult::published, "", ""});
  publish("m", "p", 2);
  ASSERT_EQ(nodes.sent.size(), 2U);
  nodes.sent[1].done({PublishResult::published, "", ""});
  EXPECT_NE(outcomes[0].message_id, outcomes[1].message_id);
  EXPECT_EQ(publish("m", "p", 2).result, PublishResult::deduplicated);
  publish("m", "p", 0, true);
  publish("m", "p", 0, true);
  ASSERT_EQ(nodes.sent.size(), 4U);
  for (const auto& sent : nodes.sent) {
    hub().report(0, "t", sent.id, "s", [&] { return std::optional(sent.bytes); });
  }
  EXPECT_EQ(read(feed), (Texts{"m", "m", "m", "m"}));  // and clients see no wrapping
}

TEST_F(HubTest, AFailedPublishMayBeTriedAgain) {
  ASSERT_TRUE(hub().subscribe("c", "t", 0));
  publish("m");
  nodes.sent[0].done({PublishResult::no_node, "", "none"});
  EXPECT_EQ(outcomes.back().result, PublishResult::no_node);
  EXPECT_EQ(publish("m").reason, "under way");
  EXPECT_EQ(hub().in_flight(), 1U);
}

TEST_F(HubTest, PublishesAreBoundedAndTopicsAssigned) {
  params.in_flight_max = 2;
  params.message_bytes_max = 10;
  EXPECT_EQ(publish("m").reason, "topic not assigned");
  ASSERT_TRUE(hub().subscribe("c", "t", 0));
  publish("1");
  publish("2");
  EXPECT_NE(publish("3").reason.find("busy"), std::string::npos);
  EXPECT_NE(publish("12345678901").reason.find("delivery.message_bytes_max"), std::string::npos);
}

TEST_F(HubTest, TheOnlyNodeNeedNotHavePeers) {
  params.nodes = 1;
  ASSERT_TRUE(hub().subscribe("c", "t", 1));
  publish("m");
  report(0, "m");
  ASSERT_EQ(outcomes.size(), 1U);
  EXPECT_EQ(outcomes[0].result, PublishResult::published);
  EXPECT_EQ(nodes.settled_count, 1);
}

TEST_F(HubTest, ClientsAndTopicsAreForgotten) {
  ASSERT_TRUE(hub().subscribe("c", "t", 0));
  EXPECT_EQ(nodes.topics, Texts{"t"});
  EXPECT_EQ(hub().topics_of("c"), Texts{"t"});
  EXPECT_TRUE(hub().unsubscribe("c", "t"));
  EXPECT_FALSE(hub().unsubscribe("c", "t"));
  advance(seconds(3700));
  hub().tick();
  hub().tick();
  EXPECT_EQ(hub().topic_count(), 0U);
  EXPECT_EQ(hub().client_count(), 0U);
  EXPECT_EQ(nodes.topics, Texts{});
}

TEST_F(HubTest, BoundsAreNamed) {
  params.topics_max = 2;
  params.clients_max = 2;
  params.topics_per_client_max = 1;
  ASSERT_TRUE(hub().subscribe("a", "1", 0));
  EXPECT_NE(hub().subscribe("a", "2", 0).error().what.find("replay.topics_per_client_max"), std::string::npos);
  ASSERT_TRUE(hub().subscribe("b", "2", 0));
  EXPECT_NE(hub().subscribe("c", "2", 0).error().what.find("replay.clients_max"), std::string::npos);
  EXPECT_NE(hub().open_topic("3", 0, &reader, Format::sse_json, {}).error().what.find("replay.topics_max"),
            std::string::npos);
  EXPECT_FALSE(hub().subscribe("b", "2", 1.5));
  EXPECT_FALSE(hub().subscribe("b", std::string(300, 'x'), 0));
}

TEST_F(HubTest, AnotherThresholdGoesOnAfterTheLastMessage) {
  ASSERT_TRUE(hub().subscribe("c", "t", 0));
  Feed* const feed = open("c");
  report(0, "1");
  EXPECT_EQ(read(feed), Texts{"1"});
  ASSERT_TRUE(hub().subscribe("c", "t", 0.5));
  report(0, "2");
  EXPECT_EQ(read(feed), Texts{});
  report(1, "2");
  EXPECT_EQ(read(feed), Texts{"2"});
}

}  // namespace
}  // namespace corelay::gateway
