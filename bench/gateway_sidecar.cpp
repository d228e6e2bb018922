// The stand-in for a node of tools/bench gateway: a sidecar that delivers at once what is published through it, so that
// the gateway is measured and not a mesh. usage: gateway_sidecar PORT (until its stdin ends)
#include <grpcpp/grpcpp.h>

#include <deque>
#include <iostream>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "control/gateway/text.h"
#include "proto/sidecar.grpc.pb.h"
#include "proto/trace.pb.h"

namespace corelay::bench {
namespace {

constexpr int command_publish = 1;
constexpr int command_subscribe = 2;

proto::Response delivery_of(const proto::Request& request, const std::string& id) {
  std::string data = "{\"topic\":";
  gateway::append_json(request.topic(), data);
  data += ",\"message_id\":\"" + id + "\",\"source_node_id\":\"stand-in\",\"message\":\"";
  gateway::append_base64(request.data(), data);
  data += "\"}";
  proto::Response response;
  response.set_command(proto::Message);
  response.set_data(std::move(data));
  return response;
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

class Call final : public grpc::ServerBidiReactor<proto::Request, proto::Response> {
 public:
  explicit Call(Sidecar& sidecar) : sidecar_(sidecar) { StartRead(&request_); }

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone() override;

  void send(std::shared_ptr<const proto::Response> response) {
    const std::lock_guard lock(mutex_);
    if (is_over_) return;
    waiting_.push_back(std::move(response));
    if (waiting_.size() == 1) write_first();
  }

 private:
  void write_first() {
    grpc::WriteOptions options;
    if (waiting_.size() > 1) options.set_buffer_hint();  // many to a system call
    StartWrite(waiting_.front().get(), options);
  }

  Sidecar& sidecar_;
  proto::Request request_;
  std::mutex mutex_;  // guards what follows
  std::deque<std::shared_ptr<const proto::Response>> waiting_;  // the first is being written
  bool is_over_ = false;
};

class Sidecar final : public proto::CommandStream::WithCallbackMethod_ListenCommands<proto::CommandStream::Service> {
 public:
  grpc::ServerBidiReactor<proto::Request, proto::Response>* ListenCommands(grpc::CallbackServerContext*) override {
    return new Call(*this);
  }

  void take(Call& from, const proto::Request& request) {
    const std::lock_guard lock(mutex_);
    if (request.command() == command_subscribe) subscribed_.insert(&from);
    if (request.command() != command_publish) return;
    const std::string id = gateway::sha256_hex(request.data());
    const auto delivery = std::make_shared<const proto::Response>(delivery_of(request, id));
    for (Call* const call : subscribed_) call->send(delivery);
    from.send(std::make_shared<const proto::Response>(trace_of(request, id)));
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
  if (!ok) {
    sidecar_.forget(*this);
    {
      const std::lock_guard lock(mutex_);
      is_over_ = true;
    }
    return Finish(grpc::Status::OK);
  }
  sidecar_.take(*this, request_);
  StartRead(&request_);
}

void Call::OnWriteDone(bool ok) {
  const std::lock_guard lock(mutex_);
  waiting_.pop_front();
  if (ok && !waiting_.empty() && !is_over_) write_first();
}

void Call::OnDone() { delete this; }

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
