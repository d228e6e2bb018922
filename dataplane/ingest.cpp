// From payload to PreparedMessage. The geometry is a function of size, topic and settings alone; the message then is
// hashed twice (id and generation digests) and signed.
#include "dataplane/ingest.h"

#include <algorithm>
#include <string>
#include <utility>

#include "codec/check.h"
#include "codec/coefficients.h"
#include "dataplane/core/frame.h"
#include "dataplane/core/header.h"
#include "dataplane/core/session_table.h"

namespace corelay::dataplane {
namespace {

constexpr std::size_t short_header_without_topic_bytes = short_header_bytes_min - 1;

constexpr std::size_t ceil_div(std::size_t a, std::size_t b) noexcept { return (a + b - 1) / b; }

/// The largest shard whose vector-form frame with k coefficients fits the MTU; 0 where none does.
std::size_t shard_bytes_for(std::size_t k, std::size_t path_mtu_bytes) noexcept {
  const std::size_t around = datagram_overhead_bytes + frame_prefix_bytes + codec::packed_bytes(k);
  if (path_mtu_bytes <= around) return 0;
  return std::min((path_mtu_bytes - around) / 64 * 64, shard_wire_bytes_max);
}

/// The least k that `generations` generations need for `size_bytes`; 0 where 128 shards are not enough. More
/// coefficients leave less room for the shard, so k is raised until both agree.
std::size_t k_for(std::size_t size_bytes, std::size_t generations, std::size_t path_mtu_bytes) noexcept {
  std::size_t k = 1;
  while (k <= k_wire_max) {
    const std::size_t shard = shard_bytes_for(k, path_mtu_bytes);
    if (shard == 0) return 0;
    const std::size_t needed = ceil_div(size_bytes, generations * shard);
    if (needed <= k) return k;
    k = needed;
  }
  return 0;
}

std::vector<Digest> digest_generations(Bytes payload, const MessageHeader& header) {
  const std::size_t generation_bytes = std::size_t{header.k} * header.shard_bytes;
  std::vector<Digest> digests;
  digests.reserve(header.generations);
  Sha256 sha;
  for (std::size_t g = 0; g != header.generations; ++g) {
    const Bytes rest = payload.subspan(g * generation_bytes);
    const Bytes bytes = rest.first(std::min(rest.size(), generation_bytes));
    sha.update(bytes);
    sha.update(std::vector<std::uint8_t>(generation_bytes - bytes.size()));
    const auto hash = sha.finish();
    Digest& digest = digests.emplace_back();
    std::copy_n(hash.begin(), digest.size(), digest.begin());
  }
  return digests;
}

Expected<Geometry> admit(std::size_t size_bytes, std::string_view topic, const RelayParams& params) {
  if (topic.empty() || topic.size() > topic_bytes_max) {
    return fail(ErrorCode::invalid_argument, "publish",
                "topic of " + std::to_string(topic.size()) + " bytes: a topic has 1 to 255 bytes");
  }
  if (size_bytes > params.wire.message_bytes_max) {
    return fail(ErrorCode::too_large, "publish",
                "message of " + std::to_string(size_bytes) + " bytes is over message_bytes_max (" +
                    std::to_string(params.wire.message_bytes_max) +
                    " bytes); raise message_bytes_max on every node of the mesh or send less");
  }
  const Geometry geometry = choose_geometry(size_bytes, topic.size(), params);
  if (geometry.generations == 0) {
    return fail(ErrorCode::too_large, "publish",
                "message of " + std::to_string(size_bytes) + " bytes is over what the data wire carries (" +
                    std::to_string(message_bytes_limit) +
                    " bytes, and 1024 generations of 128 shards at path_mtu_bytes " +
                    std::to_string(params.path_mtu_bytes) + "); send less or raise path_mtu_bytes");
  }
  return geometry;
}

}  // namespace

Geometry choose_geometry(std::size_t size_bytes, std::size_t topic_bytes, const RelayParams& params) noexcept {
  const std::size_t mtu = params.path_mtu_bytes;
  const std::size_t single_bytes =
      datagram_overhead_bytes + frame_prefix_bytes + short_header_without_topic_bytes + topic_bytes + size_bytes;
  if (single_bytes <= mtu && size_bytes <= shard_wire_bytes_max) {
    return {1, static_cast<std::uint16_t>(size_bytes), 1};
  }
  const Geometry none{0, 0, 0};
  const std::size_t k_target = std::clamp<std::size_t>(params.shards_target, 1, k_wire_max);
  const std::size_t shard_target = shard_bytes_for(k_target, mtu);
  if (size_bytes == 0 || size_bytes > message_bytes_limit || shard_target == 0) return none;

  const std::size_t rows_target = ceil_div(size_bytes, shard_target);
  std::size_t generations = std::clamp<std::size_t>((rows_target + k_target / 2) / k_target, 1, generations_wire_max);
  std::size_t k = k_for(size_bytes, generations, mtu);
  while (k == 0 && generations < generations_wire_max) k = k_for(size_bytes, ++generations, mtu);
  if (k == 0) return none;
  if (k > k_target && generations < generations_wire_max) {
    // A few shards over the target may cost 64 bytes of every shard; one more generation then is the better choice,
    // unless it leaves generations far below the target.
    const std::size_t fewer = k_for(size_bytes, generations + 1, mtu);
    if (4 * fewer >= 3 * k_target && shard_bytes_for(fewer, mtu) > shard_bytes_for(k, mtu)) k = fewer;
  }

  // k = generations = 1 means a single frame, so what is too big for one takes at least two shards.
  if (k == 1 && generations == 1) k = 2;
  // The shortest shard that still holds the message saves the padding; dividing again keeps the geometry tight.
  generations = ceil_div(size_bytes, k * shard_bytes_for(k, mtu));
  const std::size_t shard = ceil_div(ceil_div(size_bytes, k * generations), 64) * 64;
  return {static_cast<std::uint16_t>(k), static_cast<std::uint16_t>(shard), static_cast<std::uint16_t>(generations)};
}

Expected<PreparedMessage> prepare_message(std::vector<std::uint8_t> payload, std::string_view topic,
                                          const PublisherKey& publisher, std::uint64_t sequence,
                                          std::int64_t timestamp_ns, const RelayParams& params, const Signer& sign) {
  const Expected<Geometry> geometry = admit(payload.size(), topic, params);
  if (!geometry) return tl::make_unexpected(geometry.error());

  PreparedMessage message;
  MessageHeader& header = message.header;
  Sha256 sha;
  sha.update(payload);
  header.id = sha.finish();
  header.publisher = publisher;
  header.sequence = sequence;
  header.timestamp_ns = timestamp_ns;
  header.size_bytes = static_cast<std::uint32_t>(payload.size());
  header.k = geometry->k;
  header.shard_bytes = geometry->shard_bytes;
  header.generations = geometry->generations;
  header.topic_bytes = static_cast<std::uint8_t>(topic.size());
  std::copy(topic.begin(), topic.end(), header.topic_text.begin());

  message.digests = digest_generations(payload, header);
  for (const Digest& digest : message.digests) sha.update(digest);
  header.digest_root = sha.finish();

  message.encoded_header.resize(encoded_header_bytes(header));
  write_header(header, message.encoded_header.data());
  std::array<std::uint8_t, signed_bytes_max> to_sign;
  header.signature = sign({to_sign.data(), signed_bytes(message.encoded_header, to_sign)});
  write_header(header, message.encoded_header.data());

  message.tag = tag_of(header.id, topic);
  message.topic_hash = topic_hash(topic);
  message.payload = std::move(payload);
  return message;
}

}  // namespace corelay::dataplane
