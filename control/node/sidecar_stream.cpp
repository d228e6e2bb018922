#include "control/node/sidecar_stream.h"

#include <grpcpp/impl/codegen/proto_utils.h>
#include <spdlog/spdlog.h>

#include "control/daemon/grpc_order.h"
#include "control/node/topic_list.h"
#include "proto/sidecar.pb.h"

namespace corelay::node {
namespace {

enum Command : std::int32_t { publish_data = 1, subscribe_topic = 2, unsubscribe_topic = 3, subscribe_topics = 4 };

/// A buffer over a shared response, without copying it.
grpc::ByteBuffer buffer_of(const SharedResponse& response) {
  auto* const owner = new SharedResponse(response);  // gRPC frees it with the slice
  const grpc::Slice slice(const_cast<char*>(response->data()), response->size(),
                          [](void* data) { delete static_cast<SharedResponse*>(data); }, owner);
  return grpc::ByteBuffer(&slice, 1);
}

}  // namespace

SidecarStream::SidecarStream(Node& node, SidecarTotals& totals, std::string client, Ended ended)
    : node_(node),
      totals_(totals),
      client_(std::move(client)),
      ended_(std::move(ended)),
      publish_queue_(node.make_publish_queue()) {
  totals_.streams.fetch_add(1, std::memory_order_relaxed);
}

void SidecarStream::begin() {
  self_ = shared_from_this();
  Step step;
  {
    const std::lock_guard lock(mutex_);
    step = next_step();
  }
  take(step);
}

/// Decides, under the lock, what is to be started now. At most one read, one write and one Finish are ever under way.
SidecarStream::Step SidecarStream::next_step() {
  Step step;
  if (is_finished_) return step;
  // Nothing more will come from the client, and nothing is owed to it.
  const bool is_served = is_read_closed_ && publishes_ == 0 && topics_.empty() && waiting_.empty();
  if ((is_ending_ || is_served) && !is_writing_ && starting_ == 0) {
    is_finished_ = true;
    step.finish = true;
    return step;
  }
  if (is_ending_) return step;
  if (!is_writing_ && !waiting_.empty()) {
    is_writing_ = true;
    write_buffer_ = buffer_of(waiting_.front());
    waiting_bytes_ -= waiting_.front()->size();
    waiting_.pop_front();
    step.write = true;
  }
  // A client with many publishes under way waits: HTTP/2 flow control tells it so.
  if (!is_reading_ && !is_read_closed_ && publishes_ < node_.config().sidecar.publishes_per_stream_max) {
    is_reading_ = true;
    step.read = true;
  }
  if (step.read || step.write) ++starting_;
  return step;
}

/// A Finish may end the stream, and gRPC's side of it, before another thread gets to its Start call. So a Finish waits
/// for those on their way here, and the last of them sees to it.
void SidecarStream::take(Step step) {
  daemon::give_to_grpc(this);
  while (step.read || step.write) {
    if (step.write) StartWrite(&write_buffer_);
    if (step.read) StartRead(&read_buffer_);
    const std::lock_guard lock(mutex_);
    --starting_;
    step = next_step();
  }
  daemon::give_to_grpc(this);
  if (step.finish) Finish(status_);
}

void SidecarStream::queue(const SharedResponse& response, bool is_message) {
  const auto& limits = node_.config().sidecar;
  Step step;
  {
    const std::lock_guard lock(mutex_);
    if (is_ending_ || is_finished_) return;
    // Half of the queue is kept for messages, so that traces never crowd them out.
    const std::size_t share = is_message ? 1 : 2;
    const bool has_room = waiting_.empty() || (waiting_.size() < limits.queue_messages_max / share &&
                                               waiting_bytes_ + response->size() <= limits.queue_bytes_max / share);
    if (!has_room) {
      (is_message ? totals_.dropped_messages : totals_.dropped_traces).fetch_add(1, std::memory_order_relaxed);
      if (is_message) ++dropped_;
      if (is_message && !is_lagging_) {
        is_lagging_ = true;
        spdlog::warn("sidecar client {} reads too slowly: its messages are dropped (sidecar.queue_messages_max = {}, "
                     "sidecar.queue_bytes_max = {})", client_, limits.queue_messages_max, limits.queue_bytes_max);
      }
      return;
    }
    waiting_.push_back(response);
    waiting_bytes_ += response->size();
    step = next_step();
  }
  take(step);
}

void SidecarStream::on_message(const SharedResponse& message) { queue(message, true); }
void SidecarStream::on_trace(const SharedResponse& trace) { queue(trace, false); }

void SidecarStream::on_refused(const std::string& topic, const SharedResponse& answer) {
  queue(answer, true);
  Step step;
  {
    const std::lock_guard lock(mutex_);
    topics_.erase(topic);
    step = next_step();
  }
  take(step);
}

void SidecarStream::OnWriteDone(bool ok) {
  daemon::take_from_grpc(this);
  Step step;
  std::uint64_t lost = 0;
  {
    const std::lock_guard lock(mutex_);
    is_writing_ = false;
    if (ok) {
      totals_.messages_sent.fetch_add(1, std::memory_order_relaxed);
      totals_.bytes_sent.fetch_add(write_buffer_.Length(), std::memory_order_relaxed);
    } else {
      is_ending_ = true;
    }
    write_buffer_.Clear();
    if (waiting_.empty() && is_lagging_) {
      is_lagging_ = false;
      lost = dropped_;
      dropped_ = 0;
    }
    step = next_step();
  }
  if (lost != 0) spdlog::warn("sidecar client {} has caught up; it lost {} messages", client_, lost);
  take(step);
}

void SidecarStream::OnReadDone(bool ok) {
  daemon::take_from_grpc(this);
  if (ok) {
    totals_.messages_received.fetch_add(1, std::memory_order_relaxed);
    totals_.bytes_received.fetch_add(read_buffer_.Length(), std::memory_order_relaxed);
    on_request(read_buffer_);
  }
  Step step;
  {
    const std::lock_guard lock(mutex_);
    is_reading_ = false;
    if (!ok) is_read_closed_ = true;
    step = next_step();
  }
  take(step);
}

void SidecarStream::OnCancel() {
  daemon::take_from_grpc(this);
  end(grpc::Status(grpc::StatusCode::CANCELLED, "the client is gone"));
  daemon::give_to_grpc(this);  // OnDone comes after this has returned
}

void SidecarStream::end(const grpc::Status& status) {
  Step step;
  {
    const std::lock_guard lock(mutex_);
    if (is_ending_ || is_finished_) return;
    is_ending_ = true;
    status_ = status;
    waiting_.clear();
    waiting_bytes_ = 0;
    step = next_step();
  }
  take(step);
}

void SidecarStream::OnDone() {
  daemon::take_from_grpc(this);
  node_.remove(shared_from_this());
  publish_queue_.reset();
  totals_.streams.fetch_sub(1, std::memory_order_relaxed);
  ended_(shared_from_this());
  self_.reset();
}

void SidecarStream::on_request(grpc::ByteBuffer& bytes) {
  proto::Request request;
  const grpc::Status parsed = grpc::SerializationTraits<proto::Request>::Deserialize(&bytes, &request);
  bytes.Clear();
  if (!parsed.ok()) return end(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "not a proto.Request"));
  switch (request.command()) {
    case publish_data: return publish(request.topic(), request.data());
    case subscribe_topic: return subscribe({request.topic()});
    case subscribe_topics:
      return subscribe(parse_topic_list(request.data().empty() ? request.topic() : request.data()));
    case unsubscribe_topic: {
      {
        const std::lock_guard lock(mutex_);
        topics_.erase(request.topic());
      }
      return node_.unsubscribe(shared_from_this(), request.topic());
    }
    default:
      return refuse(request.topic(),
                    {ErrorCode::invalid_argument, "command",
                     "command " + std::to_string(request.command()) +
                         " is unknown: 1 publish, 2 subscribe, 3 unsubscribe, 4 subscribe to several"});
  }
}

