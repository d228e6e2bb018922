/// When each node had a message: what the live page shows. The last messages alone, and only while somebody asks, so
/// that a gateway nobody looks at spends nothing on it. Times are those at which the gateway heard of it.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "control/gateway/hub.h"
#include "control/gateway/sidecar_message.h"

namespace corelay::gateway {

class Arrivals final : public MessageObserver {
 public:
  static constexpr std::size_t messages_max = 64;
  static constexpr std::size_t preview_bytes_max = 160;
  static constexpr std::chrono::seconds watch_time{10};  // from the last look on

  /// What it is told as an observer goes on to `next`.
  explicit Arrivals(MessageObserver& next) : next_(next) {}

  void on_published(const std::string& id, const std::string& topic, std::size_t bytes, Instant now) override;
  void on_report(const std::string& id, const std::string& topic, std::size_t bytes, bool is_duplicate,
                 Instant now) override;
  /// A node, by its number among the gateway's, has a message. To be called before the hub is told.
  void on_arrival(unsigned node, const SidecarMessage& message, Instant now);

  /// The messages that have changed since the answer whose "next" was `after` (0: all), oldest first, as JSON. Starts
  /// the watch, or keeps it going. `epoch` tells this gateway's numbers from another's.
  [[nodiscard]] std::string changes_json(std::uint64_t after, std::string_view epoch, Instant now);

 private:
  using Key = std::pair<std::string, std::string>;  // topic, id
  struct Arrival {
    unsigned node = 0;
    Instant at{};
  };
  struct Entry {
    Instant began{};
    std::int64_t began_ms = 0;  // since 1970
    bool is_published_here = false;
    bool has_preview = false;  // it is text
    bool is_known = false;     // its payload has been looked at
    std::string preview;
    std::size_t bytes = 0;
    std::uint64_t nodes = 0;  // bit i: node i has it
    std::vector<Arrival> arrivals;
    std::uint64_t change = 0;
  };
  [[nodiscard]] bool is_watched(Instant now) const { return has_watcher_ && now - watched_at_ < watch_time; }
  Entry& entry_of(const std::string& topic, const std::string& id, Instant now);

  MessageObserver& next_;
  std::map<Key, Entry> entries_;
  std::deque<Key> order_;
  std::uint64_t change_ = 0;
  bool has_watcher_ = false;
  Instant watched_at_{};
};

}  // namespace corelay::gateway
