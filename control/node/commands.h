/// Commands on their way to the lcores. A ring that is full makes them wait here, in order, and be tried again; nothing
/// is lost. Bounded by what makes commands: peers, topics, publishes under way and messages not yet released.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <vector>

#include "dataplane/dataplane.h"

namespace corelay::node {

class CommandQueue {
 public:
  CommandQueue(boost::asio::io_context& io, dataplane::Dataplane& dataplane);

  /// To every lcore.
  void all(const dataplane::Command& command);
  /// To the lcore that owns `tag`.
  void lane(const dataplane::MessageTag& tag, const dataplane::Command& command);

  /// Tries what waits; call it after poll_events().
  void flush();
  [[nodiscard]] std::size_t waiting() const noexcept;

 private:
  struct LaneCommand {
    dataplane::MessageTag tag{};
    dataplane::Command command;
  };
  void retry_soon();

  dataplane::Dataplane& dataplane_;
  boost::asio::steady_timer retry_;
  bool is_retrying_ = false;
  std::deque<dataplane::Command> for_all_;
  std::vector<std::deque<LaneCommand>> for_lane_;  // by lane, so that a full ring holds up no other
};

}  // namespace corelay::node
