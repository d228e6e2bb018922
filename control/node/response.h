/// What the sidecar sends: encoded Response messages (proto/sidecar.proto), made once and shared by every stream that
/// gets them. Without gRPC, so that it can be tested and timed alone.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "codec/bytes.h"
#include "control/libp2p/identity.h"
#include "control/mesh/mesh.h"
#include "dataplane/event.h"
#include "dataplane/message.h"

namespace corelay::node {

/// An encoded Response. Shared, never changed.
using SharedResponse = std::shared_ptr<const std::string>;

enum class ResponseKind : std::uint8_t { message = 1, trace = 2 };  // ResponseType of the API

/// Encodes Response{command: kind, data}.
[[nodiscard]] SharedResponse encode_response(ResponseKind kind, std::string_view data);

/// A delivered message as the API's clients read it. Both generations of field names are there:
/// {"topic","message","message_id","MessageID","source_node_id","SourceNodeID","upstream_peer_id"}, `message` in
/// base64, ids in hex and base58; upstream_peer_id is left out where it is empty. A topic that is not UTF-8 shows
/// U+FFFD.
struct DeliveredMessage {
  std::string_view topic;
  Bytes payload;
  dataplane::MessageId id{};
  std::string_view source_peer;
  std::string_view upstream_peer;
};
[[nodiscard]] std::string message_json(const DeliveredMessage& message);
/// The same as an encoded Delivery (proto/sidecar.proto).
[[nodiscard]] SharedResponse encode_delivery(const DeliveredMessage& message);

[[nodiscard]] std::string base64(Bytes bytes);

/// Makes trace events (proto/trace.proto), each a ready Response. Message ids are in them as the JSON has them (hex
/// text), peers as multihash bytes.
class Tracer {
 public:
  explicit Tracer(libp2p::PeerId self) : self_(std::move(self)) {}

  [[nodiscard]] SharedResponse published(const dataplane::MessageId& id, std::string_view topic) const;
  [[nodiscard]] SharedResponse rejected(const dataplane::MessageId& id, std::string_view topic,
                                        std::string_view reason) const;
  [[nodiscard]] SharedResponse delivered(const dataplane::MessageId& id, std::string_view topic,
                                         const libp2p::PeerId& from) const;
  [[nodiscard]] SharedResponse shard(const dataplane::ShardTraced& shard, std::string_view topic,
                                     const libp2p::PeerId& from) const;
  /// Of the mesh: peers, topics, grafts and prunes.
  [[nodiscard]] SharedResponse mesh(const mesh::Traced& traced) const;

 private:
  libp2p::PeerId self_;
};

}  // namespace corelay::node
