// The gRPC server: its limits, its three methods, health and reflection.
#include "control/node/sidecar.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <chrono>
#include <functional>
#include <mutex>
#include <set>

#include "control/daemon/grpc_order.h"
#include "control/daemon/grpc_start.h"
#include "control/node/addresses.h"
#include "control/node/node.h"
#include "control/node/sidecar_stream.h"
#include "proto/sidecar.grpc.pb.h"

namespace corelay::node {
namespace {

using Service = proto::CommandStream::WithRawCallbackMethod_ListenCommands<
    proto::CommandStream::WithRawCallbackMethod_ListenBursts<proto::CommandStream::WithCallbackMethod_Health<
        proto::CommandStream::WithCallbackMethod_ListTopics<proto::CommandStream::Service>>>>;
using Reactor = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

grpc::Status stopping_status() { return {grpc::StatusCode::UNAVAILABLE, "the node is stopping"}; }

/// A stream that was refused: ends with its status and nothing else.
class Refusal final : public Reactor {
 public:
  explicit Refusal(const grpc::Status& status) {
    daemon::give_to_grpc(this);
    Finish(status);
  }
  void OnDone() override {
    daemon::take_from_grpc(this);
    delete this;
  }
};

}  // namespace

struct Sidecar::State final : Service {
  explicit State(Node& n) : node(n) {}

  Reactor* ListenCommands(grpc::CallbackServerContext* context) override {
    return open(context, SidecarStream::Form::single);
  }
  Reactor* ListenBursts(grpc::CallbackServerContext* context) override {
    return open(context, SidecarStream::Form::bursts);
  }
  Reactor* open(grpc::CallbackServerContext* context, SidecarStream::Form form);
  grpc::ServerUnaryReactor* Health(grpc::CallbackServerContext* context, const proto::Void* request,
                                   proto::HealthResponse* response) override;
  grpc::ServerUnaryReactor* ListTopics(grpc::CallbackServerContext* context, const proto::Void* request,
                                       proto::TopicList* response) override;

  /// Fills an answer on the control thread. That thread may be the one in stop(), which waits for every call to end: a
  /// call it has not got to by then ends without.
  void answer(grpc::ServerUnaryReactor* reactor, std::function<void()> fill);

  Node& node;
  SidecarTotals totals;
  std::mutex mutex;  // guards streams, unanswered and is_stopping
  std::set<std::shared_ptr<SidecarStream>> streams;
  std::set<grpc::ServerUnaryReactor*> unanswered;
  bool is_stopping = false;
  int port = 0;
  std::unique_ptr<grpc::Server> server;
};

Reactor* Sidecar::State::open(grpc::CallbackServerContext* context, SidecarStream::Form form) {
  daemon::take_from_grpc(this);
  std::shared_ptr<SidecarStream> stream;
  {
    const std::lock_guard lock(mutex);
    if (is_stopping) return new Refusal(stopping_status());
    const std::size_t streams_max = node.config().sidecar.streams_max;
    if (streams.size() >= streams_max) {
      return new Refusal(grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED,
                                      fmt::format("{} streams are open (sidecar.streams_max)", streams_max)));
    }
    stream = std::make_shared<SidecarStream>(node, totals, form, context->peer(),
                                             [this](const std::shared_ptr<SidecarStream>& done) {
                                               const std::lock_guard ended(mutex);
                                               streams.erase(done);
                                             });
    streams.insert(stream);
  }
  stream->begin();
  return stream.get();
}

void Sidecar::State::answer(grpc::ServerUnaryReactor* reactor, std::function<void()> fill) {
  daemon::take_from_grpc(this);
  {
    const std::lock_guard lock(mutex);
    if (is_stopping) return reactor->Finish(stopping_status());
    unanswered.insert(reactor);
  }
  boost::asio::post(node.io(), [this, reactor, fill = std::move(fill)] {
    {
      const std::lock_guard lock(mutex);
      if (unanswered.erase(reactor) == 0) return;
    }
    fill();
    reactor->Finish(grpc::Status::OK);
  });
}

