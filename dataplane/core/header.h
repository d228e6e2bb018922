/// The signed message header: bytes, limits, signature, tag; and the hashes the data plane checks payloads with.
/// Ed25519 by libsodium, SHA-256 by OpenSSL (it uses the SHA instructions).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "codec/bytes.h"
#include "dataplane/message.h"

namespace corelay::dataplane {

/// Parses an encoded header and checks everything but the signature: version, lengths, geometry, limits of wire.md.
[[nodiscard]] std::optional<MessageHeader> parse_header(Bytes encoded) noexcept;

/// Bytes an encoded header takes: 124 + topic + 64.
[[nodiscard]] std::size_t encoded_header_bytes(const MessageHeader& header) noexcept;

/// Writes the header, its signature field included, at `out` (encoded_header_bytes()). Returns the bytes written.
std::size_t write_header(const MessageHeader& header, std::uint8_t* out) noexcept;

/// The short form of an encoded header with k = generations = 1: what its payload does not say. Writes it at `out`
/// (short_header_bytes_max at most) and returns the bytes written.
std::size_t shorten_header(Bytes encoded, std::uint8_t* out) noexcept;

/// The encoded header of a message that travels whole, from its short form and its payload's size and SHA-256. Writes
/// it at `out` (header_bytes_max at most) and returns the bytes written; 0 when the short form is malformed.
std::size_t lengthen_header(Bytes shortened, const MessageId& id, std::size_t size_bytes, std::uint8_t* out) noexcept;

/// Most bytes a publisher signs: the 16-byte context and a header without its signature.
inline constexpr std::size_t signed_bytes_max = 16 + 124 + topic_bytes_max;

/// Writes what the publisher signs for an encoded header at `out`: "corelay-header-1" and the header without its
/// signature field, whose content does not matter. Returns the bytes written.
std::size_t signed_bytes(Bytes encoded, std::span<std::uint8_t, signed_bytes_max> out) noexcept;

/// True when the signature holds. Cost: one Ed25519 verification, 40-70 us.
[[nodiscard]] bool verify_header(Bytes encoded) noexcept;

[[nodiscard]] MessageTag tag_of(const MessageId& id, std::string_view topic) noexcept;
[[nodiscard]] TopicHash topic_hash(std::string_view topic) noexcept;

/// First 16 bytes of SHA-256.
[[nodiscard]] Digest digest_of(Bytes bytes) noexcept;

/// SHA-256 in steps. Allocates in the constructor only. finish() leaves it ready for the next hash.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  void reset() noexcept;
  void update(Bytes bytes) noexcept;
  [[nodiscard]] std::array<std::uint8_t, 32> finish() noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace corelay::dataplane
