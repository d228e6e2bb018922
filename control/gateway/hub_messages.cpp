// What messages do: publishes, reports of nodes, thresholds, order.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <tuple>

#include "control/gateway/hub.h"
#include "control/gateway/hub_state.h"
#include "control/gateway/text.h"

namespace corelay::gateway {
namespace {

constexpr char wrapping[] = "\0corelay-gw1\0\0\0";  // 16 bytes with the last zero, then the number
constexpr std::string_view mark{wrapping, 16};
static_assert(sizeof wrapping == 16);
constexpr std::size_t wrapping_bytes = 24;
constexpr std::chrono::seconds expire_every{1};
constexpr std::chrono::seconds wait_max{30};  // for nodes that can be reached and yet do not report a message

}  // namespace

std::string wrap_payload(std::string_view payload, std::uint64_t number) {
  std::string out;
  out.reserve(wrapping_bytes + payload.size());
  out += mark;
  for (int shift = 0; shift < 64; shift += 8) out.push_back(static_cast<char>(number >> shift & 255));
  out += payload;
  return out;
}

std::string_view unwrap_payload(std::string_view bytes) noexcept {
  if (bytes.size() >= wrapping_bytes && bytes.starts_with(mark)) bytes.remove_prefix(wrapping_bytes);
  return bytes;
}

bool Hub::note_report(Topic& topic, unsigned node, const std::string& id, bool& is_new, Seen*& seen) {
  ++counts_.reports;
  auto [at, is_inserted] = topic.seen.try_emplace(id);
  seen = &at->second;
  if (is_inserted) {
    seen->first = now_;
    topic.seen_order.emplace_back(now_, id);
  }
  const std::uint64_t bit = std::uint64_t{1} << (node & 63U);
  if ((seen->nodes & bit) != 0) {
    ++counts_.duplicate_reports;
    if (observer_ != nullptr) observer_->on_report(id, topic.name, 0, true, now_);
    return false;
  }
  seen->nodes |= bit;
  is_new = !seen->has_payload;
  if (!is_new && observer_ != nullptr) {
    observer_->on_report(id, topic.name, seen->message ? seen->message->payload.size() : 0, false, now_);
  }
  return true;
}

void Hub::take_payload(Topic& topic, Seen& seen, const std::string& id, const std::string& source,
                       std::string payload) {
  seen.has_payload = true;
  seen.first = now_;
  const std::string_view inner = unwrap_payload(payload);
  if (inner.size() != payload.size()) payload = std::string(inner);
  ++counts_.received;
  counts_.received_bytes += payload.size();
  if (observer_ != nullptr) observer_->on_report(id, topic.name, payload.size(), false, now_);
  seen.message = std::make_shared<const Message>(Message{topic.name, std::move(payload), id, source});
  if (params_.nodes > 1) topic.pending.emplace_back(now_, id);
}

/// Hands a message to the levels that it meets now. `nodes` 0: as many as have reported it.
void Hub::reach(Topic& topic, Seen& seen, unsigned nodes) {
  if (nodes == 0) nodes = static_cast<unsigned>(std::popcount(seen.nodes));
  if (!seen.message || nodes <= seen.reached) return;
  const unsigned before = seen.reached;
  seen.reached = nodes;
  const SharedMessage message = seen.message;
  const unsigned highest = topic.logs.empty() ? 0 : topic.logs.rbegin()->first;
  if (nodes >= params_.nodes || nodes >= highest) seen.message = nullptr;  // nobody waits for it any more
  if (seen.order) {
    seen.order->reached(seen.place, message, before, nodes, topic.levels(),
                        [&](unsigned level, const SharedMessage& ready) { deliver(topic, level, ready); });
    return;
  }
  for (const auto& [level, log] : topic.logs) {
    if (level > before && level <= nodes) deliver(topic, level, message);
  }
}

void Hub::deliver(Topic& topic, unsigned level, const SharedMessage& message) {
  const auto& log = topic.logs.at(level);
  counts_.evicted += log->append(++offset_, message);
  by_age_.emplace_back(offset_, log);
  if (on_deliveries_) {
    deliveries_.push_back({offset_, delivery_digest(message->topic, message->id), static_cast<std::uint8_t>(level)});
  }
  const auto is_gone = [](const auto& entry) {
    const auto owner = entry.second.lock();
    return !owner || owner->first() == owner->end() || owner->at(owner->first()).offset > entry.first;
  };
  while (!by_age_.empty() && (log_bytes_ > params_.total_bytes_max || is_gone(by_age_.front()))) {
    if (!is_gone(by_age_.front())) {
      if (by_age_.front().first == offset_) break;  // what has just come stays
      by_age_.front().second.lock()->drop_first();
      ++counts_.evicted;
    }
    by_age_.pop_front();
  }
  if (!log->is_dirty) {
    log->is_dirty = true;
    dirty_.push_back(log);
  }
}

Expected<void> Hub::publish(PublishRequest request) {
  if (request.payload.size() > params_.message_bytes_max) {
    return fail(ErrorCode::too_large, "publish",
                fmt::format("message of {} bytes is over delivery.message_bytes_max = {} bytes", request.payload.size(),
                            params_.message_bytes_max));
  }
  Topic* topic = find_topic(request.topic);
  if (topic == nullptr) {
    if (!params_.unassigned_topics) return fail(ErrorCode::not_found, "publish", "topic not assigned");
    const auto made = topic_of(request.topic);
    if (!made) return tl::make_unexpected(made.error());
    topic = *made;
  }
  if (is_busy()) {
    return fail(ErrorCode::unavailable, "publish",
                fmt::format("busy: {} publishes are under way (delivery.in_flight_max, delivery.in_flight_bytes_max)",
                            in_flight_));
  }
  auto bytes = std::make_shared<const std::string>(std::move(request.payload));
  std::string id = sha256_hex(*bytes);
  auto [at, is_new] = topic->seen.try_emplace(id);
  if (!is_new && (request.has_timestamp || request.no_dedup)) {
    const std::uint64_t number = request.no_dedup
                                     ? static_cast<std::uint64_t>(now_.time_since_epoch().count()) ^ (++repeats_ << 40)
                                     : request.timestamp;
    bytes = std::make_shared<const std::string>(wrap_payload(*bytes, number));
    id = sha256_hex(*bytes);
    std::tie(at, is_new) = topic->seen.try_emplace(id);
  }
  if (!is_new) {
    ++counts_.deduplicated;
    if (at->second.publish_bytes != 0) {  // its publish is under way: ends as that does
      at->second.waiting.push_back([done = std::move(request.done)](const PublishOutcome& outcome) {
        PublishOutcome own = outcome;
        if (own.result == PublishResult::published) own.result = PublishResult::deduplicated;
        done(own);
      });
      return {};
    }
    request.done({PublishResult::deduplicated, id, ""});
    return {};
  }
  send_publish(*topic, id, at->second, std::move(request), std::move(bytes));
  return {};
}

void Hub::send_publish(Topic& topic, const std::string& id, Seen& seen, PublishRequest request, SharedBytes bytes) {
  topic.seen_order.emplace_back(now_, id);
  seen.first = now_;
  auto& order = topic.orders[request.client];
  if (!order) {
    order = std::make_shared<PublishOrder>();
    for (const unsigned level : topic.levels()) order->open_level(level);
  }
  seen.order = order;
  seen.place = order->enter(now_);
  seen.publish_bytes = bytes->size() + 1;
  seen.waiting.push_back(std::move(request.done));
  ++in_flight_;
  in_flight_bytes_ += seen.publish_bytes;
  if (observer_ != nullptr) observer_->on_published(id, topic.name, bytes->size(), now_);
  upstream_.publish(
      topic.name, std::move(bytes), id, request.client,
      [this, name = topic.name, id](const PublishOutcome& outcome) {
        Topic* const found = find_topic(name);
        if (found == nullptr) return;
        const auto at = found->seen.find(id);
        if (at == found->seen.end() || at->second.publish_bytes == 0) return;
        finish_publish(*found, id, at->second, outcome);
      });
}

/// `id` is not of `topic`, which may forget it here.
void Hub::finish_publish(Topic& topic, const std::string& id, Seen& seen, PublishOutcome result) {
  --in_flight_;
  in_flight_bytes_ -= seen.publish_bytes;
  seen.publish_bytes = 0;
  const auto waiting = std::move(seen.waiting);
  seen.waiting.clear();
  result.message_id = id;
  if (result.result == PublishResult::refused && seen.has_payload) result.result = PublishResult::published;
  const bool is_in_mesh = result.result == PublishResult::published || result.result == PublishResult::deduplicated;
  if (is_in_mesh) {
    ++counts_.published;
  } else {
    ++counts_.publish_failures;
    if (!seen.has_payload) {  // so that it may be tried again
      seen.order->failed(seen.place, topic.levels(),
                         [&](unsigned level, const SharedMessage& ready) { deliver(topic, level, ready); });
      topic.seen.erase(id);
    }
  }
  for (const auto& done : waiting) done(result);
}

/// The only node has it: whether that has peers is not known to anyone who asks here.
void Hub::settle_alone(Topic& topic, const std::string& id, Seen& seen) {
  if (seen.publish_bytes == 0) return;
  upstream_.settled(topic.name, id);
  finish_publish(topic, id, seen, {PublishResult::published, id, ""});
}

void Hub::forget_seen(Topic& topic) {
  while (!topic.seen_order.empty()) {
    auto& [when, id] = topic.seen_order.front();
    const bool is_due = now_ - when > params_.dedup || topic.seen_order.size() > params_.dedup_messages_max;
    if (!is_due) break;
    const auto at = topic.seen.find(id);
    if (at != topic.seen.end() && at->second.publish_bytes != 0) {
      if (topic.seen_order.size() <= params_.dedup_messages_max) break;
      topic.seen_order.emplace_back(now_, id);
    } else if (at != topic.seen.end()) {
      topic.seen.erase(at);
    }
    topic.seen_order.pop_front();
  }
}

void Hub::tick_topic(Topic& topic) {
  const auto give = [&](unsigned level, const SharedMessage& ready) { deliver(topic, level, ready); };
  const std::uint64_t reachable = upstream_.reachable();
  std::deque<std::pair<Instant, std::string>> later;
  while (!topic.pending.empty() && now_ - topic.pending.front().first >= params_.fallback) {
    auto entry = std::move(topic.pending.front());
    topic.pending.pop_front();
    const auto at = topic.seen.find(entry.second);
    if (at == topic.seen.end() || !at->second.message) continue;
    Seen& seen = at->second;
    const bool has_all = reachable != 0 && (reachable & ~seen.nodes) == 0;
    if (params_.fallback.count() != 0 && has_all) {
      const unsigned before = seen.reached;
      const auto levels = topic.levels();
      const bool is_needed = std::any_of(levels.begin(), levels.end(), [&](unsigned level) { return level > before; });
      if (is_needed) ++counts_.fallback_deliveries;
      seen.is_fallen_back = true;
      reach(topic, seen, params_.nodes);
    } else if (now_ - entry.first < wait_max && topic.pending.size() + later.size() < params_.log.messages_max) {
      later.push_back(std::move(entry));
    }
  }
  topic.pending.insert(topic.pending.begin(), later.begin(), later.end());
  for (auto at = topic.orders.begin(); at != topic.orders.end();) {
    at->second->give_up(now_ - params_.order, topic.levels(), give);
    at = at->second->is_empty() ? topic.orders.erase(at) : std::next(at);
  }
  forget_seen(topic);
}

void Hub::tick() {
  for (auto& [name, topic] : topics_) tick_topic(*topic);
  if (now_ - expired_at_ >= expire_every) {
    expired_at_ = now_;
    expire_clients();
  }
  flush();
}

}  // namespace corelay::gateway
