/// What a gateway does for its clients, whichever protocol they speak: the rules of subscribing and publishing, between
/// the protocols and the hub. Runs on the gateway's loop.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "control/daemon/system_stats.h"
#include "control/gateway/api_input.h"
#include "control/gateway/bus.h"
#include "control/gateway/config.h"
#include "control/gateway/connection.h"
#include "control/gateway/hub.h"
#include "control/gateway/nodes.h"

namespace corelay::gateway {

class Arrivals;
class Tracer;

class Service {
 public:
  Service(boost::asio::io_context& io, const GatewayConfig& config);
  ~Service();

  /// Errors: what is wrong with bus.url.
  [[nodiscard]] Expected<void> start();
  void stop();
  void tick();

  /// Calls back once every node that can be reached has taken the subscription in, or after a second.
  void subscribe(const std::string& client, const std::string& topic, double threshold,
                 std::function<void(Expected<void>)> done);
  void when_confirmed(const std::string& topic, std::function<void()> done);
  /// As Hub::publish, with errors by `done` too.
  void publish(PublishRequest request);

  bool unsubscribe(const std::string& client, const std::string& topic);
  [[nodiscard]] bool is_on_bus() const noexcept { return bus_ && bus_->is_connected(); }

  [[nodiscard]] Hub& hub() noexcept { return hub_; }
  [[nodiscard]] Nodes& nodes() noexcept { return nodes_; }
  [[nodiscard]] Tracer& tracer() noexcept { return *tracer_; }
  [[nodiscard]] Arrivals& arrivals() noexcept { return *arrivals_; }
  [[nodiscard]] const GatewayConfig& config() const noexcept { return config_; }
  [[nodiscard]] const daemon::SystemStats& stats() const noexcept { return stats_; }
  [[nodiscard]] boost::asio::io_context& io() noexcept { return io_; }
  [[nodiscard]] ConnectionTotals& totals() noexcept { return totals_; }

  bool is_draining = false;

 private:
  struct Waiting {
    std::string topic;
    Instant deadline{};
    std::function<void()> done;
  };
  void on_reports(std::vector<Nodes::Report> reports);
  [[nodiscard]] Expected<void> join_bus();
  void on_subscribed(unsigned node, const std::string& topic);
  [[nodiscard]] bool is_confirmed(const std::string& topic) const;
  void answer_waiting();

  boost::asio::io_context& io_;
  const GatewayConfig& config_;
  daemon::SystemStats stats_;
  ConnectionTotals totals_;
  std::unique_ptr<Tracer> tracer_;
  std::unique_ptr<Arrivals> arrivals_;
  Nodes nodes_;
  Hub hub_;
  std::unordered_map<std::string, std::uint64_t> confirmed_;  // topic: the nodes that have taken it in
  std::uint64_t reachable_ = 0;
  PeerLogs peers_;
  std::unique_ptr<Bus> bus_;  // null: this gateway stands alone
  std::list<Waiting> waiting_;
};

}  // namespace corelay::gateway
