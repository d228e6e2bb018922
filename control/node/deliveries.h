/// Messages on their way to local clients. A message that is complete in the data plane, or that enters it here, is
/// copied and encoded once, off the control thread and in order, and given to every client of its topic. Each message
/// goes to the clients of a topic once, whatever way it came.
#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "control/node/commands.h"
#include "control/node/response.h"
#include "control/node/subscribers.h"
#include "dataplane/event.h"

namespace corelay::node {

/// Message tags seen, the oldest forgotten after a time or when there are too many.
class RecentTags {
 public:
  RecentTags(std::size_t tags_max, dataplane::Duration time) : tags_max_(tags_max), time_(time) {}
  /// False when the tag was noted before and not forgotten since.
  [[nodiscard]] bool note(const dataplane::MessageTag& tag, dataplane::Instant now);

 private:
  struct Hash {
    std::size_t operator()(const dataplane::MessageTag& tag) const noexcept;
  };
  std::size_t tags_max_;
  dataplane::Duration time_;
  std::unordered_set<dataplane::MessageTag, Hash> tags_;
  std::deque<std::pair<dataplane::Instant, dataplane::MessageTag>> order_;
};

/// Bounds on own messages that wait for their turn to be handed out. Those from the mesh are bounded by the data plane,
/// which keeps them until then.
struct OwnBounds {
  std::size_t messages_max = 0;
  std::size_t bytes_max = 0;
};

class Deliveries {
 public:
  Deliveries(boost::asio::io_context& io, boost::asio::thread_pool& pool, CommandQueue& commands, const Tracer& tracer,
             libp2p::PeerId self, RecentTags recent, OwnBounds bounds, bool has_traces);
  Deliveries(const Deliveries&) = delete;
  Deliveries& operator=(const Deliveries&) = delete;

  /// A message from the mesh; `upstream` is whose packet completed it, empty when unknown. Ends with its Release, sent
  /// from the control thread.
  void take(const dataplane::Delivered& delivered, const SubscriberList& clients, const libp2p::PeerId& upstream,
            dataplane::Instant now);
  /// A message published here. Errors: unavailable, where too much waits already; nothing is taken then.
  [[nodiscard]] Expected<void> take_own(const std::shared_ptr<const dataplane::PreparedMessage>& message,
                                        const SubscriberList& clients, dataplane::Instant now);

  /// Ids of the latest messages that came by, in hex, the oldest first. Control thread.
  [[nodiscard]] std::vector<std::string> recent_ids() const;

  /// Own messages that wait to be handed out.
  [[nodiscard]] std::size_t own_waiting() const noexcept { return own_waiting_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t delivered() const noexcept { return delivered_.load(std::memory_order_relaxed); }

 private:
  void remember(const dataplane::MessageId& id);
  /// `trace` follows the message; none where there are no traces.
  void hand_out(const std::vector<SubscriberPtr>& clients, const DeliveredMessage& message,
                const SharedResponse& trace);

  boost::asio::io_context& io_;
  boost::asio::strand<boost::asio::thread_pool::executor_type> strand_;
  CommandQueue& commands_;
  const Tracer& tracer_;
  libp2p::PeerId self_;
  RecentTags recent_;
  std::deque<dataplane::MessageId> ids_;
  OwnBounds bounds_;
  std::atomic<std::size_t> own_waiting_{0};
  std::atomic<std::size_t> own_bytes_waiting_{0};
  bool has_traces_;
  std::atomic<std::uint64_t> delivered_{0};
};

}  // namespace corelay::node
