#include "control/gateway/nodes.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <functional>
#include <iterator>
#include <utility>

namespace corelay::gateway {
namespace {

constexpr std::size_t inbox_max = 65536;
constexpr std::size_t inbox_bytes_max = 64u << 20;

}  // namespace

Nodes::Nodes(boost::asio::io_context& io, Settings settings, OnReports reports, OnSubscribed subscribed)
    : io_(io), settings_(std::move(settings)), on_reports_(std::move(reports)), on_subscribed_(std::move(subscribed)) {
  for (unsigned node = 0; node < settings_.addresses.size(); ++node) {
    NodeEvents events;
    events.received = [this, node](std::vector<NodeMessage> messages, std::vector<PublishAnswer> answers) {
      std::vector<Event> all;
      all.reserve(messages.size() + answers.size());
      for (auto& message : messages) all.emplace_back(node, std::move(message));
      for (auto& answer : answers) all.emplace_back(node, std::move(answer));
      enter(std::move(all));
    };
    events.reachable = [this, node](bool is_reachable, const std::string& why) {
      enter({{node, Lost{why, is_reachable}}});
    };
    events.subscribed = [this, node](std::string topic) { enter({{node, std::move(topic)}}); };
    links_.push_back(std::make_unique<NodeLink>(settings_.addresses[node], settings_.link, std::move(events)));
  }
  messages_from_.resize(links_.size());
}

Nodes::~Nodes() { stop(); }

void Nodes::start() {
  for (auto& link : links_) link->start();
}

void Nodes::stop() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
    drained_.notify_all();
  }
  for (auto& link : links_) link->stop();
}

void Nodes::enter(std::vector<Event> events) {
  std::size_t bytes = 0;
  for (const auto& [node, event] : events) {
    const auto* const message = std::get_if<NodeMessage>(&event);
    bytes += message == nullptr ? 0 : message->message.payload.size();
  }
  if (events.empty()) return;
  {
    std::unique_lock lock(mutex_);
    // A loop that is behind holds the nodes back, by way of HTTP/2's flow control.
    drained_.wait(lock, [&] { return is_stopping_ || (inbox_.size() < inbox_max && inbox_bytes_ < inbox_bytes_max); });
    if (is_stopping_) return;
    inbox_bytes_ += bytes;
    const bool is_called = !inbox_.empty();  // the loop, already
    if (is_called) {
      inbox_.insert(inbox_.end(), std::make_move_iterator(events.begin()), std::make_move_iterator(events.end()));
      return;
    }
    inbox_ = std::move(events);
  }
  boost::asio::post(io_, [this] { drain(); });
}

void Nodes::drain() {
  std::vector<Event> events;
  {
    const std::lock_guard lock(mutex_);
    events.swap(inbox_);
    inbox_bytes_ = 0;
    drained_.notify_all();
  }
  now_ = std::chrono::steady_clock::now();
  std::vector<Report> reports;
  for (auto& [node, event] : events) {
    if (auto* const message = std::get_if<NodeMessage>(&event)) {
      ++messages_from_[node];
      reports.push_back({node, std::move(*message)});
    } else if (const auto* const change = std::get_if<Lost>(&event)) {
      on_reachable(node, *change);
    } else if (const auto* const topic = std::get_if<std::string>(&event)) {
      on_subscribed_(node, *topic);
    }
  }
  on_reports_(std::move(reports));
  for (const auto& [node, event] : events) {
    if (const auto* const answer = std::get_if<PublishAnswer>(&event)) on_answer(node, *answer);
  }
}

void Nodes::on_reachable(unsigned node, const Lost& change) {
  const auto& address = links_[node]->address();
  if (change.is_reachable) return spdlog::info("node {} can be reached", address);
  spdlog::warn("node {} cannot be reached: {}", address, change.why);
  std::vector<Flights::iterator> lost;
  for (auto at = flights_.begin(); at != flights_.end(); ++at) {
    if (at->second.node == node) lost.push_back(at);
  }
  for (const auto at : lost) send(at);
}

void Nodes::subscribe(const std::string& topic) {
  for (auto& link : links_) link->subscribe(topic);
}

void Nodes::unsubscribe(const std::string& topic) {
  for (auto& link : links_) link->unsubscribe(topic);
}

