// The gRPC server: its limits, its methods, health and reflection.
#include "control/gateway/grpc_server.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>
#include <spdlog/spdlog.h>

#include <boost/asio/post.hpp>
#include <fstream>
#include <iterator>
#include <mutex>
#include <set>

#include "control/daemon/grpc_start.h"
#include "control/gateway/grpc_call.h"
#include "proto/gateway.grpc.pb.h"

namespace corelay::gateway {
namespace {

constexpr std::size_t request_overhead_bytes = 1u << 20;

using Proxy = proto::ProxyStream::WithRawCallbackMethod_ClientStream<
    proto::ProxyStream::WithCallbackMethod_Publish<proto::ProxyStream::WithCallbackMethod_Subscribe<
        proto::ProxyStream::WithCallbackMethod_ExposeNodes<proto::ProxyStream::Service>>>>;
using Older = proto::GatewayStream::WithRawCallbackMethod_ClientStream<proto::GatewayStream::Service>;
using Stream = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

std::string token_of(const grpc::CallbackServerContext& context) {
  const auto found = context.client_metadata().find("authorization");
  if (found == context.client_metadata().end()) return "";
  const std::string value(found->second.data(), found->second.size());
  const bool has_word = value.size() > 7 && (value.starts_with("Bearer ") || value.starts_with("bearer "));
  return has_word ? value.substr(7) : value;
}

grpc::Status status_of(const PublishOutcome& outcome) {
  using grpc::StatusCode;
  switch (outcome.result) {
    case PublishResult::published:
    case PublishResult::deduplicated:
      return grpc::Status::OK;
    case PublishResult::not_assigned:
      return {StatusCode::FAILED_PRECONDITION, outcome.reason};
    case PublishResult::too_large:
      return {StatusCode::INVALID_ARGUMENT, outcome.reason};
    case PublishResult::busy:
      return {StatusCode::RESOURCE_EXHAUSTED, outcome.reason};
    case PublishResult::timed_out:
      return {StatusCode::DEADLINE_EXCEEDED, outcome.reason};
    case PublishResult::no_node:
    case PublishResult::refused:
      break;
  }
  return {StatusCode::UNAVAILABLE, outcome.reason};
}

std::string text_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// A stream that was refused: ends with its status and nothing else.
class Refusal final : public Stream {
 public:
  explicit Refusal(const grpc::Status& status) { Finish(status); }
  void OnDone() override { delete this; }
};

}  // namespace

struct GrpcServer::State final : public Proxy, public std::enable_shared_from_this<GrpcServer::State> {
  State(gateway::Service& s, Gatekeeper* g) : service(s), gatekeeper(g), older(*this) {}

  struct OlderService final : Older {
    explicit OlderService(State& s) : state(s) {}
    Stream* ClientStream(grpc::CallbackServerContext* context) override { return state.open(context); }
    State& state;
  };

  Stream* ClientStream(grpc::CallbackServerContext* context) override { return open(context); }
  grpc::ServerUnaryReactor* Publish(grpc::CallbackServerContext* context, const proto::PublishRequest* request,
                                    proto::PublishResponse* response) override;
  grpc::ServerUnaryReactor* Subscribe(grpc::CallbackServerContext* context, const proto::SubscribeRequest* request,
                                      proto::SubscribeResponse* response) override;
  grpc::ServerUnaryReactor* ExposeNodes(grpc::CallbackServerContext* context, const proto::ExposeNodesRequest* request,
                                        proto::ExposeNodesResponse* response) override;

  /// One unary call; finish() answers it, once.
  using Finish = std::function<void(const grpc::Status&)>;
  using Work = std::function<void(const std::shared_ptr<Admission>& admission, const Finish& finish)>;
  grpc::ServerUnaryReactor* unary(grpc::CallbackServerContext* context, Work work);
  Stream* open(grpc::CallbackServerContext* context);
  void subscribe_next(std::shared_ptr<std::vector<std::string>> topics, std::string client, double threshold,
                      Finish finish);
  void stop();

