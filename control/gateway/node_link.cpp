#include "control/gateway/node_link.h"

#include <grpc/grpc.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <spdlog/spdlog.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "control/daemon/grpc_order.h"
#include "control/daemon/proto_fields.h"
#include "proto/sidecar.grpc.pb.h"

namespace corelay::gateway {
namespace {

constexpr std::int32_t command_publish = 1;
constexpr std::int32_t command_subscribe = 2;
constexpr std::int32_t command_unsubscribe = 3;
constexpr const char* single_method = "/proto.CommandStream/ListenCommands";
constexpr const char* burst_method = "/proto.CommandStream/ListenBursts";
constexpr std::size_t burst_requests_max = 256;
constexpr std::size_t burst_bytes_max = 64u << 10;
constexpr std::size_t copied_bytes_max = 16u << 10;  // above it a slice of its own is cheaper
constexpr int window_bytes = 8 << 20;
constexpr int attempts_until_told = 6;

using Stream = grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

/// A buffer over shared bytes, without copying them.
grpc::Slice slice_of(const SharedBytes& bytes) {
  auto* const owner = new SharedBytes(bytes);  // gRPC frees it with the slice
  daemon::give_to_grpc(owner);
  const auto release = [](void* data) {
    daemon::take_from_grpc(data);
    delete static_cast<SharedBytes*>(data);
  };
  return {const_cast<char*>(bytes->data()), bytes->size(), release, owner};
}

/// A Request on its way: its data follow its head.
struct Outgoing {
  std::string head;
  SharedBytes data;  // null: none

  [[nodiscard]] std::size_t bytes() const { return head.size() + (data ? data->size() : 0); }
};

Outgoing request_of(std::int32_t command, const std::string& topic, const SharedBytes& data) {
  return {request_head(command, topic, data ? data->size() : 0), data};
}

grpc::ByteBuffer buffer_of(const Outgoing& request) {
  grpc::Slice slices[2] = {grpc::Slice(request.head.data(), request.head.size()), grpc::Slice()};
  if (request.data && !request.data->empty()) slices[1] = slice_of(request.data);
  return {slices, slices[1].size() != 0 ? 2U : 1U};
}

/// A RequestBurst of the first that wait: as many as it may carry, or one that is larger.
grpc::ByteBuffer take_burst(std::deque<Outgoing>& waiting) {
  std::vector<grpc::Slice> slices;
  std::string copied;
  std::size_t bytes = 0;
  const auto cut = [&] {
    if (!copied.empty()) slices.emplace_back(copied);
    copied.clear();
  };
  for (std::size_t count = 0; count < burst_requests_max && !waiting.empty(); ++count) {
    const Outgoing& next = waiting.front();
    const std::size_t size = next.bytes();
    if (count != 0 && bytes + size > burst_bytes_max) break;
    daemon::append_field_head(1, size, copied);
    copied += next.head;
    if (size <= copied_bytes_max) {
      if (next.data) copied += *next.data;
    } else {
      cut();
      slices.push_back(slice_of(next.data));
    }
    bytes += size;
    waiting.pop_front();
  }
  cut();
  return {slices.data(), slices.size()};
}

}  // namespace

/// One ListenCommands or ListenBursts call. Its owner keeps it until `ended` was called, which is gRPC's last word:
/// were it gRPC's thread that let go of it, and with it of the channel, that thread would end the queue it runs on.
class Call final : public Stream {
 public:
  using Received = std::function<void(const std::shared_ptr<const grpc::Slice>&)>;
  using Ended = std::function<void(const grpc::Status&)>;

  Call(std::shared_ptr<grpc::Channel> channel, bool in_bursts, Received received, Ended ended)
      : channel_(std::move(channel)), in_bursts_(in_bursts), received_(std::move(received)), ended_(std::move(ended)) {}

  static std::shared_ptr<Call> begin(std::shared_ptr<grpc::Channel> channel, grpc::GenericStub& stub, bool in_bursts,
                                     Received received, Ended ended) {
    auto call = std::make_shared<Call>(std::move(channel), in_bursts, std::move(received), std::move(ended));
    stub.PrepareBidiStreamingCall(&call->context_, in_bursts ? burst_method : single_method, grpc::StubOptions(),
                                  call.get());
    call->AddHold();
    call->StartRead(&call->read_);
    daemon::give_to_grpc(call.get());
    call->StartCall();
    return call;
  }