std::uint64_t Nodes::reachable() const {
  std::uint64_t mask = 0;
  for (std::size_t i = 0; i < links_.size(); ++i) {
    if (links_[i]->is_reachable()) mask |= std::uint64_t{1} << i;
  }
  return mask;
}

void Nodes::publish(const std::string& topic, SharedBytes payload, const std::string& id, std::string_view key,
                    PublishDone done) {
  Flight flight;
  flight.topic = topic;
  flight.payload = std::move(payload);
  flight.done = std::move(done);
  flight.first = links_.empty() ? 0 : std::hash<std::string_view>{}(key) % links_.size();
  flight.deadline = std::chrono::steady_clock::now() + settings_.publish_timeout;
  if (find(topic, id) == flights_.end()) send(flights_.emplace(id, std::move(flight)));
}

void Nodes::send(Flights::iterator at) {
  Flight& flight = at->second;
  for (std::size_t turn = 0; turn < links_.size(); ++turn) {
    const auto node = static_cast<unsigned>((flight.first + turn) % links_.size());
    const std::uint64_t bit = std::uint64_t{1} << node;
    if ((flight.tried & bit) != 0 || !links_[node]->is_reachable()) continue;
    flight.tried |= bit;
    flight.node = node;
    if (links_[node]->publish(flight.topic, flight.payload)) return flush_soon();
  }
  if (!flight.reason.empty()) return end(at, PublishResult::refused, flight.reason);
  end(at, PublishResult::no_node,
      flight.tried == 0 ? fmt::format("none of the {} node{} can be reached", links_.size(),
                                          links_.size() == 1 ? "" : "s")
                        : "the node was lost before it answered, and no other can be reached");
}

/// Behind what else this turn of the loop publishes: many go to a node in one write.
void Nodes::flush_soon() {
  if (std::exchange(is_flush_due_, true)) return;
  boost::asio::post(io_, [this] {
    is_flush_due_ = false;
    for (auto& link : links_) link->flush();
  });
}

void Nodes::end(Flights::iterator at, PublishResult result, std::string reason) {
  const PublishDone done = std::move(at->second.done);
  const std::string id = at->first;
  flights_.erase(at);
  // Later, and not inside the call that asked for it.
  boost::asio::post(io_, [done, result, id, reason = std::move(reason)] { done({result, id, reason}); });
}

void Nodes::settled(const std::string& topic, const std::string& id) {
  if (const auto at = find(topic, id); at != flights_.end()) flights_.erase(at);
}

Nodes::Flights::iterator Nodes::find(const std::string& topic, const std::string& id) {
  const auto [first, end] = flights_.equal_range(id);
  const auto at = std::find_if(first, end, [&](const auto& entry) { return entry.second.topic == topic; });
  return at == end ? flights_.end() : at;
}

void Nodes::on_answer(unsigned node, const PublishAnswer& answer) {
  auto at = find(answer.topic, answer.id);
  const bool has_id = answer.id.find_first_not_of('0') != std::string::npos;
  if (at == flights_.end() && !has_id) {  // refused before it had an id: the only sign is the topic
    at = std::find_if(flights_.begin(), flights_.end(), [&](const auto& entry) {
      return entry.second.node == node && entry.second.topic == answer.topic;
    });
  }
  if (at == flights_.end() || at->second.node != node) return;
  Flight& flight = at->second;
  if (answer.is_published) return end(at, PublishResult::published, "");
  if (answer.reason.starts_with("duplicate")) {
    const bool is_second = (flight.tried & (flight.tried - 1)) != 0;  // our own, over the node before
    return end(at, is_second ? PublishResult::published : PublishResult::deduplicated, "");
  }
  const bool is_passing = answer.reason.starts_with("the node is stopping") ||
                          answer.reason.starts_with("memory full") || answer.reason.starts_with("busy");
  flight.reason = answer.reason;
  if (is_passing) return send(at);
  end(at, PublishResult::refused, answer.reason);
}

void Nodes::tick(Instant now) {
  now_ = now;
  std::vector<Flights::iterator> late;
  for (auto at = flights_.begin(); at != flights_.end(); ++at) {
    if (at->second.deadline <= now) late.push_back(at);
  }
  for (const auto at : late) {
    end(at, PublishResult::timed_out, "no node answered in time (delivery.publish_timeout_ms)");
  }
}

}  // namespace corelay::gateway
