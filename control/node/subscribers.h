/// The local clients and the topics they take part in. Owned by the control thread; what it hands out for a delivery is
/// a snapshot that another thread may walk.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "control/node/response.h"

namespace corelay::node {

/// One local client. Both calls come from any thread, must not block, and may drop what the client is too slow for.
class Subscriber {
 public:
  virtual ~Subscriber() = default;
  virtual void on_message(const SharedResponse& message) = 0;
  /// on_message brings an encoded Delivery, in place of a Response with JSON.
  [[nodiscard]] virtual bool wants_deliveries() const { return false; }
  virtual void on_trace(const SharedResponse& trace) = 0;
  /// The node could not join a topic: the client has no part in it. `answer` says why.
  virtual void on_refused(const std::string& topic, const SharedResponse& answer) = 0;
};
using SubscriberPtr = std::shared_ptr<Subscriber>;
using SubscriberList = std::shared_ptr<const std::vector<SubscriberPtr>>;

class Subscribers {
 public:
  /// Returns true when it is the first client of the topic.
  bool add(const std::string& topic, const SubscriberPtr& client);
  /// Returns true when it was the last client of the topic.
  bool remove(const std::string& topic, const SubscriberPtr& client);
  /// Takes a client out of all its topics; returns those left without one.
  std::vector<std::string> remove_everywhere(const SubscriberPtr& client);

  /// Clients of a topic, null when there are none.
  [[nodiscard]] SubscriberList of(const std::string& topic) const;
  /// Every client that takes part in a topic.
  [[nodiscard]] std::vector<SubscriberPtr> all() const;
  [[nodiscard]] bool has(const std::string& topic, const SubscriberPtr& client) const;
  [[nodiscard]] std::map<std::string, std::size_t> counts() const;
  [[nodiscard]] bool is_empty() const noexcept { return topics_.empty(); }

 private:
  std::map<std::string, SubscriberList> topics_;  // a change makes a new list; lists in use stay as they are
  std::map<SubscriberPtr, std::set<std::string>> clients_;
};

}  // namespace corelay::node
