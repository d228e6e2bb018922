// Clients, topics and feeds; what messages do is in hub_messages.cpp.
#include "control/gateway/hub.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "control/gateway/encode.h"
#include "control/gateway/hub_state.h"
#include "control/gateway/text.h"

namespace corelay::gateway {

Expected<void> check_client_id(std::string_view id) {
  if (id.size() > client_id_bytes_max) {
    return fail(ErrorCode::invalid_argument, "client_id",
                fmt::format("a client ID has at most {} bytes", client_id_bytes_max));
  }
  if (!is_utf8(id)) return fail(ErrorCode::invalid_argument, "client_id", "a client ID must be UTF-8");
  return {};
}

Hub::Hub(HubParams params, Upstream& upstream) : params_(std::move(params)), upstream_(upstream) {}

Hub::~Hub() = default;

unsigned Hub::level_of(double threshold) const noexcept {
  const double share = threshold > 0 ? threshold : params_.threshold;
  const double nodes = std::ceil(share * params_.nodes - 1e-9);
  return std::clamp(static_cast<unsigned>(nodes), 1U, std::max(1U, params_.nodes));
}

Topic* Hub::find_topic(const std::string& name) {
  const auto at = topics_.find(name);
  return at == topics_.end() ? nullptr : at->second.get();
}

Expected<Topic*> Hub::topic_of(const std::string& name) {
  if (name.size() > topic_bytes_max) {
    return fail(ErrorCode::invalid_argument, "topic", fmt::format("a topic has at most {} bytes", topic_bytes_max));
  }
  if (!is_utf8(name)) return fail(ErrorCode::invalid_argument, "topic", "a topic must be UTF-8");
  if (Topic* const topic = find_topic(name)) return topic;
  if (topics_.size() >= params_.topics_max) {
    return fail(ErrorCode::too_large, "topic",
                fmt::format("the gateway has {} topics (replay.topics_max)", params_.topics_max));
  }
  auto topic = std::make_unique<Topic>();
  topic->name = name;
  topic->used_at = now_;
  Topic* const made = topic.get();
  topics_.emplace(name, std::move(topic));
  upstream_.subscribe(name);
  return made;
}

std::shared_ptr<TopicLog> Hub::log_of(Topic& topic, unsigned level) {
  auto& log = topic.logs[level];
  if (!log) {
    log = std::make_shared<TopicLog>(topic.name, level, params_.log, log_bytes_);
    for (auto& [client, order] : topic.orders) order->open_level(level);
  }
  topic.used_at = now_;
  return log;
}

Client* Hub::client_of(const std::string& id) {
  const auto at = clients_.find(id);
  return at == clients_.end() ? nullptr : at->second.get();
}

Expected<Client*> Hub::enter(const std::string& id) {
  Client* client = client_of(id);
  if (client == nullptr) {
    if (auto checked = check_client_id(id); !checked) return tl::make_unexpected(checked.error());
    if (clients_.size() >= params_.clients_max) {
      return fail(ErrorCode::too_large, "client_id",
                  fmt::format("the gateway has {} clients (replay.clients_max)", params_.clients_max));
    }
    client = clients_.emplace(id, std::make_unique<Client>()).first->second.get();
    client->id = id;
  }
  client->seen_at = now_;
  return client;
}

Expected<void> Hub::subscribe(const std::string& client_id, const std::string& topic_name, double threshold) {
  if (!(threshold >= 0 && threshold <= 1)) {
    return fail(ErrorCode::invalid_argument, "threshold", "threshold must be from 0.1 to 1.0");
  }
  const auto known = enter(client_id);
  if (!known) return tl::make_unexpected(known.error());
  Client* const client = *known;
  if (client->topics.size() >= params_.topics_per_client_max && client->topics.count(topic_name) == 0) {
    return fail(ErrorCode::too_large, "topic",
                fmt::format("the client has {} topics (replay.topics_per_client_max)", params_.topics_per_client_max));
  }
  const auto topic = topic_of(topic_name);
  if (!topic) return tl::make_unexpected(topic.error());
  auto log = log_of(**topic, level_of(threshold));
  auto [at, is_new] = client->topics.try_emplace(topic_name);
  Subscription& subscription = at->second;
  if (!is_new && subscription.log == log) return {};
  std::uint64_t next = log->end();
  if (!is_new) {  // another threshold: goes on after the last message that it had
    const auto& old = *subscription.log;
    const bool has_read = subscription.next > old.first() && subscription.next <= old.end();
    if (has_read) next = log->after(old.at(subscription.next - 1).offset).index;
    for (Feed* const feed : client->feeds) drop_cursor(*feed, &old);
  }
  subscription = {threshold, log, next};
  for (Feed* const feed : client->feeds) {
    feed->cursors.push_back({log, next, nullptr});
    log->add(feed->reader);
  }
  return {};
}

void Hub::drop_cursor(Feed& feed, const TopicLog* log) {
  const auto at = std::find_if(feed.cursors.begin(), feed.cursors.end(),
                               [&](const auto& cursor) { return cursor.log.get() == log; });
  if (at == feed.cursors.end()) return;
  at->log->remove(feed.reader);
  feed.cursors.erase(at);
}

bool Hub::unsubscribe(const std::string& client_id, const std::string& topic_name) {
  Client* const client = client_of(client_id);
  if (client == nullptr) return false;
  const auto at = client->topics.find(topic_name);
  if (at == client->topics.end()) return false;
  for (Feed* const feed : client->feeds) drop_cursor(*feed, at->second.log.get());
  client->topics.erase(at);
  return true;
}

std::vector<std::string> Hub::topics_of(const std::string& client_id) const {
  std::vector<std::string> names;
  const auto at = clients_.find(client_id);
  if (at == clients_.end()) return names;
  for (const auto& [name, subscription] : at->second->topics) names.push_back(name);
  return names;
}

std::vector<std::string> Hub::topics() const {
  std::vector<std::string> names;
  for (const auto& [name, topic] : topics_) names.push_back(name);
  std::sort(names.begin(), names.end());
  return names;
}

Feed::Cursor Hub::cursor_of(const std::shared_ptr<TopicLog>& log, const Position& position,
                            std::uint64_t otherwise) const {
  if (position.offset == 0) return {log, otherwise, nullptr};
  if (position.epoch.empty() || position.epoch == params_.epoch) {
    const auto place = log->after(position.offset);
    return {log, place.index - place.missed, nullptr};  // below the log's first: the next read says so
  }
  // Of another gateway, whose offsets mean nothing here: everything there is but for what it has delivered.
  const auto had = peers_ == nullptr ? nullptr : peers_->delivered(position.epoch, log->level(), position.offset);
  std::uint64_t next = log->first();
  if (!had) return {log, next, nullptr};
  while (next < log->end()) {
    const Message& message = *log->at(next).message;
    if (had->erase(delivery_digest(message.topic, message.id)) == 0) break;
    ++next;
  }
  return {log, next, had};
}

void Hub::each_subscription(const std::function<void(const std::string&, const std::string&, double)>& look) const {
  for (const auto& [id, client] : clients_) {
    for (const auto& [topic, subscription] : client->topics) look(id, topic, subscription.threshold);
  }
}

Feed* Hub::add_feed(Client* client, Reader* reader, Format format) {
  auto feed = std::make_unique<Feed>();
  feed->client = client;
  feed->reader = reader;
  feed->format = format;
  Feed* const made = feed.get();
  feeds_.emplace(made, std::move(feed));
  return made;
}

Expected<Feed*> Hub::open(const std::string& client_id, Reader* reader, Format format, const Position& position) {
  const auto known = enter(client_id);  // it may subscribe once it is connected
  if (!known) return tl::make_unexpected(known.error());
  Client* const client = *known;
  Feed* const feed = add_feed(client, reader, format);
  for (auto& [name, subscription] : client->topics) {
    // Where another connection is reading, this one begins now.
    const std::uint64_t otherwise = client->feeds.empty() ? subscription.next : subscription.log->end();
    feed->cursors.push_back(cursor_of(subscription.log, position, otherwise));
    subscription.log->add(reader);
  }
  client->feeds.push_back(feed);
  return feed;
}

Expected<Feed*> Hub::open_topic(const std::string& name, double threshold, Reader* reader, Format format,
                                const Position& position) {
  if (!(threshold >= 0 && threshold <= 1)) {
    return fail(ErrorCode::invalid_argument, "threshold", "threshold must be from 0.1 to 1.0");
  }
  const auto topic = topic_of(name);
  if (!topic) return tl::make_unexpected(topic.error());
  auto log = log_of(**topic, level_of(threshold));
  Feed* const feed = add_feed(nullptr, reader, format);
  log->add(reader);
  feed->cursors.push_back(cursor_of(log, position, log->end()));
  return feed;
}

void Hub::close(Feed* feed) {
  for (auto& cursor : feed->cursors) cursor.log->remove(feed->reader);
  if (Client* const client = feed->client) {
    client->feeds.erase(std::find(client->feeds.begin(), client->feeds.end(), feed));
    client->seen_at = now_;
  } else if (!feed->cursors.empty()) {
    if (Topic* const topic = find_topic(feed->cursors.front().log->topic())) topic->used_at = now_;
  }
  feeds_.erase(feed);
}

SharedBytes Hub::next(Feed& feed) {
  for (;;) {
    Feed::Cursor* turn = nullptr;
    std::uint64_t least = 0;
    for (auto& cursor : feed.cursors) {  // the oldest over all topics
      if (cursor.next >= cursor.log->end()) continue;
      if (cursor.next < cursor.log->first()) {
        turn = &cursor;
        break;
      }
      const std::uint64_t offset = feed.cursors.size() == 1 ? 0 : cursor.log->at(cursor.next).offset;
      if (turn == nullptr || offset < least) {
        turn = &cursor;
        least = offset;
      }
    }
    if (turn == nullptr) return nullptr;
    SharedBytes bytes = read(feed, *turn);
    if (feed.client != nullptr) {
      Subscription& subscription = feed.client->topics.find(turn->log->topic())->second;
      subscription.next = std::max(subscription.next, turn->next);
    }
    if (bytes) return bytes;
  }
}

SharedBytes Hub::read(Feed& feed, Feed::Cursor& cursor) {
  TopicLog& log = *cursor.log;
  if (cursor.next < log.first()) {
    const std::uint64_t missed = log.first() - cursor.next;
    counts_.lagged += missed;
    cursor.next = log.first();
    return encode_lagged(feed.format, log.topic(), missed, log.at(cursor.next).offset - 1, params_.epoch);
  }
  if (cursor.had) {
    const Message& message = *log.at(cursor.next).message;
    const bool was_had = cursor.had->erase(delivery_digest(message.topic, message.id)) != 0;
    if (cursor.had->empty()) cursor.had = nullptr;
    if (was_had) {
      ++cursor.next;
      return nullptr;
    }
  }
  ++counts_.delivered;
  return log.encoded(cursor.next++, feed.format, params_.epoch);
}

void Hub::flush() {
  if (!deliveries_.empty()) {
    if (on_deliveries_) on_deliveries_(deliveries_);
    deliveries_.clear();
  }
  const auto dirty = std::move(dirty_);
  dirty_.clear();
  for (const auto& log : dirty) {
    log->is_dirty = false;
    const std::vector<Reader*> readers = log->readers();  // a reader that fails may leave
    for (Reader* const reader : readers) {
      if (readers.size() == log->readers().size() ||
          std::find(log->readers().begin(), log->readers().end(), reader) != log->readers().end()) {
        reader->wake();
      }
    }
  }
}

void Hub::expire_clients() {
  for (auto at = clients_.begin(); at != clients_.end();) {
    Client& client = *at->second;
    const bool is_idle = client.feeds.empty() && (client.topics.empty() || now_ - client.seen_at > params_.client_keep);
    at = is_idle ? clients_.erase(at) : std::next(at);
  }
  for (auto at = topics_.begin(); at != topics_.end();) {
    Topic& topic = *at->second;
    for (auto log = topic.logs.begin(); log != topic.logs.end();) {
      const bool is_used = log->second.use_count() > 1 || now_ - topic.used_at <= params_.client_keep;
      if (!is_used) {
        for (auto& [client, order] : topic.orders) order->close_level(log->first);
      }
      log = is_used ? std::next(log) : topic.logs.erase(log);
    }
    if (topic.logs.empty() && now_ - topic.used_at > params_.client_keep) {
      upstream_.unsubscribe(topic.name);
      at = topics_.erase(at);
    } else {
      ++at;
    }
  }
}

}  // namespace corelay::gateway
