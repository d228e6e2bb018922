#include "control/node/response.h"

#include <array>
#include <chrono>
#include <nlohmann/json.hpp>

#include "control/daemon/proto_fields.h"
#include "proto/trace.pb.h"

namespace corelay::node {
namespace {

using optimum::pb::TraceEvent;

// Two base64 characters for each 12 bits.
using PairTable = std::array<std::array<char, 2>, 4096>;
constexpr PairTable make_pairs() {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  PairTable table{};
  for (std::size_t i = 0; i < table.size(); ++i) table[i] = {digits[i >> 6], digits[i & 63]};
  return table;
}
constexpr PairTable pairs = make_pairs();

void append_base64(Bytes bytes, std::string& out) {
  const std::size_t start = out.size();
  out.resize(start + (bytes.size() + 2) / 3 * 4, '=');
  char* to = out.data() + start;
  const std::uint8_t* from = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 3; left -= 3, from += 3, to += 4) {
    const std::uint32_t bits =
        static_cast<std::uint32_t>(from[0]) << 16 | static_cast<std::uint32_t>(from[1]) << 8 | from[2];
    const auto& high = pairs[bits >> 12];
    const auto& low = pairs[bits & 4095];
    to[0] = high[0];
    to[1] = high[1];
    to[2] = low[0];
    to[3] = low[1];
  }
  if (left == 0) return;
  const std::uint32_t second = left == 2 ? from[1] : 0U;
  const std::uint32_t bits = static_cast<std::uint32_t>(from[0]) << 16 | second << 8;
  to[0] = pairs[bits >> 12][0];
  to[1] = pairs[bits >> 12][1];
  if (left == 2) to[2] = pairs[bits & 4095][0];
}

std::string json_text(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string text_of(const libp2p::PeerId& peer) { return std::string(as_text(peer.bytes())); }

TraceEvent event_of(const libp2p::PeerId& self, TraceEvent::Type type) {
  TraceEvent event;
  event.set_type(type);
  event.set_peerid(text_of(self));
  event.set_timestamp(std::chrono::duration_cast<std::chrono::nanoseconds>(
                          std::chrono::system_clock::now().time_since_epoch())
                          .count());
  return event;
}

SharedResponse encoded(const TraceEvent& event) {
  return encode_response(ResponseKind::trace, event.SerializeAsString());
}

/// Trace topics are protobuf strings, which must be UTF-8: others are shown as the JSON shows them.
std::string trace_topic(std::string_view topic) {
  const std::string text = json_text(topic);
  return nlohmann::json::parse(text).get<std::string>();
}

}  // namespace

std::string base64(Bytes bytes) {
  std::string out;
  append_base64(bytes, out);
  return out;
}

SharedResponse encode_response(ResponseKind kind, std::string_view data) {
  std::string out;
  out.reserve(data.size() + 16);
  out.push_back('\x08');  // field 1, varint
  out.push_back(static_cast<char>(kind));
  daemon::append_field_head(2, data.size(), out);
  out += data;
  return std::make_shared<const std::string>(std::move(out));
}

std::string message_json(const DeliveredMessage& message) {
  const std::string id = json_text(to_hex(message.id));
  const std::string source = json_text(message.source_peer);
  std::string out;
  out.reserve(message.payload.size() / 3 * 4 + 512 + message.topic.size());
  out += "{\"topic\":" + json_text(message.topic) + ",\"message\":\"";
  append_base64(message.payload, out);
  out += "\",\"message_id\":" + id + ",\"MessageID\":" + id + ",\"source_node_id\":" + source +
         ",\"SourceNodeID\":" + source;
  if (!message.upstream_peer.empty()) out += ",\"upstream_peer_id\":" + json_text(message.upstream_peer);
  out += '}';
  return out;
}

SharedResponse encode_delivery(const DeliveredMessage& message) {
  std::string out;
  out.reserve(message.topic.size() + message.id.size() + message.source_peer.size() + message.payload.size() +
              4 * daemon::field_head_bytes_max);
  const auto put = [&](unsigned number, std::string_view bytes) {
    daemon::append_field_head(number, bytes.size(), out);
    out += bytes;
  };
  put(1, message.topic);
  put(2, as_text(message.id));
  put(3, message.source_peer);
  put(4, as_text(message.payload));
  return std::make_shared<const std::string>(std::move(out));
}

SharedResponse Tracer::published(const dataplane::MessageId& id, std::string_view topic) const {
  TraceEvent event = event_of(self_, TraceEvent::PUBLISH_MESSAGE);
  event.mutable_publishmessage()->set_messageid(to_hex(id));
  event.mutable_publishmessage()->set_topic(trace_topic(topic));
  return encoded(event);
}

SharedResponse Tracer::rejected(const dataplane::MessageId& id, std::string_view topic, std::string_view reason) const {
  TraceEvent event = event_of(self_, TraceEvent::REJECT_MESSAGE);
  auto& reject = *event.mutable_rejectmessage();
  reject.set_messageid(to_hex(id));
  reject.set_receivedfrom(text_of(self_));
  reject.set_reason(std::string(reason));
  reject.set_topic(trace_topic(topic));
  return encoded(event);
}

SharedResponse Tracer::delivered(const dataplane::MessageId& id, std::string_view topic,
                                 const libp2p::PeerId& from) const {
  TraceEvent event = event_of(self_, TraceEvent::DELIVER_MESSAGE);
  auto& deliver = *event.mutable_delivermessage();
  deliver.set_messageid(to_hex(id));
  deliver.set_topic(trace_topic(topic));
  deliver.set_receivedfrom(text_of(from));
  return encoded(event);
}

SharedResponse Tracer::shard(const dataplane::ShardTraced& shard, std::string_view topic,
                             const libp2p::PeerId& from) const {
  using dataplane::ShardTrace;
  if (shard.kind == ShardTrace::duplicate_message) {
    TraceEvent event = event_of(self_, TraceEvent::DUPLICATE_MESSAGE);
    auto& duplicate = *event.mutable_duplicatemessage();
    duplicate.set_messageid(to_hex(shard.id));
    duplicate.set_receivedfrom(text_of(from));
    duplicate.set_topic(trace_topic(topic));
    return encoded(event);
  }
  const bool is_fresh = shard.kind == ShardTrace::fresh;
  const bool is_redundant = shard.kind == ShardTrace::redundant;
  TraceEvent event = event_of(self_, is_fresh       ? TraceEvent::NEW_SHARD
                                     : is_redundant ? TraceEvent::UNHELPFUL_SHARD
                                                    : TraceEvent::UNNECESSARY_SHARD);
  auto& container = is_fresh       ? *event.mutable_newshard()
                    : is_redundant ? *event.mutable_unhelpfulshard()
                                   : *event.mutable_unnecessaryshard();
  container.set_messageid(to_hex(shard.id));
  container.set_receivedfrom(text_of(from));
  return encoded(event);
}

SharedResponse Tracer::mesh(const mesh::Traced& traced) const {
  using mesh::MeshTrace;
  std::string peer;
  if (const auto id = libp2p::PeerId::parse(traced.peer)) peer = text_of(*id);
  const std::string topic = trace_topic(traced.topic);
  TraceEvent event;
  switch (traced.kind) {
    case MeshTrace::add_peer:
      event = event_of(self_, TraceEvent::ADD_PEER);
      event.mutable_addpeer()->set_peerid(peer);
      event.mutable_addpeer()->set_proto("/corelay/mesh/1");
      break;
    case MeshTrace::remove_peer:
      event = event_of(self_, TraceEvent::REMOVE_PEER);
      event.mutable_removepeer()->set_peerid(peer);
      break;
    case MeshTrace::join:
      event = event_of(self_, TraceEvent::JOIN);
      event.mutable_join()->set_topic(topic);
      break;
    case MeshTrace::leave:
      event = event_of(self_, TraceEvent::LEAVE);
      event.mutable_leave()->set_topic(topic);
      break;
    case MeshTrace::graft:
      event = event_of(self_, TraceEvent::GRAFT);
      event.mutable_graft()->set_peerid(peer);
      event.mutable_graft()->set_topic(topic);
      break;
    case MeshTrace::prune:
      event = event_of(self_, TraceEvent::PRUNE);
      event.mutable_prune()->set_peerid(peer);
      event.mutable_prune()->set_topic(topic);
      break;
  }
  return encoded(event);
}

}  // namespace corelay::node
