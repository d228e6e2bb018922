#include "tools/corelay/gateway_grpc.h"

#include <grpcpp/client_context.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "proto/gateway.grpc.pb.h"
#include "tools/corelay/grpc_channel.h"

namespace corelay::tools {

struct GatewayGrpc::State {
  std::string address;
  std::string authorization;
  std::unique_ptr<proto::ProxyStream::Stub> stub;

  void prepare(grpc::ClientContext& context) const {
    if (!authorization.empty()) context.AddMetadata("authorization", authorization);
  }
};

namespace {

FeedEvent event_of(proto::ProxyMessage& message) {
  if (message.type() == "lagged") {
    if (auto frame = parse_gateway_frame(message.message()))
      if (auto* lagged = std::get_if<GatewayLagged>(&*frame)) return std::move(*lagged);
  }
  if (!message.type().empty() && message.type() != "message") return GatewayNotice{message.type(), message.message()};
  GatewayMessage out;
  out.message.topic = std::move(*message.mutable_topic());
  out.message.message_id = std::move(*message.mutable_message_id());
  out.message.payload = std::move(*message.mutable_message());
  return out;
}

/// A thread reads, into a queue with a bound.
class GrpcFeed final : public GatewayFeed {
 public:
  GrpcFeed(std::shared_ptr<const void> owner, proto::ProxyStream::Stub& stub,
           const std::function<void(grpc::ClientContext&)>& prepare, const std::string& address,
           const std::string& client, std::size_t queue_max)
      : owner_(std::move(owner)), address_(address), queue_max_(queue_max) {
    prepare(context_);
    stream_ = stub.ClientStream(&context_);
    proto::ProxyMessage hello;
    hello.set_client_id(client);
    hello.set_type("subscribe");
    static_cast<void>(stream_->Write(hello));  // where it fails the reader says why
    reader_ = std::thread([this] { read_all(); });
  }

  ~GrpcFeed() override {
    {
      const std::lock_guard lock(mutex_);
      is_closing_ = true;
    }
    changed_.notify_all();
    context_.TryCancel();
    reader_.join();
  }
  GrpcFeed(const GrpcFeed&) = delete;
  GrpcFeed& operator=(const GrpcFeed&) = delete;

  std::optional<FeedEvent> next(std::chrono::milliseconds timeout) override {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, timeout, [&] { return !queue_.empty(); })) return std::nullopt;
    FeedEvent event = std::move(queue_.front());
    queue_.pop_front();
    changed_.notify_all();
    return event;
  }

  void close() override { context_.TryCancel(); }

 private:
  void read_all() {
    proto::ProxyMessage message;
    while (stream_->Read(&message)) push(event_of(message));
    push(FeedEnded{grpc_error(stream_->Finish(), address_, "gateway")});
  }

  void push(FeedEvent event) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return is_closing_ || queue_.size() < queue_max_; });
    queue_.push_back(std::move(event));
    changed_.notify_all();
  }

  const std::shared_ptr<const void> owner_;  // of the stub
  const std::string address_;
  const std::size_t queue_max_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<proto::ProxyMessage, proto::ProxyMessage>> stream_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::deque<FeedEvent> queue_;
  bool is_closing_ = false;
  std::thread reader_;
};

}  // namespace

GatewayGrpc::GatewayGrpc(std::string address, bool is_tls, std::string authorization)
    : state_(std::make_shared<State>()) {
  state_->stub = proto::ProxyStream::NewStub(make_channel(address, is_tls));
  state_->address = std::move(address);
  state_->authorization = std::move(authorization);
}

GatewayGrpc::~GatewayGrpc() = default;

Expected<GatewayGrpc::Published> GatewayGrpc::publish(const std::string& client, const std::string& topic,
                                                      std::string_view payload, std::chrono::milliseconds timeout) {
  grpc::ClientContext context;
  state_->prepare(context);
  context.set_deadline(grpc_deadline(timeout));
  proto::PublishRequest request;
  request.set_client_id(client);
  request.set_topic(topic);
  request.set_message(std::string(payload));
  proto::PublishResponse response;
  const grpc::Status status = state_->stub->Publish(&context, request, &response);
  if (!status.ok()) return tl::make_unexpected(grpc_error(status, state_->address, "gateway"));
  return Published{response.status(), response.message_id()};
}

Expected<void> GatewayGrpc::subscribe(const std::string& client, const std::vector<std::string>& topics,
                                      double threshold, std::chrono::milliseconds timeout) {
  grpc::ClientContext context;
  state_->prepare(context);
  context.set_deadline(grpc_deadline(timeout));
  proto::SubscribeRequest request;
  request.set_client_id(client);
  request.set_threshold(static_cast<float>(threshold));
  for (const std::string& topic : topics) request.add_topics(topic);
  proto::SubscribeResponse response;
  const grpc::Status status = state_->stub->Subscribe(&context, request, &response);
  if (!status.ok()) return tl::make_unexpected(grpc_error(status, state_->address, "gateway"));
  return {};
}

bool GatewayGrpc::is_served(std::chrono::milliseconds timeout) {
  grpc::ClientContext context;
  state_->prepare(context);
  context.set_deadline(grpc_deadline(timeout));
  proto::ExposeNodesResponse response;
  const grpc::Status status = state_->stub->ExposeNodes(&context, proto::ExposeNodesRequest{}, &response);
  return status.ok() || status.error_code() == grpc::StatusCode::UNAUTHENTICATED;
}

std::unique_ptr<GatewayFeed> GatewayGrpc::open(const std::string& client, std::size_t queue_max) {
  return std::make_unique<GrpcFeed>(
      state_, *state_->stub, [state = state_](grpc::ClientContext& context) { state->prepare(context); },
      state_->address, client, queue_max);
}

}  // namespace corelay::tools
