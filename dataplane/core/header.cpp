// The signed header byte by byte (proto/wire.md, "Message header and tag"), and SHA-256 by OpenSSL's direct calls: they
// use the SHA instructions where the CPU has them, and unlike EVP, which allocates for every hash, no memory.
#include "dataplane/core/header.h"

#define OPENSSL_SUPPRESS_DEPRECATED  // OpenSSL 3 would rather have everyone on EVP
#include <openssl/sha.h>
#include <sodium.h>

#include <cstring>
#include <initializer_list>

#include "codec/check.h"
#include "dataplane/core/frame.h"

namespace corelay::dataplane {
namespace {

constexpr std::uint8_t header_version = 1;
constexpr std::size_t topic_offset = 124;
constexpr std::size_t signature_bytes = 64;
constexpr std::size_t short_topic_offset = 50;
constexpr std::string_view signature_context = "corelay-header-1";
constexpr std::string_view tag_context = "corelay-tag-1";

/// Geometry as wire.md allows it, apart from `size_bytes`, which parse_header() has bounded.
bool is_geometry_valid(const MessageHeader& header) noexcept {
  if (header.k < 1 || header.k > k_wire_max) return false;
  if (header.generations < 1 || header.generations > generations_wire_max) return false;
  if (header.shard_bytes > shard_wire_bytes_max) return false;
  if (header.k == 1 && header.generations == 1) return header.shard_bytes == header.size_bytes;
  if (header.shard_bytes == 0 || header.shard_bytes % 64 != 0) return false;
  const std::uint64_t generation_bytes = std::uint64_t{header.k} * header.shard_bytes;
  return (header.generations - 1u) * generation_bytes < header.size_bytes &&
         header.size_bytes <= header.generations * generation_bytes;
}

template <std::size_t n>
void load(std::array<std::uint8_t, n>& to, const std::uint8_t* from) noexcept {
  std::memcpy(to.data(), from, n);
}

std::array<std::uint8_t, 32> sha256(std::initializer_list<Bytes> parts) noexcept {
  SHA256_CTX context;
  SHA256_Init(&context);
  for (const Bytes part : parts) SHA256_Update(&context, part.data(), part.size());
  std::array<std::uint8_t, 32> hash;
  SHA256_Final(hash.data(), &context);
  return hash;
}

template <std::size_t n>
std::array<std::uint8_t, n> first_bytes(const std::array<std::uint8_t, 32>& hash) noexcept {
  std::array<std::uint8_t, n> out;
  std::memcpy(out.data(), hash.data(), n);
  return out;
}

}  // namespace

std::optional<MessageHeader> parse_header(Bytes encoded) noexcept {
  if (encoded.size() < header_bytes_min || encoded[0] != header_version) return std::nullopt;
  MessageHeader header;
  header.topic_bytes = encoded[1];
  if (header.topic_bytes == 0 || encoded.size() != encoded_header_bytes(header)) return std::nullopt;
  header.k = load_le<std::uint16_t>(&encoded[2]);
  header.shard_bytes = load_le<std::uint16_t>(&encoded[4]);
  header.generations = load_le<std::uint16_t>(&encoded[6]);
  header.size_bytes = load_le<std::uint32_t>(&encoded[8]);
  header.sequence = load_le<std::uint64_t>(&encoded[12]);
  header.timestamp_ns = load_le<std::int64_t>(&encoded[20]);
  load(header.id, &encoded[28]);
  load(header.publisher, &encoded[60]);
  load(header.digest_root, &encoded[92]);
  std::memcpy(header.topic_text.data(), &encoded[topic_offset], header.topic_bytes);
  load(header.signature, &encoded[topic_offset + header.topic_bytes]);
  if (header.size_bytes > message_bytes_limit || !is_geometry_valid(header)) return std::nullopt;
  return header;
}

std::size_t encoded_header_bytes(const MessageHeader& header) noexcept {
  return topic_offset + header.topic_bytes + signature_bytes;
}

std::size_t write_header(const MessageHeader& header, std::uint8_t* out) noexcept {
  out[0] = header_version;
  out[1] = header.topic_bytes;
  store_le(out + 2, header.k);
  store_le(out + 4, header.shard_bytes);
  store_le(out + 6, header.generations);
  store_le(out + 8, header.size_bytes);
  store_le(out + 12, header.sequence);
  store_le(out + 20, header.timestamp_ns);
  std::memcpy(out + 28, header.id.data(), header.id.size());
  std::memcpy(out + 60, header.publisher.data(), header.publisher.size());
  std::memcpy(out + 92, header.digest_root.data(), header.digest_root.size());
  std::memcpy(out + topic_offset, header.topic_text.data(), header.topic_bytes);
  std::memcpy(out + topic_offset + header.topic_bytes, header.signature.data(), signature_bytes);
  return encoded_header_bytes(header);
}

std::size_t shorten_header(Bytes encoded, std::uint8_t* out) noexcept {
  CHECK(encoded.size() >= header_bytes_min && encoded.size() <= header_bytes_max);
  const std::size_t rest = encoded.size() - topic_offset;
  std::memcpy(out, encoded.data(), 2);            // version, topic length
  std::memcpy(out + 2, &encoded[12], 16);         // sequence, timestamp
  std::memcpy(out + 18, &encoded[60], 32);        // publisher
  std::memcpy(out + short_topic_offset, &encoded[topic_offset], rest);  // topic, signature
  return short_topic_offset + rest;
}

std::size_t lengthen_header(Bytes shortened, const MessageId& id, std::size_t size_bytes, std::uint8_t* out) noexcept {
  if (shortened.size() < short_header_bytes_min || shortened[0] != header_version) return 0;
  const std::size_t topic_bytes = shortened[1];
  if (topic_bytes == 0 || shortened.size() != short_topic_offset + topic_bytes + signature_bytes) return 0;
  std::memcpy(out, shortened.data(), 2);
  store_le(out + 2, std::uint16_t{1});
  store_le(out + 4, static_cast<std::uint16_t>(size_bytes));
  store_le(out + 6, std::uint16_t{1});
  store_le(out + 8, static_cast<std::uint32_t>(size_bytes));
  std::memcpy(out + 12, &shortened[2], 16);
  std::memcpy(out + 28, id.data(), id.size());
  std::memcpy(out + 60, &shortened[18], 32);
  const auto root = sha256({Bytes{id}.first(sizeof(Digest))});
  std::memcpy(out + 92, root.data(), root.size());
  std::memcpy(out + topic_offset, &shortened[short_topic_offset], topic_bytes + signature_bytes);
  return topic_offset + topic_bytes + signature_bytes;
}

std::size_t signed_bytes(Bytes encoded, std::span<std::uint8_t, signed_bytes_max> out) noexcept {
  CHECK(encoded.size() >= header_bytes_min && encoded.size() <= header_bytes_max);
  const std::size_t covered = encoded.size() - signature_bytes;
  std::memcpy(out.data(), signature_context.data(), signature_context.size());
  std::memcpy(out.data() + signature_context.size(), encoded.data(), covered);
  return signature_context.size() + covered;
}

bool verify_header(Bytes encoded) noexcept {
  static const bool ready = sodium_init() >= 0;
  CHECK(ready);
  if (encoded.size() < header_bytes_min || encoded.size() > header_bytes_max) return false;
  std::array<std::uint8_t, signed_bytes_max> message;
  const std::size_t message_bytes = signed_bytes(encoded, message);
  const std::uint8_t* const signature = encoded.data() + encoded.size() - signature_bytes;
  return crypto_sign_verify_detached(signature, message.data(), message_bytes, &encoded[60]) == 0;
}

MessageTag tag_of(const MessageId& id, std::string_view topic) noexcept {
  return first_bytes<16>(sha256({as_bytes(tag_context), id, as_bytes(topic)}));
}

TopicHash topic_hash(std::string_view topic) noexcept {
  return load_le<std::uint64_t>(sha256({as_bytes(topic)}).data());
}

Digest digest_of(Bytes bytes) noexcept { return first_bytes<16>(sha256({bytes})); }

struct Sha256::State {
  SHA256_CTX context;
};

Sha256::Sha256() : state_(std::make_unique<State>()) { reset(); }
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::reset() noexcept { SHA256_Init(&state_->context); }

void Sha256::update(Bytes bytes) noexcept { SHA256_Update(&state_->context, bytes.data(), bytes.size()); }

std::array<std::uint8_t, 32> Sha256::finish() noexcept {
  std::array<std::uint8_t, 32> hash;
  SHA256_Final(hash.data(), &state_->context);
  reset();
  return hash;
}

}  // namespace corelay::dataplane
