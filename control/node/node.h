/// A node put together: libp2p host, mesh, data plane, and the APIs on top, on one control thread.
///
/// A message's way in: publish() (any thread) -> Publisher (hash, sign) -> data plane -> outcome to the client.
/// A message's way out: data plane -> on_delivered() -> Deliveries (copy, encode once) -> every local client of the
/// topic.
#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "codec/expected.h"
#include "control/libp2p/host.h"
#include "control/node/commands.h"
#include "control/node/config.h"
#include "control/node/deliveries.h"
#include "control/node/peers.h"
#include "control/node/publisher.h"
#include "control/node/repeats.h"
#include "control/node/subscribers.h"
#include "control/daemon/system_stats.h"
#include "dataplane/dataplane.h"

namespace corelay::node {

class Sidecar;
class Api;

/// The bootstrap peers as addresses. Errors: invalid_argument, naming the one that does not parse.
[[nodiscard]] Expected<std::vector<libp2p::Multiaddr>> bootstrap_addresses(const NodeConfig& config);

class Node {
 public:
  /// Opens every socket and starts to work on `io`, which one thread runs. Errors name the port and what to do.
  [[nodiscard]] static Expected<std::unique_ptr<Node>> start(boost::asio::io_context& io, LoadedConfig config,
                                                             const libp2p::Identity& identity);
  /// Only when `io` no longer runs.
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  /// Leaves: no new publishes, those under way get node.drain_ms, then goodbye to peers and clients; then `done`.
  void drain(std::function<void()> done);

  // For clients, from any thread.
  [[nodiscard]] PublishQueue make_publish_queue() { return publisher_->make_queue(); }
  /// The outcome comes by request.done, once, from any thread. At most publish.in_flight_max are taken on.
  void publish(const PublishQueue& queue, PublishRequest request) { publisher_->publish(queue, std::move(request)); }
  /// A topic that cannot be joined is left out, and the client hears why by on_refused().
  void subscribe(const SubscriberPtr& client, std::vector<std::string> topics);
  void unsubscribe(const SubscriberPtr& client, std::string topic);
  void remove(const SubscriberPtr& client);
  [[nodiscard]] const Tracer& tracer() const noexcept { return tracer_; }
  [[nodiscard]] const LoadedConfig& loaded() const noexcept { return loaded_; }
  [[nodiscard]] const NodeConfig& config() const noexcept { return loaded_.config; }
  [[nodiscard]] daemon::SystemLoad load() const { return stats_.load(); }
  [[nodiscard]] boost::asio::io_context& io() noexcept { return io_; }

  // For the APIs, on the control thread.
  [[nodiscard]] std::string peer_id() const { return host_.peer_id().text(); }
  [[nodiscard]] const std::vector<std::string>& addresses() const noexcept { return addresses_; }
  [[nodiscard]] bool is_ready() const noexcept { return peers_->sessions() != 0 && !is_draining_; }
  [[nodiscard]] bool is_draining() const noexcept { return is_draining_; }
  [[nodiscard]] const Peers& peers() const noexcept { return *peers_; }
  [[nodiscard]] const Publisher& publisher() const noexcept { return *publisher_; }
  [[nodiscard]] const Deliveries& deliveries() const noexcept { return *deliveries_; }
  [[nodiscard]] const Subscribers& subscribers() const noexcept { return subscribers_; }
  [[nodiscard]] const dataplane::Dataplane& dataplane() const noexcept { return *dataplane_; }
  [[nodiscard]] const Sidecar& sidecar() const noexcept { return *sidecar_; }
  [[nodiscard]] std::uint16_t api_port() const noexcept;
  [[nodiscard]] std::uint16_t sidecar_port() const noexcept;

 private:
  Node(boost::asio::io_context& io, LoadedConfig config, const libp2p::Identity& identity);
  [[nodiscard]] Expected<void> open(const libp2p::Identity& identity);
  [[nodiscard]] Expected<void> open_transport();
  void poll_soon();
  void poll();
  void on_event(const dataplane::Event& event);
  void on_traced(const mesh::Traced& traced);
  void on_shard_traced(const dataplane::ShardTraced& shard);
  Expected<bool> on_entering(const std::shared_ptr<const dataplane::PreparedMessage>& message);
  bool keep_route(const std::string& topic);
  void on_published(const dataplane::PreparedMessage& message, const SubscriberPtr& origin);
  void trace_to(const SubscriberList& clients, const SharedResponse& trace, const SubscriberPtr& but);
  void set_shard_tracing();
  void wait_drained(std::function<void()> done);

  boost::asio::io_context& io_;
  LoadedConfig loaded_;
  Tracer tracer_;
  daemon::SystemStats stats_;
  boost::asio::thread_pool pool_;
  libp2p::Host host_;
  std::vector<std::string> addresses_;
  Subscribers subscribers_;
  std::unordered_map<dataplane::TopicHash, std::string> topic_names_;  // of topics with local clients
  std::unordered_map<std::string, dataplane::Instant> routes_kept_;    // when each was last asked for
  std::unique_ptr<Publisher> publisher_;      // outlives the data plane, which reads its messages
  std::unique_ptr<dataplane::Dataplane> dataplane_;
  std::unique_ptr<CommandQueue> commands_;
  std::unique_ptr<Peers> peers_;
  std::unique_ptr<Deliveries> deliveries_;
  std::unique_ptr<Sidecar> sidecar_;
  std::unique_ptr<Api> api_;
  std::atomic<bool> is_poll_posted_{false};
  bool is_draining_ = false;
  bool is_tracing_shards_ = false;
  Repeats repeats_{dataplane::seconds(60), 16};
  boost::asio::steady_timer drain_timer_;
  std::chrono::steady_clock::time_point drain_until_;
};

}  // namespace corelay::node
