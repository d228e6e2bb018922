/// Messages of one publisher on one topic leave a gateway in the order in which they were published through it, though
/// nodes report them in any. A place in line is taken at the publish; a message that nodes have reported waits until
/// those before it have gone, have failed, or have been waited for long enough.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <vector>

#include "control/gateway/instant.h"
#include "control/gateway/topic_log.h"

namespace corelay::gateway {

class PublishOrder {
 public:
  /// Puts a message into the log of a level.
  using Deliver = std::function<void(unsigned level, const SharedMessage& message)>;

  /// Takes the next place.
  [[nodiscard]] std::uint64_t enter(Instant now);
  /// `nodes` nodes hold the message, `before` did until now; delivers it, and who waited for it, to the logs of the
  /// levels in `levels`.
  void reached(std::uint64_t place, const SharedMessage& message, unsigned before, unsigned nodes,
               const std::vector<unsigned>& levels, const Deliver& deliver);
  /// The message will not come.
  void failed(std::uint64_t place, const std::vector<unsigned>& levels, const Deliver& deliver);
  /// No longer waits for what was published before `limit`.
  void give_up(Instant limit, const std::vector<unsigned>& levels, const Deliver& deliver);
  /// A level that begins now: what is already in line is not for it.
  void open_level(unsigned level) { next_[level] = base_ + slots_.size(); }
  void close_level(unsigned level) { next_.erase(level); }

  [[nodiscard]] bool is_empty() const noexcept { return slots_.empty(); }

 private:
  struct Slot {
    SharedMessage message;
    unsigned nodes = 0;
    bool is_over = false;  // not waited for any more
    Instant at{};
  };
  void drain(const std::vector<unsigned>& levels, const Deliver& deliver);

  std::deque<Slot> slots_;
  std::uint64_t base_ = 0;                  // place of the first slot
  std::map<unsigned, std::uint64_t> next_;  // level: the place whose turn it is
};

}  // namespace corelay::gateway
