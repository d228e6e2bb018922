#include "control/node/deliveries.h"

#include <boost/asio/post.hpp>

namespace corelay::node {
namespace {

constexpr std::size_t ids_max = 256;

}  // namespace

std::size_t RecentTags::Hash::operator()(const dataplane::MessageTag& tag) const noexcept {
  return load_le<std::size_t>(tag.data());  // a tag is a hash already
}

bool RecentTags::note(const dataplane::MessageTag& tag, dataplane::Instant now) {
  while (!order_.empty() && (now - order_.front().first > time_ || order_.size() >= tags_max_)) {
    tags_.erase(order_.front().second);
    order_.pop_front();
  }
  if (!tags_.insert(tag).second) return false;
  order_.emplace_back(now, tag);
  return true;
}

Deliveries::Deliveries(boost::asio::io_context& io, boost::asio::thread_pool& pool, CommandQueue& commands,
                       const Tracer& tracer, libp2p::PeerId self, RecentTags recent, OwnBounds bounds,
                       bool has_traces)
    : io_(io),
      strand_(boost::asio::make_strand(pool.get_executor())),
      commands_(commands),
      tracer_(tracer),
      self_(std::move(self)),
      recent_(std::move(recent)),
      bounds_(bounds),
      has_traces_(has_traces) {}

void Deliveries::take(const dataplane::Delivered& delivered, const SubscriberList& clients,
                      const libp2p::PeerId& upstream, dataplane::Instant now) {
  const dataplane::MessageView view = delivered.message;
  remember(view.header->id);
  if (!recent_.note(view.tag, now) || !clients) {
    commands_.lane(view.tag, dataplane::Release{view.handle});
    return;
  }
  // Made now: it tells when the message came, not when its turn came to be encoded.
  const SharedResponse trace =
      has_traces_ ? tracer_.delivered(view.header->id, view.header->topic(), upstream) : nullptr;
  boost::asio::post(strand_, [this, view, clients, upstream, trace] {
    std::vector<std::uint8_t> payload(view.header->size_bytes);
    dataplane::copy_payload(view, payload);
    const auto source = libp2p::PeerId::from_ed25519(view.header->publisher);
    const std::string topic(view.header->topic());
    const dataplane::MessageId id = view.header->id;
    boost::asio::post(io_, [this, view] { commands_.lane(view.tag, dataplane::Release{view.handle}); });
    hand_out(*clients, {topic, payload, id, source.text(), upstream.is_empty() ? "" : upstream.text()}, trace);
  });
}

Expected<void> Deliveries::take_own(const std::shared_ptr<const dataplane::PreparedMessage>& message,
                                    const SubscriberList& clients, dataplane::Instant now) {
  const std::size_t bytes = own_bytes_waiting_.load(std::memory_order_relaxed);
  if (clients && (own_waiting() >= bounds_.messages_max ||
                  (bytes != 0 && bytes + message->payload.size() > bounds_.bytes_max))) {
    return fail(ErrorCode::unavailable, "publish",
                "local clients of the topic have not been given the messages before this one yet "
                "(publish.in_flight_max, publish.in_flight_bytes_max); try again");
  }
  remember(message->header.id);
  if (!clients || !recent_.note(message->tag, now)) return {};
  own_waiting_.fetch_add(1, std::memory_order_relaxed);
  own_bytes_waiting_.fetch_add(message->payload.size(), std::memory_order_relaxed);
  const SharedResponse trace =
      has_traces_ ? tracer_.delivered(message->header.id, message->header.topic(), self_) : nullptr;
  boost::asio::post(strand_, [this, message, clients, trace] {
    own_waiting_.fetch_sub(1, std::memory_order_relaxed);
    own_bytes_waiting_.fetch_sub(message->payload.size(), std::memory_order_relaxed);
    hand_out(*clients, {message->header.topic(), message->payload, message->header.id, self_.text(), ""}, trace);
  });
  return {};
}

void Deliveries::remember(const dataplane::MessageId& id) {
  if (ids_.size() == ids_max) ids_.pop_front();
  ids_.push_back(id);
}

std::vector<std::string> Deliveries::recent_ids() const {
  std::vector<std::string> ids;
  ids.reserve(ids_.size());
  for (const auto& id : ids_) ids.push_back(to_hex(id));
  return ids;
}

void Deliveries::hand_out(const std::vector<SubscriberPtr>& clients, const DeliveredMessage& message,
                          const SharedResponse& trace) {
  SharedResponse response;
  SharedResponse delivery;
  for (const auto& client : clients) {
    if (client->wants_deliveries()) {
      if (!delivery) delivery = encode_delivery(message);
    } else if (!response) {
      response = encode_response(ResponseKind::message, message_json(message));
    }
    client->on_message(client->wants_deliveries() ? delivery : response);
    if (trace) client->on_trace(trace);
  }
  delivered_.fetch_add(clients.size(), std::memory_order_relaxed);
}

}  // namespace corelay::node
