// The stand-in for a node of tools/bench gateway: a sidecar that delivers at once what is published through it, so that
// the gateway is measured and not a mesh. usage: gateway_sidecar PORT (until its stdin ends)
#include <grpcpp/grpcpp.h>
#include <openssl/sha.h>

#include <array>
#include <deque>
#include <iostream>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "codec/bytes.h"
#include "control/daemon/grpc_order.h"
#include "proto/sidecar.grpc.pb.h"
#include "proto/trace.pb.h"

namespace corelay::bench {
namespace {

constexpr int command_publish = 1;
constexpr int command_subscribe = 2;

using Id = std::array<unsigned char, 32>;

proto::Delivery delivery_of(proto::Request& request, const Id& id) {
  proto::Delivery delivery;
  delivery.set_topic(request.topic());
  delivery.set_message_id(id.data(), id.size());
  delivery.set_source_node_id("stand-in");
  delivery.set_payload(std::move(*request.mutable_data()));
  return delivery;
}

proto::Response trace_of(const proto::Request& request, const std::string& id) {
  optimum::pb::TraceEvent event;
  event.set_type(optimum::pb::TraceEvent::PUBLISH_MESSAGE);
  event.mutable_publishmessage()->set_messageid(id);
  event.mutable_publishmessage()->set_topic(request.topic());
  proto::Response response;
  response.set_command(proto::MessageTraceMumP2P);
  response.set_data(event.SerializeAsString());
  return response;
}

class Sidecar;

class Call final : public grpc::ServerBidiReactor<proto::RequestBurst, proto::ResponseBurst> {
 public:
  explicit Call(Sidecar& sidecar) : sidecar_(sidecar) {
    daemon::give_to_grpc(this);
    StartRead(&requests_);
  }

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone() override;

  void send(std::shared_ptr<const proto::ResponseBurst> responses) {
    const std::lock_guard lock(mutex_);
    if (is_over_) return;
    waiting_.push_back(std::move(responses));
    if (waiting_.size() == 1) write_first();
  }

 private:
  void write_first() {
    grpc::WriteOptions options;
    if (waiting_.size() > 1) options.set_buffer_hint();  // many to a system call
    daemon::give_to_grpc(this);
    StartWrite(waiting_.front().get(), options);
  }

  Sidecar& sidecar_;
  proto::RequestBurst requests_;
  std::mutex mutex_;  // guards what follows
  std::deque<std::shared_ptr<const proto::ResponseBurst>> waiting_;  // the first is being written
  bool is_over_ = false;
};

class Sidecar final
    : public proto::CommandStream::WithCallbackMethod_ListenBursts<
          proto::CommandStream::WithCallbackMethod_Health<proto::CommandStream::Service>> {
 public:
  grpc::ServerBidiReactor<proto::RequestBurst, proto::ResponseBurst>* ListenBursts(
      grpc::CallbackServerContext*) override {
    return new Call(*this);
  }

  grpc::ServerUnaryReactor* Health(grpc::CallbackServerContext* context, const proto::Void*,
                                   proto::HealthResponse* response) override {
    response->set_status(true);
    response->set_bursts(true);
    auto* const reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  void take(Call& from, proto::RequestBurst& requests) {
    const std::lock_guard lock(mutex_);
    const auto deliveries = std::make_shared<proto::ResponseBurst>();
    const auto answers = std::make_shared<proto::ResponseBurst>();
    for (proto::Request& request : *requests.mutable_requests()) {
      if (request.command() == command_subscribe) subscribed_.insert(&from);
      if (request.command() != command_publish) continue;
      Id id{};
      ::SHA256(reinterpret_cast<const unsigned char*>(request.data().data()), request.data().size(), id.data());
      *answers->add_responses() = trace_of(request, to_hex(id));
      *deliveries->add_deliveries() = delivery_of(request, id);
    }
    if (answers->responses().empty()) return;
    for (Call* const call : subscribed_) call->send(deliveries);
    from.send(answers);
  }

  void forget(Call& call) {
    const std::lock_guard lock(mutex_);
    subscribed_.erase(&call);
  }

 private:
  std::mutex mutex_;
  std::set<Call*> subscribed_;
};

void Call::OnReadDone(bool ok) {
  daemon::take_from_grpc(this);
  if (!ok) {
    sidecar_.forget(*this);
    {
      const std::lock_guard lock(mutex_);
      is_over_ = true;
    }
    daemon::give_to_grpc(this);
    return Finish(grpc::Status::OK);
  }
  sidecar_.take(*this, requests_);
  daemon::give_to_grpc(this);
  StartRead(&requests_);
}

void Call::OnWriteDone(bool ok) {
  daemon::take_from_grpc(this);
  const std::lock_guard lock(mutex_);
  waiting_.pop_front();
  if (ok && !waiting_.empty() && !is_over_) write_first();
}

void Call::OnDone() {
  daemon::take_from_grpc(this);
  delete this;
}

}  // namespace
}  // namespace corelay::bench

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: gateway_sidecar PORT (tools/bench gateway starts it)\n";
    return 2;
  }
  corelay::bench::Sidecar sidecar;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:" + std::string(argv[1]), grpc::InsecureServerCredentials());
  builder.RegisterService(&sidecar);
  builder.SetMaxReceiveMessageSize(-1);
  const auto server = builder.BuildAndStart();
  if (!server) return 1;
  for (std::string line; std::getline(std::cin, line);) {
  }
  server->Shutdown(std::chrono::system_clock::now());
  return 0;
}