  /// False once the call is over. Leaves with the next flush().
  bool write(Outgoing request) {
    const std::lock_guard lock(mutex_);
    if (!is_over_) waiting_.push_back(std::move(request));
    return !is_over_;
  }

  void flush() {
    grpc::WriteOptions options;
    {
      const std::lock_guard lock(mutex_);
      if (is_over_ || is_writing_ || waiting_.empty()) return;
      is_writing_ = true;
      options = take_waiting();
    }
    daemon::give_to_grpc(this);
    StartWrite(&write_, options);
  }

  void cancel() { context_.TryCancel(); }

 private:
  void OnReadDone(bool ok) override {
    daemon::take_from_grpc(this);
    if (!ok) return end();
    auto slice = std::make_shared<grpc::Slice>();
    if (!read_.TrySingleSlice(slice.get()).ok()) static_cast<void>(read_.DumpToSingleSlice(slice.get()));
    read_.Clear();
    received_(slice);
    StartRead(&read_);
  }

  void OnWriteDone(bool ok) override {
    daemon::take_from_grpc(this);
    bool is_last = false;
    grpc::WriteOptions options;
    {
      const std::lock_guard lock(mutex_);
      write_.Clear();
      if (ok && !is_over_ && !waiting_.empty()) {
        options = take_waiting();
      } else {
        is_writing_ = false;
        waiting_.clear();
        if (!is_over_ || !is_held_) return;
        is_held_ = false;
        is_last = true;
      }
    }
    if (is_last) return RemoveHold();
    daemon::give_to_grpc(this);
    StartWrite(&write_, options);
  }

  grpc::WriteOptions take_waiting() {
    if (in_bursts_) {
      write_ = take_burst(waiting_);
    } else {
      write_ = buffer_of(waiting_.front());
      waiting_.pop_front();
    }
    grpc::WriteOptions options;
    if (!waiting_.empty()) options.set_buffer_hint();  // many to a system call; the last sends them off
    return options;
  }

  /// No more writes; the hold goes when none is under way.
  void end() {
    {
      const std::lock_guard lock(mutex_);
      is_over_ = true;
      if (is_writing_ || !is_held_) return;
      is_held_ = false;
    }
    RemoveHold();
  }

  void OnDone(const grpc::Status& status) override {
    daemon::take_from_grpc(this);
    const Ended ended = ended_;  // the owner may let go of us before it returns
    ended(status);
  }

  // Outlives the context, which has it too: ThreadSanitizer does not see gRPC give up the last of them.
  const std::shared_ptr<grpc::Channel> channel_;
  const bool in_bursts_;
  const Received received_;
  const Ended ended_;
  grpc::ClientContext context_;
  grpc::ByteBuffer read_;
  grpc::ByteBuffer write_;  // gRPC's while is_writing_
  std::mutex mutex_;        // guards what follows
  std::deque<Outgoing> waiting_;
  bool is_writing_ = false;
  bool is_over_ = false;
  bool is_held_ = true;
};

std::string NodeHealth::peer_id() const {
  const std::size_t at = peer_address.rfind("/p2p/");
  return at == std::string::npos ? "" : peer_address.substr(at + 5);
}

struct NodeLink::State {
  State(NodeLink& l, NodeLinkSettings s, NodeEvents e) : link(l), settings(s), events(std::move(e)) {}

  void run();
  bool ask_health();
  void open_streams();
  void confirm_topics();
  void on_responses(bool is_burst, bool is_of_publishes, const std::shared_ptr<const grpc::Slice>& slice);
  void on_ended(const grpc::Status& status);
  void set_reachable(bool is_reachable, const std::string& why);

  NodeLink& link;
  const NodeLinkSettings settings;
  const NodeEvents events;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<grpc::GenericStub> stub;
  std::unique_ptr<proto::CommandStream::Stub> unary;
  std::thread thread;
  int silent_attempts = 0;  // the thread's own

