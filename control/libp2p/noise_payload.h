/// What libp2p puts inside the Noise handshake: the identity key, its signature over the Noise
/// static key, and the muxers offered so that no further negotiation is needed.
///   NoiseHandshakePayload { bytes identity_key = 1; bytes identity_sig = 2; NoiseExtensions
///   extensions = 4 } NoiseExtensions { repeated bytes webtransport_certhashes = 1; repeated string
///   stream_muxers = 2 }
/// Source: https://github.com/libp2p/specs/tree/master/noise.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "codec/bytes.h"
#include "codec/expected.h"
#include "control/libp2p/identity.h"

namespace corelay::libp2p {

struct NoisePeer {
  PeerId peer;
  std::vector<std::string> muxers;  // empty where the peer offered none early
};

[[nodiscard]] std::vector<std::uint8_t> format_noise_payload(
    const Identity& identity, Bytes noise_static_key, std::span<const std::string_view> muxers);

/// Reads the payload and checks the signature. Errors: malformed, unauthenticated.
[[nodiscard]] Expected<NoisePeer> parse_noise_payload(Bytes payload, Bytes noise_static_key);

}  // namespace corelay::libp2p
