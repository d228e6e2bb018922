/// The vendor's p2p.key: CRC-64/ISO of the JSON (8 bytes, little-endian), then {"Key":"<base64
/// PrivateKey>","ID":"<peer id>"}. These two work on bytes; Identity::load and save put them on
/// disk.
#pragma once

#include <cstdint>
#include <vector>

#include "codec/bytes.h"
#include "codec/expected.h"
#include "control/libp2p/identity.h"

namespace corelay::libp2p {

/// CRC-64/ISO as Go's crc64.ISO table computes it (reflected, initial and final value all ones).
[[nodiscard]] std::uint64_t crc64_iso(Bytes bytes) noexcept;

/// The seed inside a key file, checked against the ID beside it. Errors: malformed (too short,
/// checksum mismatch, bad JSON, bad key, id that is not the key's), invalid_argument (a key that is
/// not Ed25519).
[[nodiscard]] Expected<std::array<std::uint8_t, 32>> parse_key_file(Bytes file);

/// `secret_key` is libsodium's 64-byte form: seed, then public key.
[[nodiscard]] std::vector<std::uint8_t> format_key_file(Bytes secret_key, const PeerId& peer);

}  // namespace corelay::libp2p