  std::mutex mutex;  // guards what follows
  std::condition_variable changed;
  bool is_stopping = false;
  bool is_lost = false;  // a stream has ended since they were opened
  std::string lost_why;
  int open_calls = 0;
  std::set<std::string> topics;
  std::set<std::string> unconfirmed;
  std::shared_ptr<Call> messages;
  std::shared_ptr<Call> publishes;
  NodeHealth health;
};

/// Answers count on the stream of publishes alone: traces of the other may name no message, and need not be read.
void NodeLink::State::on_responses(bool is_burst, bool is_of_publishes,
                                   const std::shared_ptr<const grpc::Slice>& slice) {
  std::vector<NodeMessage> found;
  std::vector<PublishAnswer> answers;
  const auto take_response = [&](std::string_view bytes) {
    const auto response = parse_response(bytes);
    if (!response) return;
    if (response->kind == SidecarResponse::message) {
      if (auto message = parse_message(response->data)) found.push_back({std::move(*message), slice});
    } else if (is_of_publishes) {
      if (auto answer = parse_publish_answer(response->data)) answers.push_back(std::move(*answer));
    }
  };
  const std::string_view bytes(reinterpret_cast<const char*>(slice->begin()), slice->size());
  if (!is_burst) {
    take_response(bytes);
  } else {
    daemon::ProtoFields fields(bytes);
    while (const auto field = fields.next()) {
      if (field->number == 1) take_response(field->bytes);
      if (field->number != 2) continue;
      if (auto message = parse_delivery(field->bytes)) found.push_back({std::move(*message), slice});
    }
  }
  if (!found.empty() || !answers.empty()) events.received(std::move(found), std::move(answers));
}

void NodeLink::State::on_ended(const grpc::Status& status) {
  const std::lock_guard lock(mutex);
  --open_calls;
  is_lost = true;
  lost_why = status.error_message().empty() ? "the node ended the stream" : status.error_message();
  changed.notify_all();
}

bool NodeLink::State::ask_health() {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + settings.timeout);
  proto::HealthResponse reply;
  const grpc::Status status = unary->Health(&context, proto::Void{}, &reply);
  const std::lock_guard lock(mutex);
  if (!status.ok() && status.error_code() != grpc::StatusCode::UNIMPLEMENTED) {
    lost_why = status.error_message();
    return false;
  }
  health = {reply.nodemode(),
            reply.p2paddress(),
            reply.country(),
            reply.country_iso(),
            {reply.peers().begin(), reply.peers().end()},
            {reply.mesh_peers().begin(), reply.mesh_peers().end()},
            static_cast<double>(reply.cpuused()),
            static_cast<double>(reply.memoryused()),
            static_cast<double>(reply.diskused()),
            reply.bursts()};
  return true;
}

void NodeLink::State::open_streams() {
  const std::lock_guard lock(mutex);
  is_lost = false;
  open_calls = 2;
  const bool in_bursts = health.has_bursts;
  const auto begin = [&](bool is_of_publishes) {
    return Call::begin(
        channel, *stub, in_bursts,
        [this, in_bursts, is_of_publishes](const auto& slice) { on_responses(in_bursts, is_of_publishes, slice); },
        [this](const auto& status) { on_ended(status); });
  };
  messages = begin(false);
  publishes = begin(true);
  unconfirmed = topics;
  for (const auto& topic : topics) messages->write(request_of(command_subscribe, topic, nullptr));
  messages->flush();
}

/// Asks which topics the node takes part in, until those just asked for are among them.
void NodeLink::State::confirm_topics() {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + settings.timeout);
  proto::TopicList list;
  const grpc::Status status = unary->ListTopics(&context, proto::Void{}, &list);
  std::vector<std::string> confirmed;
  {
    const std::lock_guard lock(mutex);
    if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED) {
      confirmed.assign(unconfirmed.begin(), unconfirmed.end());
    }
    for (const auto& topic : list.topics()) {
      if (unconfirmed.count(topic) != 0) confirmed.push_back(topic);
    }
    for (const auto& topic : confirmed) unconfirmed.erase(topic);
  }
  for (const auto& topic : confirmed) events.subscribed(topic);
}

