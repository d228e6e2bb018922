/// All the nodes behind a gateway, for the hub: what they report comes to one thread, in bursts; a publish goes to one
/// of them and, where that is lost before it answers, to the next. Carried twice is no harm: equal bytes are one
/// message.
#pragma once

#include <boost/asio/io_context.hpp>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "control/gateway/hub.h"
#include "control/gateway/node_link.h"

namespace corelay::gateway {

class Nodes final : public Upstream {
 public:
  struct Settings {
    std::vector<std::string> addresses;
    NodeLinkSettings link;
    std::chrono::milliseconds publish_timeout{35000};
  };
  /// `burst` is called on the loop with what nodes have reported since the last time, and must look at it at once.
  struct Report {
    unsigned node = 0;
    NodeMessage message;
  };
  using OnReports = std::function<void(std::vector<Report>)>;
  using OnSubscribed = std::function<void(unsigned node, const std::string& topic)>;

  Nodes(boost::asio::io_context& io, Settings settings, OnReports reports, OnSubscribed subscribed);
  ~Nodes() override;
  Nodes(const Nodes&) = delete;
  Nodes& operator=(const Nodes&) = delete;

  void start();
  void stop();
  /// Publishes whose node does not answer in time.
  void tick(Instant now);

  // Upstream
  void subscribe(const std::string& topic) override;
  void unsubscribe(const std::string& topic) override;
  void publish(const std::string& topic, SharedBytes payload, const std::string& id, std::string_view key,
               PublishDone done) override;
  void settled(const std::string& topic, const std::string& id) override;
  [[nodiscard]] std::uint64_t reachable() const override;

  [[nodiscard]] const std::vector<std::unique_ptr<NodeLink>>& links() const noexcept { return links_; }
  [[nodiscard]] std::uint64_t messages_from(unsigned node) const { return messages_from_[node]; }

 private:
  struct Flight {
    std::string topic;
    SharedBytes payload;
    PublishDone done;
    std::size_t first = 0;  // where the turn began
    unsigned node = 0;
    std::uint64_t tried = 0;
    std::string reason;  // of the last that refused
    Instant deadline{};
  };
  struct Lost {
    std::string why;
    bool is_reachable = false;
  };
  using Event = std::pair<unsigned, std::variant<NodeMessage, PublishAnswer, Lost, std::string>>;
  using Flights = std::unordered_multimap<std::string, Flight>;  // by id; each topic has its own

  void enter(std::vector<Event> events);
  void flush_soon();
  void drain();
  void on_answer(unsigned node, const PublishAnswer& answer);
  void on_reachable(unsigned node, const Lost& change);
  [[nodiscard]] Flights::iterator find(const std::string& topic, const std::string& id);
  void send(Flights::iterator at);
  void end(Flights::iterator at, PublishResult result, std::string reason);

  boost::asio::io_context& io_;
  const Settings settings_;
  const OnReports on_reports_;
  const OnSubscribed on_subscribed_;
  std::vector<std::unique_ptr<NodeLink>> links_;
  std::vector<std::uint64_t> messages_from_;
  Flights flights_;
  bool is_flush_due_ = false;
  Instant now_{};
  std::mutex mutex_;  // guards what follows, which gRPC's threads fill
  std::condition_variable drained_;
  std::vector<Event> inbox_;
  std::size_t inbox_bytes_ = 0;
  bool is_stopping_ = false;
};

}  // namespace corelay::gateway
