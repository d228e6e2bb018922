/// What is kept of a topic for its readers: messages in the order they are delivered, bounded in number and bytes.
/// Readers hold a place in it and nothing else, so that a slow one costs nobody anything: what it has not read when it
/// leaves the log is counted to it as lagged. A message is encoded once for each format and shared by all who read it.
///
/// A topic has a log for each number of nodes that some client waits for ("level"): a message enters it when that many
/// nodes hold the message.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

namespace corelay::gateway {

/// One message, shared and never changed.
struct Message {
  std::string topic;
  std::string payload;
  std::string id;      // hex
  std::string source;  // the publishing node's peer id
};
using SharedMessage = std::shared_ptr<const Message>;
using SharedBytes = std::shared_ptr<const std::string>;

/// How a reader wants its messages. The first two are WebSocket frames, ready to be written.
enum class Format : std::uint8_t { text, json, sse_text, sse_json, grpc };
inline constexpr std::size_t format_count = 5;

class TopicLog;

/// How far a reader has come in what a gateway delivers: everything up to and with `offset`. The epoch names the
/// gateway's run; empty: the one that is asked.
struct Position {
  std::string epoch;
  std::uint64_t offset = 0;  // 0: not given
};

/// Somebody who reads logs. wake() says that there is more to read; it is called once for a burst of messages.
class Reader {
 public:
  virtual void wake() = 0;

 protected:
  ~Reader() = default;
};

struct LogBounds {
  std::size_t messages_max = 65536;
  std::size_t bytes_max = 64u << 20;
};

class TopicLog {
 public:
  struct Item {
    std::uint64_t offset = 0;  // counts over all logs of a gateway, rising
    SharedMessage message;
    std::array<SharedBytes, format_count> encoded;
  };

  /// `total` counts the bytes of all logs together and outlives them.
  TopicLog(std::string topic, unsigned level, LogBounds bounds, std::size_t& total)
      : topic_(std::move(topic)), level_(level), bounds_(bounds), total_(total) {}
  ~TopicLog() { total_ -= bytes_; }
  TopicLog(const TopicLog&) = delete;
  TopicLog& operator=(const TopicLog&) = delete;

  [[nodiscard]] const std::string& topic() const noexcept { return topic_; }
  [[nodiscard]] unsigned level() const noexcept { return level_; }

  /// Indexes count from 0 at the log's start; [first, end) can be read.
  [[nodiscard]] std::uint64_t first() const noexcept { return first_; }
  [[nodiscard]] std::uint64_t end() const noexcept { return first_ + items_.size(); }
  [[nodiscard]] const Item& at(std::uint64_t index) const { return items_[static_cast<std::size_t>(index - first_)]; }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

  /// Adds a message; `offset` is above every one before. Returns how many old ones had to go.
  std::size_t append(std::uint64_t offset, SharedMessage message);
  /// Lets the oldest go.
  void drop_first();
  /// The bytes of an item in a format, encoded by the first who asks.
  [[nodiscard]] const SharedBytes& encoded(std::uint64_t index, Format format, std::string_view epoch);

  /// Where a reader that has had everything up to and with `offset` goes on, and how many it has missed for good.
  struct Place {
    std::uint64_t index = 0;
    std::uint64_t missed = 0;
  };
  [[nodiscard]] Place after(std::uint64_t offset) const;

  void add(Reader* reader) { readers_.push_back(reader); }
  void remove(Reader* reader);
  [[nodiscard]] const std::vector<Reader*>& readers() const noexcept { return readers_; }
  bool is_dirty = false;  // has messages that its readers were not woken for

 private:
  [[nodiscard]] static std::size_t bytes_of(const Item& item);
  void count_bytes(std::size_t added, std::size_t gone) noexcept {
    bytes_ += added - gone;
    total_ += added - gone;
  }

  const std::string topic_;
  const unsigned level_;
  const LogBounds bounds_;
  std::size_t& total_;
  std::deque<Item> items_;
  std::uint64_t first_ = 0;
  std::size_t bytes_ = 0;
  std::deque<std::uint64_t> gone_;  // offsets of what was let go of last, to count what a reader missed
  std::vector<Reader*> readers_;
};

}  // namespace corelay::gateway
