/// What the hub keeps of clients, topics and messages. Private to hub*.cpp.
#pragma once

#include "control/gateway/hub.h"

namespace corelay::gateway {

struct Subscription {
  double threshold = 0;
  std::shared_ptr<TopicLog> log;
  std::uint64_t next = 0;  // where a feed that opens goes on
};

struct Client {
  std::string id;
  std::map<std::string, Subscription> topics;
  std::vector<Feed*> feeds;
  Instant seen_at{};
};

/// A message, by the nodes that reported it.
struct Seen {
  std::uint64_t nodes = 0;  // bit i: node i holds it
  unsigned reached = 0;     // levels up to this have it
  bool has_payload = false;
  bool is_fallen_back = false;
  SharedMessage message;                // until every node has it, or it is too late for that
  Instant first{};                      // of its reports; where there is none, of its publish
  std::shared_ptr<PublishOrder> order;  // of messages published here
  std::uint64_t place = 0;
  std::vector<PublishDone> waiting;  // while its publish is under way
  std::size_t publish_bytes = 0;
};

struct Topic {
  std::string name;
  std::map<unsigned, std::shared_ptr<TopicLog>> logs;  // by level
  std::unordered_map<std::string, Seen> seen;
  std::deque<std::pair<Instant, std::string>> seen_order;
  std::deque<std::pair<Instant, std::string>> pending;  // ids that have not reached every node, by first report
  std::unordered_map<std::string, std::shared_ptr<PublishOrder>> orders;  // by client
  Instant used_at{};

  [[nodiscard]] std::vector<unsigned> levels() const {
    std::vector<unsigned> all;
    for (const auto& [level, log] : logs) all.push_back(level);
    return all;
  }
};

}  // namespace corelay::gateway
