#include "control/node/publisher.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <chrono>

#include "dataplane/ingest.h"

namespace corelay::node {
namespace {

std::int64_t wall_clock_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace

Publisher::Publisher(boost::asio::io_context& io, boost::asio::thread_pool& pool, CommandQueue& commands,
                     const libp2p::Identity& identity, const NodeConfig& config, Events events)
    : io_(io),
      pool_(pool),
      commands_(commands),
      identity_(identity),
      params_(relay_params(config)),
      in_flight_max_(config.publish.in_flight_max),
      in_flight_bytes_max_(config.publish.in_flight_bytes_max),
      hold_ms_(config.publish.hold_ms),
      events_(std::move(events)),
      sequence_(static_cast<std::uint64_t>(wall_clock_ns())) {}

PublishQueue Publisher::make_queue() { return boost::asio::make_strand(pool_.get_executor()); }

void Publisher::publish(const PublishQueue& queue, PublishRequest request) {
  const auto refuse = [&](ErrorCode code, std::string what) {
    refused_.fetch_add(1, std::memory_order_relaxed);
    request.done({request.topic, {}, fail(code, "publish", std::move(what))});
  };
  if (is_closed_.load(std::memory_order_relaxed)) return refuse(ErrorCode::unavailable, "the node is stopping");
  const std::size_t bytes = request.payload.size();
  if (bytes > params_.wire.message_bytes_max) return refuse(ErrorCode::too_large, too_large(bytes).what);
  if (in_flight_.fetch_add(1, std::memory_order_relaxed) >= in_flight_max_) {
    in_flight_.fetch_sub(1, std::memory_order_relaxed);
    return refuse(ErrorCode::unavailable,
                  fmt::format("{} publishes are under way (publish.in_flight_max); try again", in_flight_max_));
  }
  if (in_flight_bytes_.fetch_add(bytes, std::memory_order_relaxed) + bytes > in_flight_bytes_max_) {
    in_flight_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
    in_flight_.fetch_sub(1, std::memory_order_relaxed);
    return refuse(ErrorCode::unavailable,
                  fmt::format("publishes of {} bytes are under way (publish.in_flight_bytes_max); try again",
                              in_flight_bytes_max_));
  }
  boost::asio::post(queue, [this, request = std::move(request), bytes]() mutable {
    prepare(std::move(request), bytes);
  });
}

/// On a thread of the pool.
void Publisher::prepare(PublishRequest request, std::size_t bytes) {
  auto prepared = dataplane::prepare_message(
      std::move(request.payload), request.topic, identity_.public_key(),
      sequence_.fetch_add(1, std::memory_order_relaxed), wall_clock_ns(), params_,
      [this](std::span<const std::uint8_t> message) { return identity_.sign(message); });
  Pending pending;
  pending.request = std::move(request);
  pending.bytes = bytes;
  if (!prepared) return answer(pending, tl::make_unexpected(prepared.error()));
  pending.message = std::make_shared<const dataplane::PreparedMessage>(std::move(*prepared));
  boost::asio::post(io_, [this, pending = std::move(pending)]() mutable { enter(std::move(pending)); });
}

void Publisher::enter(Pending pending) {
  if (is_closed_.load(std::memory_order_relaxed)) {
    return answer(pending, fail(ErrorCode::unavailable, "publish", "the node is stopping"));
  }
  const auto entered = events_.entering(pending.message);
  if (!entered) return answer(pending, tl::make_unexpected(entered.error()));
  pending.has_local_subscribers = *entered;
  const auto message = pending.message;
  pending_.emplace(message.get(), std::move(pending));
  commands_.lane(message->tag, dataplane::Publish{message.get()});
}

void Publisher::on_published(const dataplane::PreparedMessage* message) {
  const auto at = pending_.find(message);
  if (at == pending_.end()) return;
  Pending pending = std::move(at->second);
  pending_.erase(at);
  if (pending.is_answered) return;
  events_.published(*pending.message, pending.request.origin);
  answer(pending, {});
}

void Publisher::on_failed(const dataplane::PreparedMessage* message, dataplane::PublishFailure reason) {
  const auto at = pending_.find(message);
  if (at == pending_.end()) return;
  Pending pending = std::move(at->second);
  pending_.erase(at);
  if (!pending.is_answered) answer(pending, tl::make_unexpected(failure(pending, reason)));
}

Error Publisher::too_large(std::size_t bytes) const {
  return {ErrorCode::too_large, "publish",
          fmt::format("message of {} bytes is over relay.message_bytes_max = {} bytes (OPTIMUM_MAX_MSG_SIZE)", bytes,
                      params_.wire.message_bytes_max)};
}

Error Publisher::failure(const Pending& pending, dataplane::PublishFailure reason) const {
  const dataplane::PreparedMessage& message = *pending.message;
  const auto is_twin = [&](const auto& other) {
    return other.first->tag == message.tag && !other.second.is_answered;
  };
  using dataplane::PublishFailure;
  switch (reason) {
    case PublishFailure::duplicate:
      if (std::any_of(pending_.begin(), pending_.end(), is_twin)) {
        return {ErrorCode::already_exists, "publish",
                fmt::format("duplicate: an earlier publish of the same bytes on this topic is still under way (it may "
                            "wait {} ms for a peer, publish.hold_ms) and will be answered on its own", hold_ms_)};
      }
      return {ErrorCode::already_exists, "publish",
              fmt::format("duplicate: this node took the same bytes on this topic less than {} s ago (relay.seen_s), "
                          "and carries them once", params_.seen_time.ns / 1'000'000'000)};
    case PublishFailure::no_peers:
      return {ErrorCode::unavailable, "publish",
              fmt::format("no peers: no other node took part in the topic for {} ms (publish.hold_ms){}", hold_ms_,
                          pending.has_local_subscribers ? "; the subscribers of this node have the message" : "")};
    case PublishFailure::memory_full:
      return {ErrorCode::unavailable, "publish", "memory full: the relay holds as many messages as it may; try again"};
    case PublishFailure::too_large:
      return too_large(message.payload.size());
  }
  return {ErrorCode::internal, "publish", "unknown reason"};
}

void Publisher::answer(Pending& pending, Expected<void> outcome) {
  pending.is_answered = true;
  (outcome ? published_ : refused_).fetch_add(1, std::memory_order_relaxed);
  in_flight_bytes_.fetch_sub(pending.bytes, std::memory_order_relaxed);
  in_flight_.fetch_sub(1, std::memory_order_relaxed);
  PublishResult result;
  result.topic = std::move(pending.request.topic);
  if (pending.message) result.id = pending.message->header.id;
  result.outcome = std::move(outcome);
  const PublishDone done = std::move(pending.request.done);
  pending.request.origin = nullptr;
  done(result);
}

void Publisher::abandon() {
  close();
  for (auto& [message, pending] : pending_) {
    if (pending.is_answered) continue;
    answer(pending, fail(ErrorCode::unavailable, "publish", "the node is stopping and had nobody to send to"));
  }
}

}  // namespace corelay::node
