/// Who a node is: an Ed25519 key pair and the libp2p peer id made from its public key.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "codec/bytes.h"
#include "codec/expected.h"

namespace corelay::libp2p {

/// A peer id: the multihash bytes. Compared and hashed as bytes; shown in base58 ("12D3Koo...").
class PeerId {
 public:
  PeerId() = default;
  /// Accepts base58btc multihash text and CIDv1 base32 ("bafz..."). Errors: malformed.
  [[nodiscard]] static Expected<PeerId> parse(std::string_view text);
  /// From multihash bytes. Errors: malformed.
  [[nodiscard]] static Expected<PeerId> from_bytes(Bytes multihash);
  /// From a 32-byte Ed25519 public key.
  [[nodiscard]] static PeerId from_ed25519(Bytes public_key);

  [[nodiscard]] std::string text() const;  // base58btc
  [[nodiscard]] Bytes bytes() const noexcept { return bytes_; }
  [[nodiscard]] bool is_empty() const noexcept { return bytes_.empty(); }
  /// The Ed25519 public key inside an identity multihash, or empty where the id is a hash of a key.
  [[nodiscard]] Bytes ed25519_key() const noexcept;

  friend auto operator<=>(const PeerId&, const PeerId&) = default;
  friend bool operator==(const PeerId&, const PeerId&) = default;

 private:
  std::vector<std::uint8_t> bytes_;
};

struct PeerIdHash {
  std::size_t operator()(const PeerId& id) const noexcept;
};

class Identity {
 public:
  /// A fresh key pair from the system's random source.
  [[nodiscard]] static Identity generate();
  [[nodiscard]] static Identity from_seed(const std::array<std::uint8_t, 32>& seed);

  /// Reads `p2p.key` in the vendor's format: CRC-64/ISO (little-endian) of the JSON that follows
  /// it,
  /// {"Key": base64 libp2p PrivateKey, "ID": peer id}. Errors name the file and what is wrong with
  /// it: not_found, malformed (too short, checksum mismatch, bad JSON, id that is not the key's),
  /// invalid_argument (key type).
  [[nodiscard]] static Expected<Identity> load(const std::string& path);

  /// Writes the same format: temporary file, fsync, rename; mode 0600 for a new file, kept for an
  /// old one.
  [[nodiscard]] Expected<void> save(const std::string& path) const;

  [[nodiscard]] const PeerId& peer_id() const noexcept { return peer_id_; }
  [[nodiscard]] const std::array<std::uint8_t, 32>& public_key() const noexcept {
    return public_key_;
  }
  /// Ed25519 signature.
  [[nodiscard]] std::array<std::uint8_t, 64> sign(Bytes message) const;

 private:
  std::array<std::uint8_t, 64> secret_key_{};  // libsodium's form: seed || public key
  std::array<std::uint8_t, 32> public_key_{};
  PeerId peer_id_;
};

}  // namespace corelay::libp2p
