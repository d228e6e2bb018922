#include "control/node/sidecar_stream.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <limits>
#include <vector>

#include "control/daemon/grpc_order.h"
#include "control/daemon/proto_fields.h"
#include "control/node/topic_list.h"
#include "proto/sidecar.pb.h"

namespace corelay::node {
namespace {

enum Command : std::int32_t { publish_data = 1, subscribe_topic = 2, unsubscribe_topic = 3, subscribe_topics = 4 };

constexpr std::size_t burst_requests_max = 256;
constexpr std::size_t burst_bytes_max = 64u << 10;
constexpr std::size_t copied_bytes_max = 16u << 10;  // above it a slice of its own is cheaper

/// A slice over a shared response, without copying it.
grpc::Slice slice_of(const SharedResponse& response) {
  auto* const owner = new SharedResponse(response);  // gRPC frees it with the slice
  daemon::give_to_grpc(owner);
  return {const_cast<char*>(response->data()), response->size(),
          [](void* data) {
            daemon::take_from_grpc(data);
            delete static_cast<SharedResponse*>(data);
          },
          owner};
}

}  // namespace

SidecarStream::SidecarStream(Node& node, SidecarTotals& totals, Form form, std::string client, Ended ended)
    : node_(node),
      totals_(totals),
      form_(form),
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
  if (!is_writing_ && !is_flush_due_ && !waiting_.empty()) {
    is_writing_ = true;
    write_buffer_ = form_ == Form::bursts ? take_burst() : take_waiting();
    step.write = true;
    step.has_more = !waiting_.empty();
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
    // Where more waits, many go to one system call; the last sends them off.
    grpc::WriteOptions options;
    if (step.has_more) options.set_buffer_hint();
    if (step.write) StartWrite(&write_buffer_, options);
    if (step.read) StartRead(&read_buffer_);
    const std::lock_guard lock(mutex_);
    --starting_;
    step = next_step();
  }
  daemon::give_to_grpc(this);
  if (step.finish) Finish(status_);
}

grpc::ByteBuffer SidecarStream::take_waiting() {
  const grpc::Slice slice = slice_of(waiting_.front().bytes);
  waiting_bytes_ -= slice.size();
  waiting_.pop_front();
  writing_ = 1;
  return grpc::ByteBuffer(&slice, 1);
}

/// What waits, up to burst_bytes_max, or one that is larger.
grpc::ByteBuffer SidecarStream::take_burst() {
  std::vector<grpc::Slice> slices;
  std::string head;
  std::size_t bytes = 0;
  const auto cut = [&] {
    if (!head.empty()) slices.emplace_back(head);
    head.clear();
  };
  for (writing_ = 0; !waiting_.empty(); ++writing_) {
    const Waiting& next = waiting_.front();
    const std::size_t size = next.bytes->size();
    if (bytes != 0 && bytes + size > burst_bytes_max) break;
    if (head.empty()) {
      head.reserve(std::min(waiting_bytes_ + waiting_.size() * daemon::field_head_bytes_max, 2 * burst_bytes_max));
    }
    daemon::append_field_head(next.kind == Kind::message ? 2 : 1, size, head);
    if (size <= copied_bytes_max) {
      head += *next.bytes;
    } else {
      cut();
      slices.push_back(slice_of(next.bytes));
    }
    bytes += size;
    waiting_bytes_ -= size;
    waiting_.pop_front();
  }
  cut();
  return {slices.data(), slices.size()};
}

void SidecarStream::flush() {
  Step step;
  {
    const std::lock_guard lock(mutex_);
    is_flush_due_ = false;
    step = next_step();
  }
  take(step);
}

void SidecarStream::queue(const SharedResponse& response, Kind kind) {
  const auto& limits = node_.config().sidecar;
  Step step;
  {
    const std::lock_guard lock(mutex_);
    if (is_ending_ || is_finished_) return;
    // Half of the queue is kept for messages, so that traces never crowd them out.
    const bool is_message = kind != Kind::trace;
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
    waiting_.push_back({response, kind});
    waiting_bytes_ += response->size();
    if (form_ == Form::bursts && !is_writing_ && !is_flush_due_) {  // behind what the pool is about to bring
      is_flush_due_ = true;
      boost::asio::post(publish_queue_->get_inner_executor(), [self = shared_from_this()] { self->flush(); });
    }
    step = next_step();
  }
  take(step);
}

void SidecarStream::on_message(const SharedResponse& message) { queue(message, Kind::message); }
void SidecarStream::on_trace(const SharedResponse& trace) { queue(trace, Kind::trace); }

void SidecarStream::on_refused(const std::string& topic, const SharedResponse& answer) {
  queue(answer, Kind::answer);
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
      totals_.messages_sent.fetch_add(writing_, std::memory_order_relaxed);
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
    totals_.bytes_received.fetch_add(read_buffer_.Length(), std::memory_order_relaxed);
    on_bytes(read_buffer_);
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

/// Requests that come in a burst are taken one by one: none is built before its turn.
void SidecarStream::on_bytes(grpc::ByteBuffer& buffer) {
  grpc::Slice slice;
  if (!buffer.TrySingleSlice(&slice).ok()) static_cast<void>(buffer.DumpToSingleSlice(&slice));
  buffer.Clear();
  const std::string_view bytes(reinterpret_cast<const char*>(slice.begin()), slice.size());
  const auto refuse_stream = [&](const char* why) { end(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, why)); };
  if (form_ == Form::single) {
    if (!on_request(bytes)) refuse_stream("not a proto.Request");
    return;
  }
  daemon::ProtoFields fields(bytes);
  std::size_t count = 0;
  while (const auto field = fields.next()) {
    if (field->number != 1) continue;
    if (++count > burst_requests_max) return refuse_stream("a burst has at most 256 requests");
    if (!field->is_bytes || !on_request(field->bytes)) return refuse_stream("not a proto.Request");
  }
  if (fields.is_malformed()) refuse_stream("not a proto.RequestBurst");
}

bool SidecarStream::on_request(std::string_view bytes) {
  proto::Request request;
  if (bytes.size() > std::numeric_limits<int>::max() ||
      !request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return false;
  }
  totals_.messages_received.fetch_add(1, std::memory_order_relaxed);
  switch (request.command()) {
    case publish_data:
      publish(request.topic(), request.data());
      break;
    case subscribe_topic:
      subscribe({request.topic()});
      break;
    case subscribe_topics:
      subscribe(parse_topic_list(request.data().empty() ? request.topic() : request.data()));
      break;
    case unsubscribe_topic: {
      {
        const std::lock_guard lock(mutex_);
        topics_.erase(request.topic());
      }
      node_.unsubscribe(shared_from_this(), request.topic());
      break;
    }
    default:
      refuse(request.topic(), {ErrorCode::invalid_argument, "command",
                               "command " + std::to_string(request.command()) +
                                   " is unknown: 1 publish, 2 subscribe, 3 unsubscribe, 4 subscribe to several"});
  }
  return true;
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
    queue(node_.tracer().published(result.id, result.topic), Kind::answer);
  } else {
    spdlog::debug("publish on \"{}\" refused: {}", result.topic, result.outcome.error().what);
    queue(node_.tracer().rejected(result.id, result.topic, result.outcome.error().what), Kind::answer);
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
  queue(node_.tracer().rejected({}, topic, error.what), Kind::answer);
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
