/// Whole nodes inside one test process, on free ports of loopback, each with a control thread of its own.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "codec/rng.h"
#include "control/node/node.h"

namespace corelay::node {

/// A node's settings for tests: any free ports, the plain-socket backend, no pinning.
using Settings = std::vector<FlagValue>;

inline Settings test_flags() {
  return {{"p2p.address", "127.0.0.1"},      {"p2p.port", "0"},          {"sidecar.port", "0"},
          {"api.port", "0"},                 {"node.identity_dir", "."}, {"dataplane.backend", "socket"},
          {"dataplane.pin_lcores", "false"}, {"relay.cells_max", "16384"}, {"node.cluster_id", "test"},
          {"mesh.heartbeat_ms", "100"}};
}

class TestNode {
 public:
  explicit TestNode(Settings more = {}, const libp2p::Identity& identity = libp2p::Identity::generate())
      : identity_(identity) {
    ConfigSources sources;
    sources.flags = test_flags();
    sources.flags.insert(sources.flags.end(), more.begin(), more.end());
    auto loaded = load_config(sources);
    if (!loaded) throw std::runtime_error(loaded.error().describe());
    auto node = Node::start(io_, std::move(*loaded), identity_);
    if (!node) throw std::runtime_error(node.error().describe());
    node_ = std::move(*node);
    thread_ = std::thread([this] { io_.run(); });
  }
  ~TestNode() {
    io_.stop();
    thread_.join();
  }
  TestNode(const TestNode&) = delete;
  TestNode& operator=(const TestNode&) = delete;

  Node& operator*() { return *node_; }
  Node* operator->() { return node_.get(); }
  const libp2p::Identity& identity() const { return identity_; }

  /// Runs `call` on the control thread and returns what it returns.
  template <class Call>
  auto on_control(Call call) {
    std::packaged_task<decltype(call())()> task(std::move(call));
    auto result = task.get_future();
    boost::asio::post(io_, [&task] { task(); });
    return result.get();
  }

  std::string address() {
    return on_control([this] { return node_->addresses().front() + "/p2p/" + node_->peer_id(); });
  }
  std::uint16_t port() {
    return on_control([this] { return *libp2p::Multiaddr::parse(node_->addresses().front())->tcp_port(); });
  }

  /// Publishes and waits for the outcome.
  PublishResult publish(const std::string& topic, std::vector<std::uint8_t> payload) {
    std::promise<PublishResult> outcome;
    auto result = outcome.get_future();
    const PublishQueue queue = node_->make_publish_queue();
    node_->publish(queue, {topic, std::move(payload), nullptr,
                           [&outcome](const PublishResult& done) { outcome.set_value(done); }});
    return result.get();
  }

 private:
  libp2p::Identity identity_;
  boost::asio::io_context io_{1};
  std::unique_ptr<Node> node_;
  std::thread thread_;
};

/// A local client that keeps what it gets.
class Listener final : public Subscriber {
 public:
  void on_message(const SharedResponse& message) override { keep(messages_, message); }
  void on_trace(const SharedResponse& trace) override { keep(traces_, trace); }
  void on_refused(const std::string&, const SharedResponse& answer) override { keep(traces_, answer); }

  /// True when `count` messages have come within half a minute.
  bool wait_for(std::size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(30), [&] { return messages_.size() >= count; });
  }
  std::vector<SharedResponse> messages() {
    const std::lock_guard lock(mutex_);
    return messages_;
  }
  std::vector<SharedResponse> traces() {
    const std::lock_guard lock(mutex_);
    return traces_;
  }

 private:
  void keep(std::vector<SharedResponse>& list, const SharedResponse& response) {
    const std::lock_guard lock(mutex_);
    list.push_back(response);
    changed_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<SharedResponse> messages_;
  std::vector<SharedResponse> traces_;
};

/// Polls until `condition` holds, for at most half a minute.
inline bool eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 3000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return condition();
}

inline bool has_sessions(TestNode& node, std::size_t count) {
  return eventually([&] { return node.on_control([&] { return node->peers().sessions() == count; }); });
}

inline bool has_route(TestNode& node, const std::string& topic, std::size_t peers) {
  return eventually(
      [&] { return node.on_control([&] { return node->peers().mesh().mesh_peers(topic).size() >= peers; }); });
}

inline std::vector<std::uint8_t> test_payload(std::size_t bytes, std::uint64_t seed) {
  std::vector<std::uint8_t> payload(bytes);
  Rng rng(seed);
  for (auto& byte : payload) byte = static_cast<std::uint8_t>(rng.next());
  return payload;
}

}  // namespace corelay::node