grpc::ServerUnaryReactor* Sidecar::State::Health(grpc::CallbackServerContext* context, const proto::Void*,
                                                 proto::HealthResponse* response) {
  const daemon::SystemLoad load = node.load();
  response->set_nodemode("optimum");
  response->set_bursts(true);
  response->set_cpuused(static_cast<float>(load.cpu_percent));
  response->set_memoryused(static_cast<float>(load.memory_percent));
  response->set_diskused(static_cast<float>(load.disk_percent));
  response->set_country(node.config().node.country);
  response->set_country_iso(node.config().node.country_iso);
  auto* const reactor = context->DefaultReactor();
  answer(reactor, [this, response] {
    response->set_status(!node.is_draining());
    const mesh::Mesh& mesh = node.peers().mesh();
    for (const auto& peer : mesh.connected_peers()) response->add_peers(peer);
    std::set<std::string> neighbours;
    for (const auto& topic : mesh.subscribed_topics()) {
      for (const auto& peer : mesh.mesh_peers(topic)) neighbours.insert(peer);
    }
    for (const auto& peer : neighbours) response->add_mesh_peers(peer);
    if (!node.addresses().empty()) response->set_p2paddress(node.addresses().front() + "/p2p/" + node.peer_id());
  });
  return reactor;
}

grpc::ServerUnaryReactor* Sidecar::State::ListTopics(grpc::CallbackServerContext* context, const proto::Void*,
                                                     proto::TopicList* response) {
  auto* const reactor = context->DefaultReactor();
  answer(reactor, [this, response] {
    for (const auto& topic : node.peers().mesh().subscribed_topics()) response->add_topics(topic);
  });
  return reactor;
}

Sidecar::Sidecar(std::unique_ptr<State> state) : state_(std::move(state)) {}

Sidecar::~Sidecar() { stop(); }

Expected<std::unique_ptr<Sidecar>> Sidecar::start(Node& node) {
  const auto& config = node.config().sidecar;
  auto state = std::make_unique<State>(node);
  daemon::start_grpc();
  const std::string host = config.address.find(':') == std::string::npos ? config.address : "[" + config.address + "]";
  grpc::ServerBuilder builder;
  builder.AddListeningPort(fmt::format("{}:{}", host, config.port),
                           grpc::InsecureServerCredentials(), &state->port);
  builder.RegisterService(state.get());
  builder.SetMaxReceiveMessageSize(static_cast<int>(node.config().relay.message_bytes_max + request_overhead_bytes));
  builder.SetMaxSendMessageSize(-1);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);  // a second node on the port must be told so
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, static_cast<int>(config.streams_max) + 8);
  // Published clients ping every 30 s, also without calls, and give up on "too many pings".
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 1000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
  daemon::give_to_grpc(state.get());
  state->server = builder.BuildAndStart();
  if (state->server == nullptr) {
    return fail(ErrorCode::unavailable, "sidecar",
                fmt::format("cannot listen on {} port {}: is another process using it? Set sidecar.port (SIDECAR_PORT) "
                            "or sidecar.address", config.address, config.port));
  }
  if (!is_loopback(config.address)) {
    spdlog::warn("the sidecar listens on {}: it has no authentication, keep it inside a private network",
                 config.address);
  }
  return std::unique_ptr<Sidecar>(new Sidecar(std::move(state)));
}

void Sidecar::set_serving(bool is_serving) {
  if (auto* const health = state_->server->GetHealthCheckService()) health->SetServingStatus(is_serving);
}

void Sidecar::stop() {
  std::set<std::shared_ptr<SidecarStream>> open;
  std::set<grpc::ServerUnaryReactor*> unanswered;
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->is_stopping) return;
    state_->is_stopping = true;
    open = state_->streams;
    unanswered.swap(state_->unanswered);
  }
  for (auto* const reactor : unanswered) reactor->Finish(stopping_status());
  for (const auto& stream : open) stream->end(stopping_status());
  open.clear();
  state_->server->Shutdown(std::chrono::system_clock::now() + std::chrono::milliseconds(300));
  state_->server->Wait();
}

std::uint16_t Sidecar::port() const noexcept { return static_cast<std::uint16_t>(state_->port); }

SidecarCounts Sidecar::counts() const {
  const SidecarTotals& totals = state_->totals;
  const auto load = [](const std::atomic<std::uint64_t>& value) { return value.load(std::memory_order_relaxed); };
  return {load(totals.streams),          load(totals.messages_sent),    load(totals.bytes_sent),
          load(totals.messages_received), load(totals.bytes_received),  load(totals.dropped_messages),
          load(totals.dropped_traces)};
}

}  // namespace corelay::node
