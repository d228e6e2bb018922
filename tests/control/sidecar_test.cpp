// The sidecar over gRPC, as its clients use it: published commands, answers to every publish, slow and silent clients.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <future>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "codec/rng.h"
#include "control/node/sidecar.h"
#include "tests/control/node_world.h"
#include "proto/sidecar.grpc.pb.h"
#include "proto/trace.pb.h"

namespace corelay::node {
namespace {

using optimum::pb::TraceEvent;
using namespace std::chrono_literals;

// How long a client's stream may last: a sanitizer slows tens of megabytes of JSON down to more than a minute.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr auto stream_time = 300s;
#else
constexpr auto stream_time = 60s;
#endif

// A client's stream. Every read and write has the deadline of the whole call.
class Client {
 public:
  explicit Client(TestNode& node) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    const auto channel = grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(node->sidecar_port()),
                                                   grpc::InsecureChannelCredentials(), arguments);
    stub_ = proto::CommandStream::NewStub(channel);
    context_.set_deadline(std::chrono::system_clock::now() + stream_time);
  }
  ~Client() {
    if (stream_) context_.TryCancel();
    stream_.reset();
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  proto::CommandStream::Stub& stub() { return *stub_; }
  bool send(int command, const std::string& topic, const std::string& data = "") {
    if (!stream_) stream_ = stub_->ListenCommands(&context_);
    proto::Request request;
    request.set_command(command);
    request.set_topic(topic);
    request.set_data(data);
    return stream_->Write(request);
  }
  void half_close() { stream_->WritesDone(); }
  std::optional<proto::Response> receive() {
    proto::Response response;
    if (!stream_->Read(&response)) return std::nullopt;
    return response;
  }
  /// The next message, passing over traces; its payload is still in base64.
  nlohmann::json receive_message() {
    while (auto response = receive()) {
      if (response->command() == proto::Message) return nlohmann::json::parse(response->data());
    }
    return {};
  }
  std::optional<TraceEvent> receive_trace(TraceEvent::Type type) {
    while (auto response = receive()) {
      TraceEvent event;
      if (response->command() == proto::MessageTraceMumP2P && event.ParseFromString(response->data()) &&
          event.type() == type) {
        return event;
      }
    }
    return std::nullopt;
  }
  grpc::Status finish() { return stream_->Finish(); }

 private:
  std::unique_ptr<proto::CommandStream::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<proto::Request, proto::Response>> stream_;
};

bool has_topics(TestNode& node, std::size_t count) {
  return eventually([&] { return node.on_control([&] { return node->subscribers().counts().size() == count; }); });
}

std::string text_of(std::size_t bytes, std::uint64_t seed) {
  const auto payload = test_payload(bytes, seed);
  return {payload.begin(), payload.end()};
}

TEST(Sidecar, PublishAndSubscribeAsPublishedClientsDo) {
  TestNode first;
  TestNode second(Settings{{"node.bootstrap_peers", first.address()}});
  Client subscriber(second);
  ASSERT_TRUE(subscriber.send(2, "demo"));
  ASSERT_TRUE(has_topics(second, 1));
  ASSERT_TRUE(has_sessions(first, 1));
  Client publisher(first);
  for (const std::size_t bytes : {0U, 5U, 300'000U}) {
    const std::string payload = text_of(bytes, bytes);
    ASSERT_TRUE(publisher.send(1, "demo", payload));
    const auto answer = publisher.receive();
    ASSERT_TRUE(answer.has_value());
    TraceEvent event;
    ASSERT_TRUE(event.ParseFromString(answer->data()));
    EXPECT_EQ(event.type(), TraceEvent::PUBLISH_MESSAGE);
    const auto message = subscriber.receive_message();
    EXPECT_EQ(message["message"], base64(as_bytes(payload)));
    EXPECT_EQ(message["message_id"], event.publishmessage().messageid());
  }
  // Send, half-close, one answer, end of stream.
  Client once(first);
  ASSERT_TRUE(once.send(1, "demo", "last"));
  once.half_close();
  EXPECT_TRUE(once.receive_trace(TraceEvent::PUBLISH_MESSAGE).has_value());
  EXPECT_FALSE(once.receive().has_value());
  EXPECT_TRUE(once.finish().ok());
}

using BurstStream = grpc::ClientReaderWriter<proto::RequestBurst, proto::ResponseBurst>;

void add_request(proto::RequestBurst& burst, int command, const std::string& topic, const std::string& data = "") {
  proto::Request& request = *burst.add_requests();
  request.set_command(command);
  request.set_topic(topic);
  request.set_data(data);
}

TEST(Sidecar, BurstsCarryWhatSingleMessagesDo) {
  constexpr int count = 200;
  TestNode first;
  TestNode second(Settings{{"node.bootstrap_peers", first.address()}});
  Client stubs[] = {Client(first), Client(second)};
  proto::HealthResponse health;
  grpc::ClientContext asking;
  ASSERT_TRUE(stubs[0].stub().Health(&asking, {}, &health).ok());
  EXPECT_TRUE(health.bursts());
  grpc::ClientContext contexts[2];
  for (auto& context : contexts) context.set_deadline(std::chrono::system_clock::now() + stream_time);
  const auto publisher = stubs[0].stub().ListenBursts(&contexts[0]);
  const auto subscriber = stubs[1].stub().ListenBursts(&contexts[1]);
  proto::RequestBurst subscribe;
  add_request(subscribe, 2, "demo");
  ASSERT_TRUE(subscriber->Write(subscribe));
  ASSERT_TRUE(has_topics(second, 1));
  ASSERT_TRUE(has_sessions(first, 1));
  proto::RequestBurst publishes;
  std::map<std::string, std::string> expected;  // by id
  for (int i = 0; i < count; ++i) {
    const std::string payload = i == 7 ? text_of(300'000, 7) : "message " + std::to_string(i);
    add_request(publishes, 1, "demo", payload);
  }
  add_request(publishes, 9, "demo");  // refused on its own
  ASSERT_TRUE(publisher->Write(publishes));
  int refused = 0;
  proto::ResponseBurst burst;
  while (expected.size() + static_cast<std::size_t>(refused) < count + 1 && publisher->Read(&burst)) {
    for (const auto& response : burst.responses()) {
      TraceEvent event;
      ASSERT_TRUE(event.ParseFromString(response.data()));
      if (event.type() == TraceEvent::REJECT_MESSAGE) ++refused;
      if (event.type() == TraceEvent::PUBLISH_MESSAGE) expected[event.publishmessage().messageid()];
    }
  }
  EXPECT_EQ(refused, 1);
  EXPECT_EQ(expected.size(), count);
  std::multiset<std::string> delivered;
  while (delivered.size() < count && subscriber->Read(&burst)) {
    for (const auto& delivery : burst.deliveries()) {
      EXPECT_EQ(delivery.topic(), "demo");
      EXPECT_EQ(expected.count(to_hex(as_bytes(delivery.message_id()))), 1U);
      delivered.insert(delivery.payload());
    }
  }
  for (const auto& request : publishes.requests()) {
    if (request.command() != 1) continue;
    EXPECT_EQ(delivered.count(request.data()), 1U) << request.data().substr(0, 20);
  }
  for (auto& context : contexts) context.TryCancel();
}

TEST(Sidecar, ABurstHasABound) {
  TestNode node;
  Client client(node);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + stream_time);
  const auto stream = client.stub().ListenBursts(&context);
  proto::RequestBurst burst;
  for (int i = 0; i < 257; ++i) add_request(burst, 3, "demo");
  ASSERT_TRUE(stream->Write(burst));
  proto::ResponseBurst answer;
  EXPECT_FALSE(stream->Read(&answer));
  const grpc::Status status = stream->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_NE(status.error_message().find("256"), std::string::npos);
}

TEST(Sidecar, EveryRefusalIsAnAnswer) {
  TestNode node(Settings{{"relay.message_bytes_max", "100"}, {"publish.hold_ms", "50"}});
  Client client(node);
  const auto reason_of = [&](int command, const std::string& topic, const std::string& data) {
    EXPECT_TRUE(client.send(command, topic, data));
    const auto event = client.receive_trace(TraceEvent::REJECT_MESSAGE);
    return event ? event->rejectmessage().reason() : "no answer";
  };
  EXPECT_NE(reason_of(1, "demo", std::string(101, 'x')).find("message_bytes_max"), std::string::npos);
  EXPECT_NE(reason_of(1, "demo", "alone").find("no peers"), std::string::npos);
  EXPECT_NE(reason_of(1, "", "x").find("topic"), std::string::npos);
  EXPECT_NE(reason_of(2, "", "").find("topic"), std::string::npos);
  EXPECT_NE(reason_of(9, "demo", "x").find("unknown"), std::string::npos);
}

TEST(Sidecar, SeveralTopicsInOneCommandAndTheirList) {
  TestNode node;
  Client array(node);
  Client list(node);
  ASSERT_TRUE(array.send(4, "", "[\"a\",\"b\",\"a\"]"));
  ASSERT_TRUE(list.send(4, "", "c, d,,"));
  ASSERT_TRUE(list.send(2, "e"));
  ASSERT_TRUE(has_topics(node, 5));
  ASSERT_TRUE(list.send(3, "e"));
  ASSERT_TRUE(has_topics(node, 4));
  grpc::ClientContext context;
  proto::TopicList topics;
  ASSERT_TRUE(array.stub().ListTopics(&context, {}, &topics).ok());
  const std::vector<std::string> names(topics.topics().begin(), topics.topics().end());
  EXPECT_EQ(names, (std::vector<std::string>{"a", "b", "c", "d"}));
}

TEST(Sidecar, HealthTellsWhatIsMeasured) {
  TestNode node(Settings{{"node.country", "India"}, {"node.country_iso", "IN"}});
  Client client(node);
  grpc::ClientContext context;
  proto::HealthResponse health;
  ASSERT_TRUE(client.stub().Health(&context, {}, &health).ok());
  EXPECT_TRUE(health.status());
  EXPECT_EQ(health.nodemode(), "optimum");
  EXPECT_GT(health.memoryused(), 0);
  EXPECT_LT(health.memoryused(), 100);
  EXPECT_GT(health.diskused(), 0);
  EXPECT_EQ(health.p2paddress(), node.address());
  EXPECT_EQ(health.country_iso(), "IN");
}

TEST(Sidecar, APublisherThatNeverReadsIsNeverBlocked) {
  TestNode first(Settings{{"sidecar.queue_messages_max", "16"}});
  TestNode second(Settings{{"node.bootstrap_peers", first.address()}});
  const auto listener = std::make_shared<Listener>();
  second->subscribe(listener, {"demo"});
  ASSERT_TRUE(has_sessions(first, 1));
  Client publisher(first);
  for (std::uint64_t i = 0; i < 300; ++i) ASSERT_TRUE(publisher.send(1, "demo", text_of(10'000, i)));
  EXPECT_TRUE(listener->wait_for(300));
}

TEST(Sidecar, ASlowClientLosesItsOwnMessagesOnly) {
  TestNode node(
      Settings{{"sidecar.queue_messages_max", "8"}, {"sidecar.traces", "false"}, {"publish.hold_ms", "60000"}});
  Client slow(node);
  ASSERT_TRUE(slow.send(2, "demo"));
  const auto healthy = std::make_shared<Listener>();
  node->subscribe(healthy, {"demo"});
  ASSERT_TRUE(eventually([&] { return node.on_control([&] { return node->subscribers().counts()["demo"] == 2; }); }));
  const PublishQueue queue = node->make_publish_queue();
  for (std::uint64_t i = 0; i < 100; ++i) {
    node->publish(queue, {"demo", test_payload(200'000, i), nullptr, [](const PublishResult&) {}});
  }
  ASSERT_TRUE(healthy->wait_for(100));
  EXPECT_GT(node->sidecar().counts().dropped_messages, 0U);
  std::size_t got = 1;
  EXPECT_FALSE(slow.receive_message().is_null());
  while (got < 100 - node->sidecar().counts().dropped_messages && !slow.receive_message().is_null()) ++got;
  EXPECT_EQ(got + node->sidecar().counts().dropped_messages, 100U);
}

TEST(Sidecar, StreamsAreBoundedAndEndWhenTheNodeLeaves) {
  TestNode node(Settings{{"sidecar.streams_max", "1"}, {"node.drain_ms", "0"}});
  Client first(node);
  ASSERT_TRUE(first.send(2, "demo"));
  ASSERT_TRUE(has_topics(node, 1));
  Client second(node);
  second.send(2, "demo");
  EXPECT_FALSE(second.receive().has_value());
  EXPECT_EQ(second.finish().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  std::promise<void> drained;
  node.on_control([&] { node->drain([&drained] { drained.set_value(); }); });
  while (first.receive()) {
  }
  EXPECT_EQ(first.finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  drained.get_future().wait();
}

// The control thread, which answers Health, is the one that stops the sidecar.
TEST(Sidecar, AHealthCallDoesNotHoldUpTheEnd) {
  TestNode node(Settings{{"node.drain_ms", "0"}});
  Client client(node);
  std::promise<void> drained;
  std::future<grpc::Status> called;
  node.on_control([&] {
    called = std::async(std::launch::async, [&client] {
      grpc::ClientContext context;
      proto::HealthResponse health;
      return client.stub().Health(&context, {}, &health);
    });
    std::this_thread::sleep_for(500ms);  // the call is in by now; were it not, nothing would be tested
    node->drain([&drained] { drained.set_value(); });
  });
  EXPECT_EQ(called.get().error_code(), grpc::StatusCode::UNAVAILABLE);
  drained.get_future().wait();
}

}  // namespace
}  // namespace corelay::node
