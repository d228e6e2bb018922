/// One node, over its sidecar's gRPC: a stream of messages and a stream of publishes, opened again for as long as the
/// link lives. gRPC stays behind this header. The callbacks come on gRPC's threads.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "control/gateway/sidecar_message.h"
#include "control/gateway/topic_log.h"

namespace corelay::gateway {

/// A message as a node reported it; the views live as long as `owner`.
struct NodeMessage {
  SidecarMessage message;
  std::shared_ptr<const void> owner;
};

/// What a node said of itself last.
struct NodeHealth {
  std::string mode;
  std::string peer_address;
  std::string country;
  std::string country_iso;
  std::vector<std::string> peers;       // ids; of nodes of Corelay alone
  std::vector<std::string> mesh_peers;  // those among them that are mesh neighbours on a topic
  double cpu_percent = 0;
  double memory_percent = 0;
  double disk_percent = 0;
  bool has_bursts = false;  // ListenBursts

  /// What peer_address ends in; empty where it has none.
  [[nodiscard]] std::string peer_id() const;
};

struct NodeEvents {
  std::function<void(std::vector<NodeMessage>, std::vector<PublishAnswer>)> received;  // together
  std::function<void(bool is_reachable, const std::string& why)> reachable;
  std::function<void(std::string topic)> subscribed;  // the node has taken it in
};

struct NodeLinkSettings {
  std::chrono::milliseconds health{2000};
  std::chrono::milliseconds timeout{2000};
  std::chrono::milliseconds redial_min{100};
  std::chrono::milliseconds redial_max{3000};
};

class NodeLink {
 public:
  /// `address` is host:port; 33212 where no port is given. Nothing happens before start().
  NodeLink(std::string address, NodeLinkSettings settings, NodeEvents events);
  ~NodeLink();
  NodeLink(const NodeLink&) = delete;
  NodeLink& operator=(const NodeLink&) = delete;

  void start();
  /// No callback comes after this has returned.
  void stop();

  /// Any thread. Topics are asked for again whenever the node comes back.
  void subscribe(const std::string& topic);
  void unsubscribe(const std::string& topic);
  /// False where the node cannot be reached: nothing is sent. Leaves with the next flush().
  [[nodiscard]] bool publish(const std::string& topic, SharedBytes payload);
  void flush();

  [[nodiscard]] const std::string& address() const noexcept { return address_; }
  [[nodiscard]] bool is_reachable() const noexcept { return is_reachable_.load(std::memory_order_relaxed); }
  [[nodiscard]] NodeHealth health() const;

  struct State;

 private:
  std::string address_;
  std::atomic<bool> is_reachable_{false};
  std::shared_ptr<State> state_;
};

}  // namespace corelay::gateway
