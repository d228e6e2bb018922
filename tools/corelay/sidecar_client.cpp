#include "tools/corelay/sidecar_client.h"

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "proto/sidecar.grpc.pb.h"
#include "tools/corelay/grpc_channel.h"

namespace corelay::tools {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int command_publish = 1;
constexpr int command_subscribe = 2;
constexpr std::size_t queue_bytes_max = 64u << 20;

}  // namespace

struct SidecarClient::State {
  std::string address;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<proto::CommandStream::Stub> stub;
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReaderWriter<proto::Request, proto::Response>> stream;

  std::mutex mutex;
  std::condition_variable changed;
  std::deque<SidecarEvent> queue;
  std::size_t queue_bytes = 0;
  bool is_closing = false;
  std::thread reader;

  void read_all() {
    proto::Response response;
    while (stream->Read(&response)) {
      if (response.command() == proto::ResponseType::Message) {
        push(SidecarArrival{Clock::now(), std::move(*response.mutable_data())});
      } else if (const auto trace = parse_trace(response.data());
                 trace && trace->kind != TraceKind::other) {
        push(*trace);
      }
    }
    push(SidecarEnded{grpc_error(stream->Finish(), address, "node")});
  }

  void push(SidecarEvent event) {
    const auto* arrival = std::get_if<SidecarArrival>(&event);
    const std::size_t bytes = arrival == nullptr ? 0 : arrival->json.size();
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] {
      return is_closing || queue.empty() || queue_bytes + bytes <= queue_bytes_max;
    });
    queue_bytes += bytes;
    queue.push_back(std::move(event));
    changed.notify_all();
  }

  bool write(int command, std::string_view topic, std::string_view payload) {
    proto::Request request;
    request.set_command(command);
    request.set_topic(std::string(topic));
    request.set_data(std::string(payload));
    return stream->Write(request);
  }
};

SidecarClient::SidecarClient(std::unique_ptr<State> state) : state_(std::move(state)) {}

SidecarClient::~SidecarClient() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->is_closing = true;
  }
  state_->changed.notify_all();
  state_->context.TryCancel();
  if (state_->reader.joinable()) state_->reader.join();
}

Expected<std::unique_ptr<SidecarClient>> SidecarClient::open(const std::string& address,
                                                             std::chrono::milliseconds timeout) {
  auto state = std::make_unique<State>();
  state->address = address;
  state->channel = make_channel(address, false);
  state->stub = proto::CommandStream::NewStub(state->channel);

  // A unary call first: it says at once, and with the system's own reason, where nobody listens.
  grpc::ClientContext probe;
  probe.set_deadline(grpc_deadline(timeout));
  proto::HealthResponse health;
  const grpc::Status status = state->stub->Health(&probe, proto::Void{}, &health);
  if (!status.ok() && status.error_code() != grpc::StatusCode::UNIMPLEMENTED) {
    return tl::make_unexpected(grpc_error(status, address, "node"));
  }
  state->stream = state->stub->ListenCommands(&state->context);
  state->reader = std::thread([raw = state.get()] { raw->read_all(); });
  return std::unique_ptr<SidecarClient>(new SidecarClient(std::move(state)));
}

bool SidecarClient::publish(std::string_view topic, std::string_view payload) {
  return state_->write(command_publish, topic, payload);
}

bool SidecarClient::subscribe(std::string_view topic) {
  return state_->write(command_subscribe, topic, {});
}

std::optional<SidecarEvent> SidecarClient::next(std::chrono::milliseconds timeout) {
  std::unique_lock lock(state_->mutex);
  if (!state_->changed.wait_for(lock, timeout, [&] { return !state_->queue.empty(); }))
    return std::nullopt;
  SidecarEvent event = std::move(state_->queue.front());
  state_->queue.pop_front();
  if (const auto* arrival = std::get_if<SidecarArrival>(&event))
    state_->queue_bytes -= arrival->json.size();
  state_->changed.notify_all();
  return event;
}

Expected<std::vector<std::string>> SidecarClient::topics(std::chrono::milliseconds timeout) {
  grpc::ClientContext context;
  context.set_deadline(grpc_deadline(timeout));
  proto::TopicList list;
  const grpc::Status status = state_->stub->ListTopics(&context, proto::Void{}, &list);
  if (!status.ok()) return tl::make_unexpected(grpc_error(status, state_->address, "node"));
  return std::vector<std::string>(list.topics().begin(), list.topics().end());
}

}  // namespace corelay::tools
