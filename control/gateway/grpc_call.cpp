#include "control/gateway/grpc_call.h"

#include <grpcpp/impl/codegen/proto_utils.h>

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "control/daemon/grpc_order.h"
#include "proto/gateway.pb.h"

namespace corelay::gateway {
namespace {

constexpr std::size_t publishes_max = 256;  // of one stream under way, above which it is read no further
constexpr std::size_t replies_max = 256;
constexpr std::chrono::milliseconds look_again{2};

/// A buffer over shared bytes, without copying them.
grpc::ByteBuffer buffer_of(const SharedBytes& bytes) {
  auto* const owner = new SharedBytes(bytes);  // gRPC frees it with the slice
  daemon::give_to_grpc(owner);
  const auto release = [](void* data) {
    daemon::take_from_grpc(data);
    delete static_cast<SharedBytes*>(data);
  };
  const grpc::Slice slice(const_cast<char*>(bytes->data()), bytes->size(), release, owner);
  return grpc::ByteBuffer(&slice, 1);
}

}  // namespace

grpc::Status refusal_of(const Error& error) {
  switch (error.code) {
    case ErrorCode::permission_denied:
      return {grpc::StatusCode::PERMISSION_DENIED, error.what};
    case ErrorCode::unavailable:  // the issuer's keys
      return {grpc::StatusCode::UNAVAILABLE, error.what};
    default:
      return {grpc::StatusCode::UNAUTHENTICATED, error.what};
  }
}

GrpcCall::GrpcCall(Service& service, Gatekeeper* gatekeeper, GrpcTotals& totals, std::string token, Ended ended)
    : service_(service), gatekeeper_(gatekeeper), totals_(totals), token_(std::move(token)), ended_(std::move(ended)) {}

void GrpcCall::begin() {
  self_ = shared_from_this();
  boost::asio::post(service_.io(), [self = self_] {
    ++self->totals_.streams;
    self->admit();
  });
}

void GrpcCall::admit() {
  if (gatekeeper_ == nullptr) return read();
  gatekeeper_->admit(token_, [self = shared_from_this()](Expected<std::shared_ptr<Admission>> admission) {
    if (!admission) return self->end(refusal_of(admission.error()));
    self->admission_ = *admission;
    self->read();
  });
}

void GrpcCall::read() {
  if (is_reading_ || is_read_closed_ || is_finished_ || is_ending_) return;
  if (publishes_ >= publishes_max) return;  // the next answer comes back here
  if (service_.hub().is_busy()) {
    const auto timer = std::make_shared<boost::asio::steady_timer>(service_.io(), look_again);
    return timer->async_wait([self = shared_from_this(), timer](const boost::system::error_code&) { self->read(); });
  }
  is_reading_ = true;
  daemon::give_to_grpc(this);
  StartRead(&read_);
}

void GrpcCall::OnReadDone(bool ok) {
  daemon::take_from_grpc(this);
  boost::asio::post(service_.io(), [self = shared_from_this(), ok] {
    self->is_reading_ = false;
    if (!ok) {
      self->is_read_closed_ = true;
      return self->end_if_served();
    }
    ++self->totals_.received_messages;
    self->totals_.received_bytes += self->read_.Length();
    self->on_message(self->read_);
    self->read();
  });
}

void GrpcCall::OnWriteDone(bool ok) {
  daemon::take_from_grpc(this);
  boost::asio::post(service_.io(), [self = shared_from_this(), ok] {
    self->is_writing_ = false;
    if (!ok) return self->end({grpc::StatusCode::CANCELLED, "the client is gone"});
    ++self->totals_.sent_messages;
    self->totals_.sent_bytes += self->write_.Length();
    self->write_.Clear();
    self->pump();
  });
}

void GrpcCall::OnCancel() {
  daemon::take_from_grpc(this);
  boost::asio::post(service_.io(), [self = shared_from_this()] {
    self->is_writing_ = false;
    self->end({grpc::StatusCode::CANCELLED, "the client is gone"});
  });
}

void GrpcCall::OnDone() {
  daemon::take_from_grpc(this);
  boost::asio::post(service_.io(), [self = std::move(self_)] { --self->totals_.streams; });
}

void GrpcCall::end(const grpc::Status& status) {
  if (is_finished_) return;
  if (feed_ != nullptr) {
    service_.hub().close(feed_);
    feed_ = nullptr;
  }
  is_ending_ = true;
  replies_.clear();
  is_finished_ = true;
  ended_(shared_from_this());
  daemon::give_to_grpc(this);
  Finish(status);
}

/// Nothing more will come from the client, and nothing is owed to it.
void GrpcCall::end_if_served() {
  const bool is_owed =
      publishes_ != 0 || !replies_.empty() || is_writing_ || (feed_ != nullptr && !feed_->cursors.empty());
  if (is_read_closed_ && !is_owed) end(grpc::Status::OK);
}

void GrpcCall::open(const std::string& client) {
  client_ = admission_ ? admission_->client_id : client;
  if (client_.empty()) return end({grpc::StatusCode::INVALID_ARGUMENT, "missing client ID"});
  auto feed = service_.hub().open(client_, this, Format::grpc, {});
  if (!feed) {
    const bool is_wrong = feed.error().code == ErrorCode::invalid_argument;
    return end({is_wrong ? grpc::StatusCode::INVALID_ARGUMENT : grpc::StatusCode::RESOURCE_EXHAUSTED,
                feed.error().what});
  }
  feed_ = *feed;
  pump();
}

void GrpcCall::on_message(const grpc::ByteBuffer& bytes) {
  proto::ProxyMessage message;
  grpc::ByteBuffer copy(bytes);
  if (!grpc::SerializationTraits<proto::ProxyMessage>::Deserialize(&copy, &message).ok()) {
    return end({grpc::StatusCode::INVALID_ARGUMENT, "not a proto.ProxyMessage"});
  }
  read_.Clear();
  if (feed_ == nullptr && !is_ending_) open(message.client_id());
  if (is_ending_ || message.topic().empty()) return;
  if (message.type() == "subscribe") {
    return service_.subscribe(client_, message.topic(), 0,
                              [self = shared_from_this(), topic = message.topic()](const Expected<void>& outcome) {
                                self->reply(outcome ? "subscribed" : "error", topic, "",
                                            outcome ? "" : outcome.error().what);
                              });
  }
  PublishRequest request;
  request.client = client_;
  request.topic = message.topic();
  request.payload = std::move(*message.mutable_message());
  publish(std::move(request));
}

void GrpcCall::publish(PublishRequest request) {
  ++publishes_;
  request.done = [self = shared_from_this(), topic = request.topic](const PublishOutcome& outcome) {
    --self->publishes_;
    const bool is_new = outcome.result == PublishResult::published;
    const bool is_taken = is_new || outcome.result == PublishResult::deduplicated;
    self->reply(is_new     ? "published"
                : is_taken ? "deduplicated"
                           : "error",
                topic, outcome.message_id, is_taken ? "" : outcome.reason);
    self->read();
    self->end_if_served();
  };
  if (!admission_) return service_.publish(std::move(request));
  const auto shared_request = std::make_shared<PublishRequest>(std::move(request));
  gatekeeper_->charge(*admission_, shared_request->payload.size(),
                      [self = shared_from_this(), shared_request](const Verdict& verdict) {
                        if (verdict.is_allowed) return self->service_.publish(std::move(*shared_request));
                        shared_request->done({PublishResult::refused, "", verdict.why});
                      });
}

/// Only where somebody reads them: without a reader they are let go of.
void GrpcCall::reply(const std::string& type, const std::string& topic, const std::string& id,
                     const std::string& text) {
  if (is_finished_ || is_ending_) return;
  if (replies_.size() >= replies_max) {
    ++totals_.dropped_replies;
    return;
  }
  proto::ProxyMessage message;
  message.set_client_id(client_);
  message.set_topic(topic);
  message.set_message_id(id);
  message.set_type(type);
  message.set_message(text);
  replies_.push_back(std::make_shared<const std::string>(message.SerializeAsString()));
  pump();
}

void GrpcCall::wake() {
  if (!is_writing_) pump();
}

void GrpcCall::pump() {
  if (is_writing_ || is_finished_ || is_ending_) return;
  SharedBytes next;
  grpc::WriteOptions options;
  if (!replies_.empty()) {
    next = std::move(replies_.front());
    replies_.pop_front();
    if (!replies_.empty()) options.set_buffer_hint();  // many to a system call; the last sends them off
  } else if (feed_ != nullptr) {
    next = service_.hub().next(*feed_);
  }
  if (!next) return end_if_served();
  is_writing_ = true;
  write_ = buffer_of(next);
  daemon::give_to_grpc(this);
  StartWrite(&write_, options);
}

}  // namespace corelay::gateway