  gateway::Service& service;
  Gatekeeper* const gatekeeper;
  OlderService older;
  GrpcTotals totals;
  std::mutex mutex;  // guards what follows
  std::set<std::shared_ptr<GrpcCall>> streams;
  std::set<grpc::ServerUnaryReactor*> unanswered;
  bool is_stopping = false;
  int port = 0;
  std::unique_ptr<grpc::Server> server;
};

Stream* GrpcServer::State::open(grpc::CallbackServerContext* context) {
  const std::lock_guard lock(mutex);
  if (is_stopping) return new Refusal({grpc::StatusCode::UNAVAILABLE, "the gateway is stopping"});
  const std::size_t streams_max = service.config().grpc.streams_max;
  if (streams.size() >= streams_max) {
    return new Refusal(
        {grpc::StatusCode::RESOURCE_EXHAUSTED, fmt::format("{} streams are open (grpc.streams_max)", streams_max)});
  }
  auto call = std::make_shared<GrpcCall>(service, gatekeeper, totals, token_of(*context),
                                         [weak = weak_from_this()](const std::shared_ptr<GrpcCall>& done) {
                                           if (const auto self = weak.lock()) {
                                             const std::lock_guard ended(self->mutex);
                                             self->streams.erase(done);
                                           }
                                         });
  streams.insert(call);
  call->begin();
  return call.get();
}

grpc::ServerUnaryReactor* GrpcServer::State::unary(grpc::CallbackServerContext* context, Work work) {
  auto* const reactor = context->DefaultReactor();
  {
    const std::lock_guard lock(mutex);
    if (is_stopping) {
      reactor->Finish({grpc::StatusCode::UNAVAILABLE, "the gateway is stopping"});
      return reactor;
    }
    unanswered.insert(reactor);
  }
  const Finish finish = [weak = weak_from_this(), reactor](const grpc::Status& status) {
    const auto self = weak.lock();
    if (!self) return;
    {
      const std::lock_guard lock(self->mutex);
      if (self->unanswered.erase(reactor) == 0) return;
    }
    reactor->Finish(status);
  };
  boost::asio::post(service.io(),
                    [this, self = shared_from_this(), token = token_of(*context), work = std::move(work), finish] {
                      if (gatekeeper == nullptr) return work(nullptr, finish);
                      gatekeeper->admit(token, [work, finish](const Expected<std::shared_ptr<Admission>>& admission) {
                        if (!admission) return finish(refusal_of(admission.error()));
                        work(*admission, finish);
                      });
                    });
  return reactor;
}

grpc::ServerUnaryReactor* GrpcServer::State::Publish(grpc::CallbackServerContext* context,
                                                     const proto::PublishRequest* request,
                                                     proto::PublishResponse* response) {
  return unary(context, [this, request, response](const std::shared_ptr<Admission>& admission, const Finish& finish) {
    gateway::PublishRequest publish;
    publish.client = admission ? admission->client_id : request->client_id();
    publish.topic = request->topic();
    publish.payload = request->message();
    if (publish.topic.empty()) return finish({grpc::StatusCode::INVALID_ARGUMENT, "missing topic"});
    if (publish.client.empty()) return finish({grpc::StatusCode::INVALID_ARGUMENT, "missing client ID"});
    if (const auto checked = check_client_id(publish.client); !checked) {
      return finish({grpc::StatusCode::INVALID_ARGUMENT, checked.error().what});
    }
    // What the answer is made from is copied: after finish() by another, request and response are gone.
    publish.done = [this, response, finish, client = publish.client,
                    topic = publish.topic](const PublishOutcome& outcome) {
      {
        const std::lock_guard lock(mutex);
        if (is_stopping) return;
      }
      if (const auto status = status_of(outcome); !status.ok()) return finish(status);
      response->set_status(outcome.result == PublishResult::published ? "published" : "deduplicated");
      response->set_topic(topic);
      response->set_client_id(client);
      response->set_message_id(outcome.message_id);
      finish(grpc::Status::OK);
    };
    if (!admission) return service.publish(std::move(publish));
    const auto shared_publish = std::make_shared<gateway::PublishRequest>(std::move(publish));
    gatekeeper->charge(*admission, shared_publish->payload.size(),
                       [this, shared_publish, finish](const Verdict& verdict) {
                         if (verdict.is_allowed) return service.publish(std::move(*shared_publish));
                         finish({grpc::StatusCode::RESOURCE_EXHAUSTED, verdict.why});
                       });
  });
}

void GrpcServer::State::subscribe_next(std::shared_ptr<std::vector<std::string>> topics, std::string client,
                                       double threshold, Finish finish) {
  if (topics->empty()) return finish(grpc::Status::OK);
  const std::string topic = topics->back();
  topics->pop_back();
  service.subscribe(client, topic, threshold, [=, this](const Expected<void>& outcome) {
    if (!outcome) return finish({grpc::StatusCode::INVALID_ARGUMENT, outcome.error().what});
    subscribe_next(topics, client, threshold, finish);
  });
}

grpc::ServerUnaryReactor* GrpcServer::State::Subscribe(grpc::CallbackServerContext* context,
                                                       const proto::SubscribeRequest* request,
                                                       proto::SubscribeResponse* response) {
  return unary(context, [this, request, response](const std::shared_ptr<Admission>& admission, const Finish& finish) {
    const std::string client = admission ? admission->client_id : request->client_id();
    auto topics = std::make_shared<std::vector<std::string>>(request->topics().rbegin(), request->topics().rend());
    if (!request->topic().empty()) topics->push_back(request->topic());
    if (topics->empty()) return finish({grpc::StatusCode::INVALID_ARGUMENT, "missing topic"});
    if (client.empty()) return finish({grpc::StatusCode::INVALID_ARGUMENT, "missing client ID"});
    response->set_status("subscribed");
    response->set_topic(request->topic().empty() ? topics->back() : request->topic());
    response->set_client_id(client);
    subscribe_next(std::move(topics), client, static_cast<double>(request->threshold()), finish);
  });
}

grpc::ServerUnaryReactor* GrpcServer::State::ExposeNodes(grpc::CallbackServerContext* context,
                                                         const proto::ExposeNodesRequest* request,
                                                         proto::ExposeNodesResponse* response) {
  return unary(context, [this, request, response](const std::shared_ptr<Admission>&, const Finish& finish) {
    const std::size_t wanted = request->expose_amount() == 0 ? 1 : request->expose_amount();
    for (const auto& link : service.nodes().links()) {
      if (!link->is_reachable() || static_cast<std::size_t>(response->nodes_size()) >= wanted) continue;
      response->add_nodes(link->address());
      response->add_nodesoptp2p(link->health().peer_address);
    }
    finish(grpc::Status::OK);
  });
}

void GrpcServer::State::stop() {
  std::set<std::shared_ptr<GrpcCall>> open;
  std::set<grpc::ServerUnaryReactor*> calls;
  {
    const std::lock_guard lock(mutex);
    if (is_stopping) return;
    is_stopping = true;
    open.swap(streams);
    calls.swap(unanswered);
  }
  const grpc::Status status(grpc::StatusCode::UNAVAILABLE, "the gateway is stopping");
  for (auto* const reactor : calls) reactor->Finish(status);
  for (const auto& call : open) call->end(status);
}

Expected<std::unique_ptr<GrpcServer>> GrpcServer::start(Service& service, Gatekeeper* gatekeeper) {
  const GatewayConfig& config = service.config();
  const auto listen = listen_of(config.grpc.address, config.grpc.port, config.auth.enable);
  if (!listen) return tl::make_unexpected(listen.error());
  auto state = std::make_shared<State>(service, gatekeeper);
  daemon::start_grpc();
  std::shared_ptr<grpc::ServerCredentials> credentials = grpc::InsecureServerCredentials();
  if (!config.http.tls_certificate.empty()) {
    grpc::SslServerCredentialsOptions options;
    options.pem_key_cert_pairs.push_back({text_of(config.http.tls_key), text_of(config.http.tls_certificate)});
    credentials = grpc::SslServerCredentials(options);
  }
  const std::string host =
      listen->address.find(':') == std::string::npos ? listen->address : "[" + listen->address + "]";
  grpc::ServerBuilder builder;
  builder.AddListeningPort(fmt::format("{}:{}", host, listen->port), credentials, &state->port);
  builder.RegisterService(state.get());
  builder.RegisterService(&state->older);
  builder.SetMaxReceiveMessageSize(static_cast<int>(config.delivery.message_bytes_max + request_overhead_bytes));
  builder.SetMaxSendMessageSize(-1);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, static_cast<int>(config.grpc.streams_max) + 8);
  // Published clients ping every 30 s, also without calls, and give up on "too many pings".
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 1000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
  state->server = builder.BuildAndStart();
  if (state->server == nullptr) {
    return fail(ErrorCode::unavailable, "grpc",
                fmt::format("cannot listen on {} port {}: is another process using it? Set grpc.port (PROXY_GRPC_PORT)",
                            listen->address, listen->port));
  }
  return std::unique_ptr<GrpcServer>(new GrpcServer(std::move(state)));
}

GrpcServer::GrpcServer(std::shared_ptr<State> state) : state_(std::move(state)) {}

GrpcServer::~GrpcServer() {
  state_->stop();
  state_->server->Shutdown(std::chrono::system_clock::now() + std::chrono::milliseconds(300));
  state_->server->Wait();
}

void GrpcServer::set_serving(bool is_serving) {
  if (auto* const health = state_->server->GetHealthCheckService()) health->SetServingStatus(is_serving);
}

void GrpcServer::leave() { state_->stop(); }

std::uint16_t GrpcServer::port() const noexcept { return static_cast<std::uint16_t>(state_->port); }

}  // namespace corelay::gateway