void NodeLink::State::set_reachable(bool is_reachable, const std::string& why) {
  // A node that never answered is heard of too, but not while both are starting.
  if (link.is_reachable_.exchange(is_reachable) != is_reachable) {
    silent_attempts = attempts_until_told;
  } else if (++silent_attempts != attempts_until_told) {
    return;
  }
  events.reachable(is_reachable, why);
}

void NodeLink::State::run() {
  auto pause = settings.redial_min;
  std::unique_lock lock(mutex);
  while (!is_stopping) {
    lock.unlock();
    const bool is_up = ask_health();
    if (is_up) {
      open_streams();
      set_reachable(true, "");
      pause = settings.redial_min;
    }
    lock.lock();
    auto asked_at = std::chrono::steady_clock::now();
    while (is_up && !is_stopping && !is_lost) {
      if (!unconfirmed.empty()) {
        lock.unlock();
        confirm_topics();
        lock.lock();
        if (!unconfirmed.empty()) changed.wait_for(lock, std::chrono::milliseconds(2));
        continue;
      }
      if (changed.wait_until(lock, asked_at + settings.health) == std::cv_status::no_timeout) continue;
      lock.unlock();
      const bool answers = ask_health();
      lock.lock();
      asked_at = std::chrono::steady_clock::now();
      if (!answers) is_lost = true;
    }
    if (messages) messages->cancel();
    if (publishes) publishes->cancel();
    changed.wait(lock, [&] { return open_calls == 0; });
    messages = nullptr;
    publishes = nullptr;
    const std::string why = lost_why;
    lock.unlock();
    set_reachable(false, why);
    lock.lock();
    changed.wait_for(lock, pause, [&] { return is_stopping; });
    pause = std::min(pause * 2, settings.redial_max);
  }
}

NodeLink::NodeLink(std::string address, NodeLinkSettings settings, NodeEvents events)
    : address_(std::move(address)), state_(std::make_shared<State>(*this, settings, std::move(events))) {
  if (address_.rfind(':') == std::string::npos) address_ += ":33212";
}

NodeLink::~NodeLink() { stop(); }

void NodeLink::start() {
  static const bool once = [] {
    grpc_init();  // never undone: the last user's shutdown joins a thread that may sleep in its poll for ten seconds
    return true;
  }();
  static_cast<void>(once);
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, window_bytes);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, static_cast<int>(state_->settings.redial_min.count()));
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, static_cast<int>(state_->settings.redial_min.count()));
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, static_cast<int>(state_->settings.redial_max.count()));
  state_->channel = grpc::CreateCustomChannel(address_, grpc::InsecureChannelCredentials(), arguments);
  state_->stub = std::make_unique<grpc::GenericStub>(state_->channel);
  state_->unary = proto::CommandStream::NewStub(state_->channel);
  state_->thread = std::thread([state = state_.get()] { state->run(); });
}

void NodeLink::stop() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->is_stopping = true;
    state_->changed.notify_all();
  }
  if (state_->thread.joinable()) state_->thread.join();
}

void NodeLink::subscribe(const std::string& topic) {
  const std::lock_guard lock(state_->mutex);
  if (!state_->topics.insert(topic).second || !state_->messages) return;
  if (state_->messages->write(request_of(command_subscribe, topic, nullptr))) state_->unconfirmed.insert(topic);
  state_->messages->flush();
  state_->changed.notify_all();
}

void NodeLink::unsubscribe(const std::string& topic) {
  const std::lock_guard lock(state_->mutex);
  state_->unconfirmed.erase(topic);
  if (state_->topics.erase(topic) == 0 || !state_->messages) return;
  static_cast<void>(state_->messages->write(request_of(command_unsubscribe, topic, nullptr)));
  state_->messages->flush();
}

bool NodeLink::publish(const std::string& topic, SharedBytes payload) {
  const std::lock_guard lock(state_->mutex);
  if (!state_->publishes || state_->is_lost) return false;
  return state_->publishes->write(request_of(command_publish, topic, payload));
}

void NodeLink::flush() {
  std::shared_ptr<Call> call;
  {
    const std::lock_guard lock(state_->mutex);
    call = state_->publishes;
  }
  if (call) call->flush();
}

NodeHealth NodeLink::health() const {
  const std::lock_guard lock(state_->mutex);
  return state_->health;
}

}  // namespace corelay::gateway
