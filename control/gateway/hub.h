/// The heart of a gateway, without sockets, clocks or threads: who has subscribed to what, which nodes hold which
/// message, and what is delivered when. Everything runs on one thread; the time comes in by set_now().
///
/// Thresholds: a client that asks for the share X of n nodes gets a message once ceil(X·n) of them have reported it,
/// each node counting once. Where so many cannot be reached, fallback_ms after the first report it is delivered as soon
/// as every node that can be reached holds it.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "codec/expected.h"
#include "control/gateway/instant.h"
#include "control/gateway/peer_logs.h"
#include "control/gateway/publish_order.h"
#include "control/gateway/topic_log.h"

namespace corelay::gateway {

/// How a publish ended.
enum class PublishResult : std::uint8_t {
  published,
  deduplicated,  // the same bytes are under way or have been, within the time of deduplication
  no_node,       // none could be reached
  refused,       // a node refused it, and said why
  timed_out,     // no node answered in time
  not_assigned,  // nobody has subscribed to the topic here
  too_large,
  busy,  // too many are under way
};
struct PublishOutcome {
  PublishResult result = PublishResult::published;
  std::string message_id;
  std::string reason;
};
using PublishDone = std::function<void(const PublishOutcome&)>;

/// The nodes, as the hub needs them.
class Upstream {
 public:
  virtual ~Upstream() = default;
  virtual void subscribe(const std::string& topic) = 0;
  virtual void unsubscribe(const std::string& topic) = 0;
  /// Gives a message to one node; where that is lost before it answers, to another. `key` keeps to one node as long as
  /// it can be reached.
  virtual void publish(const std::string& topic, SharedBytes payload, const std::string& id, std::string_view key,
                       PublishDone done) = 0;
  /// A publish needs no answer any more.
  virtual void settled(const std::string& topic, const std::string& id) = 0;
  /// Bit i: node i can be reached.
  [[nodiscard]] virtual std::uint64_t reachable() const = 0;
};

/// Names are UTF-8 and no longer than this.
inline constexpr std::size_t client_id_bytes_max = 256;
inline constexpr std::size_t topic_bytes_max = 255;
/// Errors: invalid_argument. An empty ID is some caller's own business.
[[nodiscard]] Expected<void> check_client_id(std::string_view id);

struct HubParams {
  unsigned nodes = 1;
  std::string epoch;
  double threshold = 0.1;
  std::chrono::milliseconds fallback{2000};
  std::chrono::milliseconds order{1000};
  std::chrono::seconds dedup{120};
  std::chrono::seconds client_keep{3600};
  std::size_t dedup_messages_max = 262144;
  std::size_t message_bytes_max = 16u << 20;
  std::size_t in_flight_max = 4096;
  std::size_t in_flight_bytes_max = 256u << 20;
  bool unassigned_topics = false;
  LogBounds log;
  std::size_t total_bytes_max = 512u << 20;
  std::size_t topics_max = 4096;
  std::size_t topics_per_client_max = 1024;
  std::size_t clients_max = 100000;
};

struct HubCounts {
  std::uint64_t published = 0;
  std::uint64_t deduplicated = 0;
  std::uint64_t publish_failures = 0;
  std::uint64_t reports = 0;            // messages that nodes reported, once for each node
  std::uint64_t duplicate_reports = 0;  // a node reported a message twice
  std::uint64_t received = 0;           // different messages
  std::uint64_t received_bytes = 0;
  std::uint64_t delivered = 0;  // messages handed to readers, once for each
  std::uint64_t fallback_deliveries = 0;
  std::uint64_t lagged = 0;   // messages that left the window before a reader came to them
  std::uint64_t evicted = 0;  // messages that left a window
};

struct PublishRequest {
  std::string client;
  std::string topic;
  std::string payload;
  std::uint64_t timestamp = 0;  // makes equal bytes a message of their own, where it differs
  bool has_timestamp = false;
  bool no_dedup = false;
  PublishDone done;
};

/// Told of what happens to messages, for tracing.
class MessageObserver {
 public:
  virtual ~MessageObserver() = default;
  virtual void on_published(const std::string& id, const std::string& topic, std::size_t bytes, Instant now) = 0;
  virtual void on_report(const std::string& id, const std::string& topic, std::size_t bytes, bool is_duplicate,
                         Instant now) = 0;
};

struct Client;
struct Topic;
struct Seen;

/// The places of one reader in the logs it reads.
struct Feed {
  struct Cursor {
    std::shared_ptr<TopicLog> log;
    std::uint64_t next = 0;
    std::shared_ptr<std::unordered_set<std::uint64_t>> had;  // digests of what another gateway delivered already
  };
  Client* client = nullptr;  // null: of nobody, as an event stream without client_id
  Reader* reader = nullptr;
  Format format = Format::text;
  std::vector<Cursor> cursors;
};

class Hub {
 public:
  Hub(HubParams params, Upstream& upstream);
  ~Hub();
  Hub(const Hub&) = delete;
  Hub& operator=(const Hub&) = delete;

