/// Multiaddrs: ip4, ip6, dns, dns4, dns6, tcp, udp, quic-v1, p2p; text and binary forms.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "codec/bytes.h"
#include "codec/expected.h"
#include "control/libp2p/identity.h"

namespace corelay::libp2p {

class Multiaddr {
 public:
  Multiaddr() = default;
  /// Errors: malformed, naming the component and what was expected.
  [[nodiscard]] static Expected<Multiaddr> parse(std::string_view text);
  [[nodiscard]] static Expected<Multiaddr> from_bytes(Bytes binary);
  /// /ip4/A/tcp/P or /ip6/A/tcp/P. `address` is an IP literal.
  [[nodiscard]] static Expected<Multiaddr> tcp(std::string_view address, std::uint16_t port);

  [[nodiscard]] const std::string& text() const noexcept { return text_; }
  [[nodiscard]] std::vector<std::uint8_t> bytes() const;

  /// The host part: an IP literal or a DNS name; empty when there is none.
  [[nodiscard]] std::string host() const;
  [[nodiscard]] bool is_dns() const noexcept;
  [[nodiscard]] std::optional<std::uint16_t> tcp_port() const;
  /// The trailing /p2p/ID.
  [[nodiscard]] std::optional<PeerId> peer_id() const;
  /// The same with /p2p/ID at the end (replacing one that is there), and without.
  [[nodiscard]] Multiaddr with_peer(const PeerId& peer) const;
  [[nodiscard]] Multiaddr without_peer() const;

  friend auto operator<=>(const Multiaddr&, const Multiaddr&) = default;
  friend bool operator==(const Multiaddr&, const Multiaddr&) = default;

 private:
  std::string text_;  // canonical
};

}  // namespace corelay::libp2p
