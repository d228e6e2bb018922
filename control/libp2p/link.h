/// One connection between two peers, from its first byte to its streams, without I/O:
///   multistream agrees on /noise; the Noise handshake proves who the peer is; the muxer is agreed
///   inside the handshake or, where the peer does not offer that, by multistream over the secure
///   channel; then Yamux.
/// The owner moves bytes between this and a socket and keeps the time limits.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "codec/bytes.h"
#include "codec/expected.h"
#include "control/libp2p/identity.h"
#include "control/libp2p/multistream.h"
#include "control/libp2p/noise.h"
#include "control/libp2p/record.h"
#include "control/libp2p/yamux.h"

namespace corelay::libp2p {

inline constexpr std::string_view noise_protocol = "/noise";
inline constexpr std::string_view yamux_protocol = "/yamux/1.0.0";

/// A session's events and the moment before them: called once, when peer and muxer are agreed.
class LinkEvents : public YamuxEvents {
 public:
  virtual void on_ready() = 0;
};

struct LinkConfig {
  Role role = Role::dialer;
  std::optional<PeerId> expected_peer;  // anybody where empty
  YamuxLimits yamux;
  bool offers_early_muxer = true;  // false: the muxer is agreed by multistream
};

class Link {
 public:
  /// `identity` and `events` must outlive the link. The Noise keys are fresh unless given.
  Link(const Identity& identity, const LinkConfig& config, LinkEvents& events);
  Link(const Identity& identity, const LinkConfig& config, LinkEvents& events,
       const NoiseKeys& static_keys, const NoiseKeys& ephemeral_keys);

  /// Takes bytes from the socket. An error ends the link: send what has_output() holds, then close.
  /// Errors: malformed, unauthenticated (a tag, a signature, another peer than expected, our own
  /// id), not_found (no common protocol).
  [[nodiscard]] Expected<void> receive(Bytes in);
  [[nodiscard]] bool has_output() const noexcept;
  /// Appends bytes for the socket, about `bytes_max` of them (one record more at most).
  [[nodiscard]] Expected<void> take_output(std::vector<std::uint8_t>& out, std::size_t bytes_max);

  /// True once peer and muxer are agreed; peer() and session() then hold.
  [[nodiscard]] bool is_ready() const noexcept { return session_.has_value(); }
  [[nodiscard]] const PeerId& peer() const noexcept { return peer_; }
  [[nodiscard]] YamuxSession& session() noexcept { return *session_; }
  /// Whether the muxer came out of the handshake.
  [[nodiscard]] bool has_early_muxer() const noexcept { return has_early_muxer_; }
  /// The hash of the Noise handshake, the same at both ends: binds a later key agreement to this
  /// connection.
  [[nodiscard]] const Key32& handshake_hash() const noexcept { return handshake_hash_; }

 private:
  [[nodiscard]] Expected<void> on_select_noise(Bytes in);
  [[nodiscard]] Expected<void> on_records();
  [[nodiscard]] Expected<void> on_handshake(Bytes message);
  [[nodiscard]] Expected<void> write_handshake();
  [[nodiscard]] Expected<void> finish_handshake();
  [[nodiscard]] Expected<void> on_plain(Bytes plain);
  [[nodiscard]] Expected<void> seal_negotiation();
  void start_session();

  const Identity& identity_;
  LinkConfig config_;
  LinkEvents& events_;
  NoiseKeys static_;
  Negotiation negotiation_;
  NoiseHandshake handshake_;
  RecordReader reader_;
  std::optional<RecordCipher> send_;
  std::optional<RecordCipher> receive_;
  std::optional<YamuxSession> session_;
  std::vector<std::uint8_t> output_;  // what comes before the session
  std::vector<std::string> peer_muxers_;
  PeerId peer_;
  Key32 handshake_hash_{};
  bool has_noise_ = false;  // both sides agreed on /noise
  bool has_early_muxer_ = false;
};

}  // namespace corelay::libp2p