  void set_now(Instant now) noexcept { now_ = now; }
  /// What other gateways have delivered, for clients that come from them; and who tells them what is delivered here,
  /// before any client is.
  using OnDeliveries = std::function<void(const std::vector<DeliveryRecord>&)>;
  void set_peers(const PeerLogs* peers, OnDeliveries on_deliveries) {
    peers_ = peers;
    on_deliveries_ = std::move(on_deliveries);
  }
  void set_observer(MessageObserver* observer) noexcept { observer_ = observer; }

  /// From now on the client gets the topic's messages; again, to change the threshold (0: the default). Errors:
  /// invalid_argument (threshold), too_large (a bound, named).
  [[nodiscard]] Expected<void> subscribe(const std::string& client, const std::string& topic, double threshold);
  /// False where there was no such subscription.
  bool unsubscribe(const std::string& client, const std::string& topic);
  [[nodiscard]] std::vector<std::string> topics_of(const std::string& client) const;
  [[nodiscard]] std::vector<std::string> topics() const;
  /// Every subscription: client, topic, threshold.
  void each_subscription(const std::function<void(const std::string&, const std::string&, double)>& look) const;

  /// Opens a feed over all that a client is subscribed to, now and later, from where its last feed stopped, or from
  /// `position`. The reader outlives close().
  [[nodiscard]] Expected<Feed*> open(const std::string& client, Reader* reader, Format format,
                                     const Position& position);
  /// Opens a feed over one topic for nobody in particular, from now on or from `position`.
  [[nodiscard]] Expected<Feed*> open_topic(const std::string& topic, double threshold, Reader* reader, Format format,
                                           const Position& position);
  void close(Feed* feed);
  /// The next bytes for a feed, in the order of delivery over its topics; null when it has read everything.
  [[nodiscard]] SharedBytes next(Feed& feed);

  /// A node holds a message. `payload` is called only where this is the first to report it, and gives nothing where the
  /// bytes are no message.
  template <class Payload>
  void report(unsigned node, const std::string& topic, const std::string& id, const std::string& source,
              Payload payload);

  /// Errors, none of which call `done`: not_found (nobody has subscribed to the topic here), too_large, unavailable
  /// (too many are under way).
  [[nodiscard]] Expected<void> publish(PublishRequest request);
  [[nodiscard]] bool is_busy() const noexcept {
    return in_flight_ >= params_.in_flight_max || in_flight_bytes_ >= params_.in_flight_bytes_max;
  }

  /// Wakes the readers of everything delivered since the last call.
  void flush();
  /// Thresholds that fall back, publishers that wait, memory that is due: ten times a second.
  void tick();

  [[nodiscard]] const HubCounts& counts() const noexcept { return counts_; }
  [[nodiscard]] const HubParams& params() const noexcept { return params_; }
  [[nodiscard]] std::size_t client_count() const noexcept { return clients_.size(); }
  [[nodiscard]] std::size_t topic_count() const noexcept { return topics_.size(); }
  [[nodiscard]] std::size_t log_bytes() const noexcept { return log_bytes_; }
  [[nodiscard]] std::size_t in_flight() const noexcept { return in_flight_; }
  [[nodiscard]] unsigned level_of(double threshold) const noexcept;

