// The only file of the command line that sees gRPC.
#include "tools/corelay/sidecar_client.h"

#include <grpc/grpc.h>
#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "proto/sidecar.grpc.pb.h"

namespace corelay::tools {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int command_publish = 1;
constexpr int command_subscribe = 2;
constexpr std::size_t queue_bytes_max = 64u << 20;

Error to_error(const grpc::Status& status, const std::string& address) {
  Error error{ErrorCode::internal, address, status.error_message()};
  switch (status.error_code()) {
    case grpc::StatusCode::OK:
      error.code = ErrorCode::closed;
      error.what = "the node ended the stream";
      break;
    case grpc::StatusCode::UNAVAILABLE:
      error.code = ErrorCode::unavailable;
      break;
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      error.code = ErrorCode::timed_out;
      break;
    case grpc::StatusCode::INVALID_ARGUMENT:
      error.code = ErrorCode::invalid_argument;
      break;
    case grpc::StatusCode::OUT_OF_RANGE:
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      error.code = ErrorCode::too_large;
      break;
    case grpc::StatusCode::PERMISSION_DENIED:
      error.code = ErrorCode::permission_denied;
      break;
    case grpc::StatusCode::UNAUTHENTICATED:
      error.code = ErrorCode::unauthenticated;
      break;
    case grpc::StatusCode::CANCELLED:
      error.code = ErrorCode::closed;
      break;
    default:
      break;
  }
  if (auto limit = over_request_limit(error.what)) error.what = std::move(*limit);
  // gRPC wraps the system's reason in a sentence about its own subchannels; the reason is what a
  // person needs.
  const auto last = error.what.rfind("last error: ");
  if (last != std::string::npos) error.what = error.what.substr(last + 12);
  const auto reason = error.what.find("Connection refused");
  if (reason != std::string::npos) error.what = "connection refused";
  if (error.what.starts_with("DNS resolution failed")) error.what = "no such host";
  if (error.what.empty()) error.what = "the node closed the connection";
  return error;
}

std::chrono::system_clock::time_point deadline_after(std::chrono::milliseconds time) {
  return std::chrono::system_clock::now() + time;
}

std::shared_ptr<grpc::Channel> make_channel(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

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
    push(SidecarEnded{to_error(stream->Finish(), address)});
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
  grpc_init();  // never undone: the last user's shutdown joins a thread that may sleep in its poll for ten seconds
  auto state = std::make_unique<State>();
  state->address = address;
  state->channel = make_channel(address);
  state->stub = proto::CommandStream::NewStub(state->channel);

  // A unary call first: it says at once, and with the system's own reason, where nobody listens.
  grpc::ClientContext probe;
  probe.set_deadline(deadline_after(timeout));
  proto::HealthResponse health;
  const grpc::Status status = state->stub->Health(&probe, proto::Void{}, &health);
  if (!status.ok() && status.error_code() != grpc::StatusCode::UNIMPLEMENTED) {
    return tl::make_unexpected(to_error(status, address));
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
  context.set_deadline(deadline_after(timeout));
  proto::TopicList list;
  const grpc::Status status = state_->stub->ListTopics(&context, proto::Void{}, &list);
  if (!status.ok()) return tl::make_unexpected(to_error(status, state_->address));
  return std::vector<std::string>(list.topics().begin(), list.topics().end());
}

}  // namespace corelay::tools
