/// Signed peer records: addresses a peer vouches for, in an envelope anyone can check.
///   Envelope { PublicKey public_key = 1; bytes payload_type = 2; bytes payload = 3; bytes
///   signature = 5 } PeerRecord { bytes peer_id = 1; uint64 seq = 2; repeated AddressInfo { bytes
///   multiaddr = 1 } addresses = 3 }
/// The signature covers domain, type and payload, each after its varint length. Domain and type are
/// those that go and js use ("libp2p-peer-record", 03 01); the older ones of RFC 0003 are accepted
/// too.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "codec/bytes.h"
#include "codec/expected.h"
#include "control/libp2p/identity.h"
#include "control/libp2p/multiaddr.h"

namespace corelay::libp2p {

struct PeerRecord {
  PeerId peer;
  std::uint64_t sequence = 0;
  std::vector<Multiaddr> addresses;
};

[[nodiscard]] std::vector<std::uint8_t> seal_peer_record(const Identity& identity,
                                                         std::uint64_t sequence,
                                                         std::span<const Multiaddr> addresses);

/// Addresses of kinds we do not know are left out. Errors: malformed, unauthenticated (signature,
/// or a record about another peer).
[[nodiscard]] Expected<PeerRecord> open_peer_record(Bytes envelope);

}  // namespace corelay::libp2p