 private:
  Client* client_of(const std::string& id);
  /// The client, made when it is new and there is room.
  Expected<Client*> enter(const std::string& id);
  [[nodiscard]] Expected<Topic*> topic_of(const std::string& name);
  std::shared_ptr<TopicLog> log_of(Topic& topic, unsigned level);
  void drop_cursor(Feed& feed, const TopicLog* log);
  /// Where a feed begins in a log; at index `otherwise` where no position is given.
  [[nodiscard]] Feed::Cursor cursor_of(const std::shared_ptr<TopicLog>& log, const Position& position,
                                       std::uint64_t otherwise) const;
  /// The next of one log: null where it is one that the reader has had, or was lost before it came to it.
  SharedBytes read(Feed& feed, Feed::Cursor& cursor);
  Feed* add_feed(Client* client, Reader* reader, Format format);

  Topic* find_topic(const std::string& name);
  /// True where this is the node's first report. `is_new`: nobody has reported it before.
  bool note_report(Topic& topic, unsigned node, const std::string& id, bool& is_new, Seen*& seen);
  void take_payload(Topic& topic, Seen& seen, const std::string& id, const std::string& source, std::string payload);
  void reach(Topic& topic, Seen& seen, unsigned nodes);
  void deliver(Topic& topic, unsigned level, const SharedMessage& message);
  void finish_publish(Topic& topic, const std::string& id, Seen& seen, PublishOutcome outcome);
  void send_publish(Topic& topic, const std::string& id, Seen& seen, PublishRequest request, SharedBytes bytes);
  void settle_alone(Topic& topic, const std::string& id, Seen& seen);
  void forget_seen(Topic& topic);
  void tick_topic(Topic& topic);
  void expire_clients();

  const HubParams params_;
  Upstream& upstream_;
  MessageObserver* observer_ = nullptr;
  const PeerLogs* peers_ = nullptr;
  OnDeliveries on_deliveries_;
  std::vector<DeliveryRecord> deliveries_;  // since the last flush
  Instant now_{};
  std::uint64_t offset_ = 0;
  std::uint64_t repeats_ = 0;  // messages made their own by no_dedup
  std::size_t log_bytes_ = 0;
  std::size_t in_flight_ = 0;
  std::size_t in_flight_bytes_ = 0;
  HubCounts counts_;
  std::unordered_map<std::string, std::unique_ptr<Client>> clients_;
  std::unordered_map<std::string, std::unique_ptr<Topic>> topics_;
  std::unordered_map<Feed*, std::unique_ptr<Feed>> feeds_;
  std::deque<std::pair<std::uint64_t, std::weak_ptr<TopicLog>>> by_age_;  // to let the oldest of all go first
  std::vector<std::shared_ptr<TopicLog>> dirty_;
  Instant expired_at_{};
};

template <class Payload>
void Hub::report(unsigned node, const std::string& topic_name, const std::string& id, const std::string& source,
                 Payload payload) {
  Topic* const topic = find_topic(topic_name);
  if (topic == nullptr) return;
  Seen* seen = nullptr;
  bool is_new = false;
  if (!note_report(*topic, node, id, is_new, seen)) return;
  if (is_new) {
    auto bytes = payload();
    if (!bytes) return;
    take_payload(*topic, *seen, id, source, std::move(*bytes));
  }
  reach(*topic, *seen, 0);
  if (params_.nodes == 1) settle_alone(*topic, id, *seen);
}

/// A payload that carries a number so that equal bytes are messages of their own, and what it carries. The mesh takes
/// equal bytes for one message; a gateway takes the wrapping off again.
[[nodiscard]] std::string wrap_payload(std::string_view payload, std::uint64_t number);
[[nodiscard]] std::string_view unwrap_payload(std::string_view bytes) noexcept;

}  // namespace corelay::gateway
