/// What both ends of a session agree on over the control wire (proto/wire.md, "Sessions").
#pragma once

#include <array>
#include <cstdint>

namespace corelay::dataplane {

using AeadKey = std::array<std::uint8_t, 16>;  // AES-128-GCM
using AeadIv = std::array<std::uint8_t, 12>;   // XORed with lane and packet number into the nonce

/// Keys for one direction.
struct DirectionKeys {
  std::uint32_t key_id = 0;  // chosen by the receiver of this direction, unique among its live sessions
  AeadKey key{};
  AeadIv iv{};
};

/// A session with one peer. Installing new keys for a peer that has some is a rekey: packets under the previous
/// receive keys are still opened for a grace time.
struct SessionKeys {
  DirectionKeys send;
  DirectionKeys receive;
};

}  // namespace corelay::dataplane
