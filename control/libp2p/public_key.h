/// Public keys of other peers as libp2p writes them: PublicKey { KeyType Type = 1; bytes Data = 2
/// }. Our own identity is Ed25519; a peer may also hold Secp256k1, ECDSA or RSA, so all four are
/// verified here.
/// Source: https://github.com/libp2p/specs/blob/master/peer-ids/peer-ids.md.
#pragma once

#include <cstdint>
#include <vector>

#include "codec/bytes.h"
#include "codec/expected.h"
#include "control/libp2p/identity.h"

namespace corelay::libp2p {

enum class KeyType : std::uint8_t { rsa = 0, ed25519 = 1, secp256k1 = 2, ecdsa = 3 };

struct KeyMessage {
  KeyType type = KeyType::ed25519;
  Bytes data;  // into the message parsed
};

/// Reads a PublicKey or PrivateKey message; both have the same fields. Errors: malformed.
[[nodiscard]] Expected<KeyMessage> parse_key_message(Bytes message);
/// Type first, data second, shortest varints: the form that is hashed into peer ids.
[[nodiscard]] std::vector<std::uint8_t> format_key_message(KeyType type, Bytes data);

/// The id of the peer that holds the key: the message itself up to 42 bytes, its SHA-256 above.
/// Errors: malformed.
[[nodiscard]] Expected<PeerId> peer_id_of(Bytes public_key_message);

/// Whether `signature` by that key holds over `message`: Ed25519; ECDSA over SHA-256 in DER
/// (Secp256k1, ECDSA); RSA PKCS#1 v1.5 over SHA-256, 2048 to 8192 bits. Errors: malformed (key),
/// unauthenticated.
[[nodiscard]] Expected<void> verify(Bytes public_key_message, Bytes message, Bytes signature);

}  // namespace corelay::libp2p
