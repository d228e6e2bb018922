/// From a client's bytes to an outcome. Hashing and signing run on a small pool of threads, one client's messages in
/// their order; then the message enters the data plane and its client hears what became of it, always: published, or
/// refused with the reason. Messages under way are bounded in number and bytes.
#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "codec/expected.h"
#include "control/libp2p/identity.h"
#include "control/node/commands.h"
#include "control/node/config.h"
#include "control/node/subscribers.h"
#include "dataplane/event.h"
#include "dataplane/message.h"

namespace corelay::node {

/// One client's messages, in order.
using PublishQueue = boost::asio::strand<boost::asio::thread_pool::executor_type>;

/// What became of a publish. `id` is zero where the message was refused before it was hashed.
struct PublishResult {
  std::string topic;
  dataplane::MessageId id{};
  Expected<void> outcome;
};
using PublishDone = std::function<void(const PublishResult&)>;

struct PublishRequest {
  std::string topic;
  std::vector<std::uint8_t> payload;
  SubscriberPtr origin;  // the client, when it also subscribes; may be null
  PublishDone done;      // called once, from any thread
};

class Publisher {
 public:
  struct Events {
    /// A message is about to enter the data plane; an error refuses it with its text. True where local subscribers
    /// get it. Control thread.
    std::function<Expected<bool>(const std::shared_ptr<const dataplane::PreparedMessage>&)> entering;
    /// It has been published. Control thread, before the client hears it.
    std::function<void(const dataplane::PreparedMessage&, const SubscriberPtr& origin)> published;
  };

  Publisher(boost::asio::io_context& io, boost::asio::thread_pool& pool, CommandQueue& commands,
            const libp2p::Identity& identity, const NodeConfig& config, Events events);
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;

  /// Any thread.
  [[nodiscard]] PublishQueue make_queue();
  void publish(const PublishQueue& queue, PublishRequest request);
  [[nodiscard]] std::size_t in_flight() const noexcept { return in_flight_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t published() const noexcept { return published_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t refused() const noexcept { return refused_.load(std::memory_order_relaxed); }

  /// Control thread.
  void on_published(const dataplane::PreparedMessage* message);
  void on_failed(const dataplane::PreparedMessage* message, dataplane::PublishFailure reason);
  /// From now on every publish is refused.
  void close() { is_closed_.store(true, std::memory_order_relaxed); }
  /// Answers everything under way: the node leaves. The messages stay in memory for the data plane.
  void abandon();

 private:
  struct Pending {
    std::shared_ptr<const dataplane::PreparedMessage> message;
    PublishRequest request;  // payload moved out
    std::size_t bytes = 0;
    bool is_answered = false;
    bool has_local_subscribers = false;
  };
  void prepare(PublishRequest request, std::size_t bytes);
  void enter(Pending pending);
  void answer(Pending& pending, Expected<void> outcome);
  [[nodiscard]] Error failure(const Pending& pending, dataplane::PublishFailure reason) const;
  [[nodiscard]] Error too_large(std::size_t bytes) const;

  boost::asio::io_context& io_;
  boost::asio::thread_pool& pool_;
  CommandQueue& commands_;
  libp2p::Identity identity_;
  dataplane::RelayParams params_;
  std::size_t in_flight_max_;
  std::uint64_t in_flight_bytes_max_;
  std::uint32_t hold_ms_;
  Events events_;
  std::atomic<std::uint64_t> sequence_;
  std::atomic<std::size_t> in_flight_{0};
  std::atomic<std::uint64_t> in_flight_bytes_{0};
  std::atomic<std::uint64_t> published_{0};
  std::atomic<std::uint64_t> refused_{0};
  std::atomic<bool> is_closed_{false};
  std::unordered_map<const dataplane::PreparedMessage*, Pending> pending_;  // control thread
};

}  // namespace corelay::node
