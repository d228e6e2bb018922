// Whole nodes in one process: what goes in at one comes out at the others, once, and every publish has an outcome.
#include <gtest/gtest.h>
#include <openssl/sha.h>

#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <nlohmann/json.hpp>
#include <array>
#include <sstream>

#include "codec/rng.h"
#include "tests/control/node_world.h"
#include "proto/sidecar.pb.h"
#include "proto/trace.pb.h"

namespace corelay::node {
namespace {

nlohmann::json json_of(const SharedResponse& response) {
  proto::Response parsed;
  EXPECT_TRUE(parsed.ParseFromString(*response));
  EXPECT_EQ(parsed.command(), proto::Message);
  return nlohmann::json::parse(parsed.data());
}

std::string id_of(const std::vector<std::uint8_t>& payload) {
  std::array<std::uint8_t, 32> hash{};
  SHA256(payload.data(), payload.size(), hash.data());
  return to_hex(hash);
}

std::vector<optimum::pb::TraceEvent> events_of(Listener& listener) {
  std::vector<optimum::pb::TraceEvent> events;
  for (const auto& trace : listener.traces()) {
    proto::Response parsed;
    EXPECT_TRUE(parsed.ParseFromString(*trace));
    EXPECT_EQ(parsed.command(), proto::MessageTraceMumP2P);
    EXPECT_TRUE(events.emplace_back().ParseFromString(parsed.data()));
  }
  return events;
}

std::size_t count_of(Listener& listener, optimum::pb::TraceEvent::Type type) {
  const auto events = events_of(listener);
  return static_cast<std::size_t>(
      std::count_if(events.begin(), events.end(), [&](const auto& event) { return event.type() == type; }));
}

FlagValue bootstrap_to(TestNode& node) { return {"node.bootstrap_peers", node.address()}; }

TEST(Node, MessagesOfAllSizesReachThreeNodesOnceEach) {
  TestNode first;
  TestNode second(Settings{bootstrap_to(first)});
  TestNode third(Settings{bootstrap_to(first)});
  std::vector<std::shared_ptr<Listener>> listeners;
  for (TestNode* node : {&first, &second, &third}) {
    listeners.push_back(std::make_shared<Listener>());
    (*node)->subscribe(listeners.back(), {"demo"});
  }
  ASSERT_TRUE(has_route(first, "demo", 2));
  std::vector<std::string> ids;
  for (const std::size_t bytes : {0U, 1U, 1000U, 5000U, 100'000U, 1'000'000U}) {
    const auto payload = test_payload(bytes, bytes);
    const auto result = second.publish("demo", payload);
    ASSERT_TRUE(result.outcome.has_value()) << result.outcome.error().describe();
    ids.push_back(id_of(payload));
    EXPECT_EQ(to_hex(result.id), ids.back());
    for (const auto& listener : listeners) {
      ASSERT_TRUE(listener->wait_for(ids.size())) << bytes << " bytes";
      const auto message = json_of(listener->messages().back());
      EXPECT_EQ(message["message"], base64(payload));
      EXPECT_EQ(message["message_id"], ids.back());
      EXPECT_EQ(message["MessageID"], ids.back());
      EXPECT_EQ(message["topic"], "demo");
      EXPECT_EQ(message["source_node_id"], second.identity().peer_id().text());
      EXPECT_EQ(message["SourceNodeID"], message["source_node_id"]);
      EXPECT_EQ(message.contains("upstream_peer_id"), listener != listeners[1]);
    }
  }
  for (const auto& listener : listeners) {
    EXPECT_EQ(listener->messages().size(), ids.size());
    EXPECT_EQ(count_of(*listener, optimum::pb::TraceEvent::DELIVER_MESSAGE), ids.size());
  }
  EXPECT_EQ(count_of(*listeners[1], optimum::pb::TraceEvent::PUBLISH_MESSAGE), ids.size());
  EXPECT_GE(count_of(*listeners[1], optimum::pb::TraceEvent::JOIN), 1U);
}

/// A ring of two neighbours each: the node connects to all it hears of, and each passes a part on to all others.
TEST(Node, AKnownMembershipIsServedInTwoHops) {
  const Settings settings{{"relay.router", "two-hop"}, {"mesh.degree_target", "2"},
                          {"mesh.degree_min", "2"},    {"mesh.degree_max", "2"}};
  std::vector<std::unique_ptr<TestNode>> nodes;
  std::vector<std::shared_ptr<Listener>> listeners;
  for (std::size_t n = 0; n < 6; ++n) {
    Settings own = settings;
    if (n != 0) own.push_back(bootstrap_to(*nodes.front()));
    nodes.push_back(std::make_unique<TestNode>(own));
    listeners.push_back(std::make_shared<Listener>());
    (*nodes.back())->subscribe(listeners.back(), {"demo"});
  }
  for (const auto& node : nodes) {
    ASSERT_TRUE(eventually([&] { return node->on_control([&] { return (*node)->peers().members() == 5; }); }));
  }
  const auto passed_on = [&](TestNode& node) {
    return node.on_control(
        [&] { return node->dataplane().counters(0).value(dataplane::Counter::tx_second_hop_total); });
  };
  // Members are told to the data plane a moment after they are known.
  std::size_t messages = 0;
  ASSERT_TRUE(eventually([&] {
    const auto result = nodes[1]->publish("demo", test_payload(200'000, ++messages));
    EXPECT_TRUE(result.outcome.has_value());
    for (const auto& listener : listeners) EXPECT_TRUE(listener->wait_for(messages));
    return passed_on(*nodes[3]) != 0;
  }));
  for (const auto& listener : listeners) EXPECT_EQ(listener->messages().size(), messages);
}

TEST(Node, APublishWithoutPeersIsRefusedAfterTheHold) {
  TestNode alone(Settings{{"publish.hold_ms", "100"}});
  const auto result = alone.publish("demo", test_payload(100, 1));
  ASSERT_FALSE(result.outcome.has_value());
  EXPECT_EQ(result.outcome.error().code, ErrorCode::unavailable);
  const std::string& why = result.outcome.error().what;
  EXPECT_NE(why.find("no peers: no other node took part in the topic"), std::string::npos) << why;
  EXPECT_EQ(why.find("subscribers of this node"), std::string::npos) << why;
  EXPECT_EQ(alone->publisher().in_flight(), 0U);
}

TEST(Node, ARefusalSaysThatLocalSubscribersHaveTheMessage) {
  TestNode alone(Settings{{"publish.hold_ms", "100"}});
  const auto listener = std::make_shared<Listener>();
  alone->subscribe(listener, {"demo"});
  const auto result = alone.publish("demo", test_payload(100, 1));
  ASSERT_FALSE(result.outcome.has_value());
  const std::string& why = result.outcome.error().what;
  EXPECT_NE(why.find("; the subscribers of this node have the message"), std::string::npos) << why;
  EXPECT_TRUE(listener->wait_for(1));
}

TEST(Node, APublishIsHeldUntilASubscriberComes) {
  TestNode publisher;
  const auto payload = test_payload(20'000, 2);
  auto outcome = std::async(std::launch::async, [&] { return publisher.publish("demo", payload); });
  TestNode late(Settings{bootstrap_to(publisher)});
  const auto listener = std::make_shared<Listener>();
  late->subscribe(listener, {"demo"});
  ASSERT_TRUE(listener->wait_for(1));
  const auto result = outcome.get();
  EXPECT_TRUE(result.outcome.has_value()) << result.outcome.error().describe();
  EXPECT_EQ(json_of(listener->messages().front())["message"], base64(payload));
}

TEST(Node, RefusalsSayWhy) {
  TestNode node(Settings{{"relay.message_bytes_max", "1000"}});
  const auto large = node.publish("demo", test_payload(1001, 3));
  ASSERT_FALSE(large.outcome.has_value());
  EXPECT_EQ(large.outcome.error().code, ErrorCode::too_large);
  EXPECT_NE(large.outcome.error().what.find("1000"), std::string::npos) << large.outcome.error().what;
  EXPECT_EQ(node.publish("", {1}).outcome.error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(node.publish(std::string(256, 't'), {1}).outcome.error().code, ErrorCode::invalid_argument);
}

TEST(Node, TheSameBytesGoThroughOnceAndTheSecondPublishHearsIt) {
  TestNode first;
  TestNode second(Settings{bootstrap_to(first)});
  const auto here = std::make_shared<Listener>();
  const auto there = std::make_shared<Listener>();
  first->subscribe(here, {"demo"});
  second->subscribe(there, {"demo"});
  ASSERT_TRUE(has_route(first, "demo", 1));
  const auto payload = test_payload(3000, 4);
  EXPECT_TRUE(first.publish("demo", payload).outcome.has_value());
  ASSERT_TRUE(there->wait_for(1));
  for (TestNode* node : {&first, &second}) {
    const auto again = node->publish("demo", payload);
    ASSERT_FALSE(again.outcome.has_value());
    EXPECT_EQ(again.outcome.error().code, ErrorCode::already_exists);
  }
  EXPECT_TRUE(first.publish("demo", test_payload(10, 5)).outcome.has_value());
  ASSERT_TRUE(there->wait_for(2));
  ASSERT_TRUE(here->wait_for(2));
  EXPECT_EQ(there->messages().size(), 2U);
  EXPECT_EQ(here->messages().size(), 2U);
}

TEST(Node, ClientsGetTheirOwnTopicsOnly) {
  TestNode first;
  TestNode second(Settings{bootstrap_to(first)});
  const auto red = std::make_shared<Listener>();
  const auto blue = std::make_shared<Listener>();
  second->subscribe(red, {"red"});
  second->subscribe(blue, {"blue"});
  ASSERT_TRUE(has_sessions(first, 1));
  EXPECT_TRUE(first.publish("red", {1}).outcome.has_value());
  EXPECT_TRUE(first.publish("blue", {2}).outcome.has_value());
  ASSERT_TRUE(red->wait_for(1));
  ASSERT_TRUE(blue->wait_for(1));
  EXPECT_EQ(json_of(red->messages().front())["topic"], "red");
  EXPECT_EQ(json_of(blue->messages().front())["topic"], "blue");
  for (const auto& event : events_of(*red)) EXPECT_NE(event.delivermessage().topic(), "blue");
  second->unsubscribe(red, "red");
  ASSERT_TRUE(eventually([&] {
    return second.on_control([&] { return second->peers().mesh().subscribed_topics().size() == 1; });
  }));
  EXPECT_EQ(count_of(*red, optimum::pb::TraceEvent::LEAVE), 1U);
}

TEST(Node, AnotherClusterIsRefused) {
  TestNode first;
  TestNode other(Settings{bootstrap_to(first), {"node.cluster_id", "another"}});
  TestNode lanes(Settings{bootstrap_to(first)});
  ASSERT_TRUE(has_sessions(lanes, 1));  // by then `other` has been refused at least once, too
  ASSERT_TRUE(has_sessions(first, 1));  // each end has its own moment
  EXPECT_EQ(other.on_control([&] { return other->peers().sessions(); }), 0U);
  EXPECT_EQ(first.on_control([&] { return first->peers().sessions(); }), 1U);
  EXPECT_FALSE(other.on_control([&] { return other->is_ready(); }));
  EXPECT_TRUE(first.on_control([&] { return first->is_ready(); }));
}

// What every node of this process logs at info and above, while it stands.
class LogLines {
 public:
  LogLines() : before_(spdlog::default_logger()) {
    const auto sink = std::make_shared<spdlog::sinks::ostream_sink_mt>(text_);
    sink->set_pattern("%v");
    spdlog::set_default_logger(std::make_shared<spdlog::logger>("test", sink));
  }
  ~LogLines() { spdlog::set_default_logger(before_); }
  LogLines(const LogLines&) = delete;
  LogLines& operator=(const LogLines&) = delete;
  /// Only when no node runs any more.
  std::vector<std::string> naming(const std::string& word) const {
    std::vector<std::string> found;
    std::istringstream in(text_.str());
    for (std::string line; std::getline(in, line);) {
      if (line.find(word) != std::string::npos) found.push_back(line);
    }
    return found;
  }

 private:
  std::ostringstream text_;
  std::shared_ptr<spdlog::logger> before_;
};

TEST(Node, ARefusedNodeIsLoggedOnceLearnsNothingAndIsDialledByNobody) {
  const LogLines log;
  std::string first_id;
  std::string other_id;
  {
    TestNode first;
    TestNode second(Settings{bootstrap_to(first)});
    TestNode third(Settings{bootstrap_to(first)});
    ASSERT_TRUE(has_sessions(second, 2));
    TestNode other(Settings{bootstrap_to(first), {"node.cluster_id", "another"}, {"mesh.redial_min_ms", "10"},
                            {"mesh.redial_max_ms", "50"}});
    first_id = first->peer_id();
    other_id = other->peer_id();
    ASSERT_TRUE(eventually([&] { return other.on_control([&] { return other->peers().refused() >= 5; }); }));
    EXPECT_TRUE(other.on_control([&] { return other->peers().mesh().address_book().empty(); }));
    for (TestNode* node : {&second, &third}) {
      EXPECT_EQ(node->on_control([&] { return (*node)->peers().refused(); }), 0U);
      for (const auto& known : node->on_control([&] { return (*node)->peers().mesh().address_book(); })) {
        EXPECT_NE(known.peer, other_id);
      }
    }
  }
  const auto of_other = log.naming(other_id + " is");
  ASSERT_EQ(of_other.size(), 1U) << of_other.back();
  EXPECT_NE(of_other.front().find("is refused: the peer belongs to cluster \"another\", we belong to \"test\""),
            std::string::npos) << of_other.front();
  const auto of_first = log.naming(first_id + " is refused");
  ASSERT_EQ(of_first.size(), 1U);
  EXPECT_NE(of_first.front().find("node.cluster_id"), std::string::npos) << of_first.front();
}

TEST(Node, AnotherPathMtuIsRefused) {
  TestNode first;
  TestNode other(Settings{bootstrap_to(first), {"relay.path_mtu_bytes", "1200"}});
  ASSERT_TRUE(eventually([&] { return other.on_control([&] { return other->peers().refused() != 0; }); }));
  EXPECT_EQ(other.on_control([&] { return other->peers().sessions(); }), 0U);
  EXPECT_EQ(first.on_control([&] { return first->peers().sessions(); }), 0U);
}

TEST(Node, APeerThatBeginsTooManySessionsIsNotAnswered) {
  const auto identity = libp2p::Identity::generate();
  TestNode first(Settings{{"session.exchanges_per_minute_max", "2"}});
  for (int life = 0; life < 3; ++life) {
    TestNode again(Settings{bootstrap_to(first), {"session.timeout_ms", "200"}}, identity);
    if (life < 2) {
      ASSERT_TRUE(has_sessions(first, 1));
    } else {
      const auto refused = [&] { return first->peers().exchanges_refused(); };
      EXPECT_TRUE(eventually([&] { return first.on_control(refused) != 0; }));
    }
  }
}

TEST(PeerRates, EachPeerHasItsOwnBucketWhichRefills) {
  using dataplane::seconds;
  PeerRates rates(2, 3);
  const auto peer = [] { return libp2p::Identity::generate().peer_id(); };
  const auto one = peer();
  const dataplane::Instant start{1'000'000'000'000};
  EXPECT_TRUE(rates.take(one, start));
  EXPECT_TRUE(rates.take(one, start));
  EXPECT_FALSE(rates.take(one, start + seconds(10)));
  EXPECT_TRUE(rates.take(peer(), start + seconds(11)));
  EXPECT_TRUE(rates.take(one, start + seconds(45)));
  EXPECT_FALSE(rates.take(one, start + seconds(46)));
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(rates.take(peer(), start + seconds(50)));
  EXPECT_EQ(rates.peers(), 3U);
}

TEST(Node, ATopicThatCannotBeJoinedIsAnAnswer) {
  TestNode node(Settings{{"relay.topics_max", "1"}});
  const auto listener = std::make_shared<Listener>();
  node->subscribe(listener, {"one", "two"});
  ASSERT_TRUE(eventually([&] { return count_of(*listener, optimum::pb::TraceEvent::REJECT_MESSAGE) == 1; }));
  const auto events = events_of(*listener);
  EXPECT_EQ(events.back().rejectmessage().topic(), "two");
  EXPECT_NE(events.back().rejectmessage().reason().find("relay.topics_max = 1"), std::string::npos);
  EXPECT_EQ(node.on_control([&] { return node->subscribers().counts().size(); }), 1U);
}

TEST(Node, ADuplicateOfAHeldMessageIsCalledThat) {
  TestNode node(Settings{{"publish.hold_ms", "20000"}, {"node.drain_ms", "50"}});
  // Which of the two is held is up to the threads that prepare them.
  std::array<std::future<PublishResult>, 2> both;
  for (auto& one : both) {
    one = std::async(std::launch::async, [&] { return node.publish("demo", test_payload(10, 30)); });
  }
  const auto is_answered = [](const std::future<PublishResult>& one) {
    return one.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  };
  ASSERT_TRUE(eventually([&] { return is_answered(both[0]) || is_answered(both[1]); }));
  if (is_answered(both[1])) std::swap(both[0], both[1]);
  auto& held = both[1];
  const auto again = both[0].get();
  ASSERT_FALSE(again.outcome.has_value());
  EXPECT_EQ(again.outcome.error().code, ErrorCode::already_exists);
  EXPECT_NE(again.outcome.error().what.find("still under way"), std::string::npos) << again.outcome.error().what;
  std::promise<void> drained;
  node.on_control([&] { node->drain([&drained] { drained.set_value(); }); });
  EXPECT_FALSE(held.get().outcome.has_value());
  drained.get_future().wait();
}

// A client that holds up everybody behind it.
class Blocked final : public Subscriber {
 public:
  void on_message(const SharedResponse&) override { gate_.wait(); }
  void on_trace(const SharedResponse&) override {}
  void on_refused(const std::string&, const SharedResponse&) override {}
  void open() { promise_.set_value(); }

 private:
  std::promise<void> promise_;
  std::shared_future<void> gate_{promise_.get_future().share()};
};

TEST(Node, OwnMessagesThatLocalClientsHaveNotTakenAreBounded) {
  TestNode node(Settings{{"publish.in_flight_max", "4"}, {"publish.threads", "2"}, {"publish.hold_ms", "10"}});
  const auto blocked = std::make_shared<Blocked>();
  node->subscribe(blocked, {"demo"});
  std::string refusal;
  for (std::uint64_t i = 0; i < 20 && refusal.empty(); ++i) {
    const auto result = node.publish("demo", test_payload(100, 200 + i));
    ASSERT_FALSE(result.outcome.has_value());  // nobody else takes part
    if (result.outcome.error().what.find("local clients") != std::string::npos) refusal = result.outcome.error().what;
    EXPECT_LE(node->deliveries().own_waiting(), 4U);
  }
  EXPECT_NE(refusal.find("publish.in_flight_max"), std::string::npos);
  blocked->open();
}

TEST(Node, BothSidesDiallingEachOtherEndUpWithOneSession) {
  const auto identity = libp2p::Identity::generate();
  std::uint16_t port = 0;
  {
    TestNode once;  // a port that is free
    port = once.port();
  }
  const std::string address = "/ip4/127.0.0.1/tcp/" + std::to_string(port) + "/p2p/" + identity.peer_id().text();
  TestNode first(
      Settings{{"node.bootstrap_peers", address}, {"mesh.redial_min_ms", "10"}, {"mesh.redial_max_ms", "10"}});
  for (std::uint64_t round = 0; round < 5; ++round) {
    // The first dials all the time, the second once it is there: now and then both at once.
    TestNode second(Settings{bootstrap_to(first), {"p2p.port", std::to_string(port)}}, identity);
    ASSERT_TRUE(has_sessions(second, 1));
    ASSERT_TRUE(has_sessions(first, 1));
    const auto listener = std::make_shared<Listener>();
    second->subscribe(listener, {"demo"});
    EXPECT_TRUE(first.publish("demo", test_payload(100, round + 10)).outcome.has_value());
    EXPECT_TRUE(listener->wait_for(1));
  }
}

TEST(Node, MessagesPassWhileKeysAreRenewed) {
  TestNode first(Settings{{"session.rekey_s", "1"}});
  TestNode second(Settings{bootstrap_to(first), {"session.rekey_s", "1"}});
  const auto listener = std::make_shared<Listener>();
  second->subscribe(listener, {"demo"});
  ASSERT_TRUE(has_sessions(first, 1));
  std::size_t published = 0;
  for (const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(2500);
       std::chrono::steady_clock::now() < end; ++published) {
    const auto result = first.publish("demo", test_payload(4000, 100 + published));
    ASSERT_TRUE(result.outcome.has_value()) << result.outcome.error().describe();
  }
  EXPECT_TRUE(listener->wait_for(published));
  EXPECT_EQ(listener->messages().size(), published);
  EXPECT_EQ(first.on_control([&] { return first->peers().sessions(); }), 1U);
}

TEST(Node, ARestartedNodeIsTakenBackWithItsIdentity) {
  TestNode first;
  const auto identity = libp2p::Identity::generate();
  const auto listener = std::make_shared<Listener>();
  for (std::uint64_t life = 0; life < 2; ++life) {
    TestNode second(Settings{bootstrap_to(first)}, identity);
    second->subscribe(listener, {"demo"});
    ASSERT_TRUE(has_sessions(second, 1));
    EXPECT_TRUE(first.publish("demo", test_payload(50'000, 20 + life)).outcome.has_value());
    ASSERT_TRUE(listener->wait_for(life + 1));
  }
  EXPECT_TRUE(has_sessions(first, 0));
}

TEST(Node, DrainAnswersWhatIsHeldAndRefusesTheRest) {
  TestNode node(Settings{{"node.drain_ms", "50"}});
  auto held = std::async(std::launch::async, [&] { return node.publish("demo", test_payload(10, 30)); });
  ASSERT_TRUE(eventually([&] { return node->publisher().in_flight() == 1; }));
  std::promise<void> drained;
  node.on_control([&] { node->drain([&drained] { drained.set_value(); }); });
  EXPECT_FALSE(node.on_control([&] { return node->is_ready(); }));
  drained.get_future().wait();
  const auto result = held.get();
  ASSERT_FALSE(result.outcome.has_value());
  EXPECT_NE(result.outcome.error().what.find("stopping"), std::string::npos);
  EXPECT_FALSE(node.publish("demo", test_payload(10, 31)).outcome.has_value());
}

TEST(Node, ATakenPortIsNamedWithARemedy) {
  TestNode first;
  for (const auto& [key, port] : {std::pair{std::string("sidecar.port"), first->sidecar_port()},
                                  std::pair{std::string("api.port"), first->api_port()},
                                  std::pair{std::string("p2p.port"), first.port()}}) {
    try {
      TestNode second(Settings{{key, std::to_string(port)}});
      // TCP and UDP share a number only where the node chose it: a free UDP port beside a taken TCP one is fine.
      FAIL() << key;
    } catch (const std::runtime_error& error) {
      const std::string text = error.what();
      EXPECT_NE(text.find(std::to_string(port)), std::string::npos) << text;
      EXPECT_NE(text.find(key), std::string::npos) << text;
    }
  }
}

}  // namespace
}  // namespace corelay::node