void SidecarStream::publish(std::string topic, const std::string& data) {
  PublishRequest request;
  request.topic = std::move(topic);
  request.payload.assign(data.begin(), data.end());
  {
    const std::lock_guard lock(mutex_);
    ++publishes_;
    if (topics_.count(request.topic) != 0) request.origin = shared_from_this();
  }
  request.done = [self = shared_from_this()](const PublishResult& result) { self->on_published(result); };
  node_.publish(*publish_queue_, std::move(request));
}

/// Every publish is answered: a PUBLISH_MESSAGE trace, or a REJECT_MESSAGE with the reason.
void SidecarStream::on_published(const PublishResult& result) {
  if (result.outcome) {
    queue(node_.tracer().published(result.id, result.topic), true);
  } else {
    spdlog::debug("publish on \"{}\" refused: {}", result.topic, result.outcome.error().what);
    queue(node_.tracer().rejected(result.id, result.topic, result.outcome.error().what), true);
  }
  Step step;
  {
    const std::lock_guard lock(mutex_);
    --publishes_;
    step = next_step();
  }
  take(step);
}

void SidecarStream::refuse(const std::string& topic, const Error& error) {
  queue(node_.tracer().rejected({}, topic, error.what), true);
}

void SidecarStream::subscribe(std::vector<std::string> topics) {
  const std::size_t topics_max = node_.config().sidecar.topics_per_stream_max;
  std::vector<std::string> wanted;
  for (auto& topic : topics) {
    if (topic.empty() || topic.size() > dataplane::topic_bytes_max) {
      refuse(topic, {ErrorCode::invalid_argument, "subscribe", "a topic has 1 to 255 bytes"});
      continue;
    }
    bool is_full = false;
    {
      const std::lock_guard lock(mutex_);
      is_full = topics_.count(topic) == 0 && topics_.size() >= topics_max;
      if (!is_full && topics_.insert(topic).second) wanted.push_back(topic);
    }
    if (is_full) {
      refuse(topic, {ErrorCode::too_large, "subscribe",
                     "the stream has sidecar.topics_per_stream_max = " + std::to_string(topics_max) + " topics"});
    }
  }
  if (!wanted.empty()) node_.subscribe(shared_from_this(), std::move(wanted));
}

}  // namespace corelay::node
