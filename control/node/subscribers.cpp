#include "control/node/subscribers.h"

#include <algorithm>

namespace corelay::node {

bool Subscribers::add(const std::string& topic, const SubscriberPtr& client) {
  if (!clients_[client].insert(topic).second) return false;
  SubscriberList& list = topics_[topic];
  auto grown =
      list ? std::make_shared<std::vector<SubscriberPtr>>(*list) : std::make_shared<std::vector<SubscriberPtr>>();
  grown->push_back(client);
  list = std::move(grown);
  return list->size() == 1;
}

bool Subscribers::remove(const std::string& topic, const SubscriberPtr& client) {
  const auto known = clients_.find(client);
  if (known == clients_.end() || known->second.erase(topic) == 0) return false;
  if (known->second.empty()) clients_.erase(known);
  const auto at = topics_.find(topic);
  auto shrunk = std::make_shared<std::vector<SubscriberPtr>>(*at->second);
  shrunk->erase(std::find(shrunk->begin(), shrunk->end(), client));
  if (shrunk->empty()) {
    topics_.erase(at);
    return true;
  }
  at->second = std::move(shrunk);
  return false;
}

std::vector<std::string> Subscribers::remove_everywhere(const SubscriberPtr& client) {
  const auto known = clients_.find(client);
  if (known == clients_.end()) return {};
  const std::set<std::string> topics = known->second;
  std::vector<std::string> left;
  for (const auto& topic : topics) {
    if (remove(topic, client)) left.push_back(topic);
  }
  return left;
}

SubscriberList Subscribers::of(const std::string& topic) const {
  const auto at = topics_.find(topic);
  return at == topics_.end() ? nullptr : at->second;
}

std::vector<SubscriberPtr> Subscribers::all() const {
  std::vector<SubscriberPtr> clients;
  clients.reserve(clients_.size());
  for (const auto& [client, topics] : clients_) clients.push_back(client);
  return clients;
}

bool Subscribers::has(const std::string& topic, const SubscriberPtr& client) const {
  const auto known = clients_.find(client);
  return known != clients_.end() && known->second.count(topic) != 0;
}

std::map<std::string, std::size_t> Subscribers::counts() const {
  std::map<std::string, std::size_t> counts;
  for (const auto& [topic, list] : topics_) counts[topic] = list->size();
  return counts;
}

}  // namespace corelay::node
