/// The identify message, in which a peer tells who it is, what it speaks and where it listens.
///   Identify { bytes publicKey = 1; repeated bytes listenAddrs = 2; repeated string protocols = 3;
///   bytes observedAddr = 4;
///              string protocolVersion = 5; string agentVersion = 6; bytes signedPeerRecord = 8 }
/// We send at most 4096 bytes, which is what rust-libp2p reads, and read up to 8192 a message and
/// ten messages, which merge.
/// Source: https://github.com/libp2p/specs/tree/master/identify.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "codec/bytes.h"
#include "codec/expected.h"
#include "control/libp2p/host.h"
#include "control/libp2p/identity.h"
#include "control/libp2p/multiaddr.h"

namespace corelay::libp2p {

inline constexpr const char* identify_protocol = "/ipfs/id/1.0.0";
inline constexpr const char* identify_push_protocol = "/ipfs/id/push/1.0.0";
inline constexpr const char* ping_protocol = "/ipfs/ping/1.0.0";
inline constexpr std::size_t identify_sent_bytes_max = 4096;
inline constexpr std::size_t identify_read_bytes_max = 8192;
inline constexpr std::size_t identify_messages_max = 10;

/// What we say about ourselves. Addresses, then protocols, are cut from the end until the message
/// fits.
[[nodiscard]] std::vector<std::uint8_t> format_identify(const Identity& identity,
                                                        const PeerIdentity& ours,
                                                        const std::optional<Multiaddr>& observed,
                                                        std::uint64_t sequence);

/// Merges one message into `peer`: fields it holds replace those held before. Addresses come from
/// the signed record where there is one that holds for `peer_id`, else from the plain list. Errors:
/// malformed; `peer` is then unchanged.
[[nodiscard]] Expected<void> merge_identify(Bytes message, const PeerId& peer_id,
                                            PeerIdentity& peer);

}  // namespace corelay::libp2p
