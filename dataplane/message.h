/// A message as both planes know it: its signed header, its identity, and views of its payload.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "codec/bytes.h"
#include "dataplane/instant.h"

namespace corelay::dataplane {

using MessageId = std::array<std::uint8_t, 32>;     // SHA-256 of the payload
using MessageTag = std::array<std::uint8_t, 16>;    // names one message on one topic on the wire, see tag_of()
using PublisherKey = std::array<std::uint8_t, 32>;  // Ed25519 public key
using Signature = std::array<std::uint8_t, 64>;     // Ed25519
using Digest = std::array<std::uint8_t, 16>;        // SHA-256 of one generation's bytes, first 16

inline constexpr std::size_t topic_bytes_max = 255;
inline constexpr std::size_t message_bytes_limit = 64 * 1024 * 1024;  // what the wire can say; settings go lower

/// Identifies a topic inside the data plane: the first 8 bytes of SHA-256(topic), little-endian.
using TopicHash = std::uint64_t;

/// Everything the publisher signs about a message. Fixed size: the data plane keeps these in its message table.
struct MessageHeader {
  MessageId id{};
  PublisherKey publisher{};
  std::array<std::uint8_t, 32> digest_root{};  // SHA-256 of all generation digests, in order
  std::uint64_t sequence = 0;                  // the publisher's counter, starts at its start time in ns
  std::int64_t timestamp_ns = 0;               // publisher's wall clock, Unix epoch
  std::uint32_t size_bytes = 0;                // of the payload, 0 is allowed
  std::uint16_t k = 1;                         // shards in every generation
  std::uint16_t shard_bytes = 0;               // bytes of every shard; the tail of the last is zero padding
  std::uint16_t generations = 1;               // generation g holds payload bytes [g*k*shard_bytes, ...)
  std::uint8_t topic_bytes = 0;                // 1..255
  std::array<char, topic_bytes_max> topic_text{};
  Signature signature{};

  [[nodiscard]] std::string_view topic() const noexcept { return {topic_text.data(), topic_bytes}; }
};

/// A message ready to enter the data plane: header signed, geometry chosen, generations hashed. Made by
/// prepare_message() (dataplane/ingest.h) on a control thread.
struct PreparedMessage {
  MessageHeader header;
  MessageTag tag{};
  TopicHash topic_hash = 0;
  std::vector<std::uint8_t> encoded_header;  // proto/wire.md "Signed header", signature included
  std::vector<Digest> digests;               // one a generation
  std::vector<std::uint8_t> payload;         // header.size_bytes
  std::uint64_t cookie = 0;                  // the caller's, returned with the outcome
};

/// A complete, verified message inside the data plane. Its rows stay as they are until control sends
/// Command::release with the same handle.
struct MessageView {
  const MessageHeader* header = nullptr;
  const std::uint8_t* const* const* rows = nullptr;  // rows[g][i]: shard i of generation g
  MessageTag tag{};
  std::uint32_t handle = 0;
  Instant first_seen{};
  Instant completed{};
};

/// Copies the payload of `message` to `out`, which holds at least header->size_bytes.
inline void copy_payload(const MessageView& message, std::span<std::uint8_t> out) noexcept {
  const std::size_t shard = message.header->shard_bytes;
  const std::size_t k = message.header->k;
  std::size_t left = message.header->size_bytes;
  for (std::size_t i = 0; left != 0; ++i) {
    const std::size_t take = left < shard ? left : shard;
    std::memcpy(out.data() + i * shard, message.rows[i / k][i % k], take);
    left -= take;
  }
}

}  // namespace corelay::dataplane
