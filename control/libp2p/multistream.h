/// multistream-select 1.0: how two peers agree on a protocol. A message is a varint length, text
/// and a newline. Both sides first send the header; the dialer then proposes until the listener
/// echoes a proposal ("na" means no). The dialer sends header and first proposal together.
/// I/O-free: bytes in, bytes out.
/// Source: https://github.com/multiformats/multistream-select.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "codec/bytes.h"
#include "codec/expected.h"

namespace corelay::libp2p {

/// Which end of a connection or stream we are.
enum class Role : std::uint8_t { dialer, listener };

inline constexpr std::size_t multistream_text_bytes_max = 1024;
inline constexpr std::size_t multistream_proposals_max = 1000;

class Negotiation {
 public:
  /// Proposes `protocols` (at least one) in this order.
  [[nodiscard]] static Negotiation dial(std::vector<std::string> protocols);
  /// Agrees to the first proposal for which `is_served` is true.
  [[nodiscard]] static Negotiation listen(std::function<bool(std::string_view)> is_served);

  /// Takes bytes from the peer and returns how many belong to the negotiation; the rest is the
  /// agreed protocol's. Errors: malformed, not_found (the peer speaks none of ours), too_large
  /// (over multistream_proposals_max proposals).
  [[nodiscard]] Expected<std::size_t> receive(Bytes in);
  /// What is to be sent now; empties the queue.
  [[nodiscard]] std::vector<std::uint8_t> take_output();

  [[nodiscard]] bool is_done() const noexcept { return is_done_; }
  /// The agreed protocol, once is_done().
  [[nodiscard]] const std::string& protocol() const noexcept { return protocol_; }

 private:
  Negotiation() = default;
  void send(std::string_view text);
  [[nodiscard]] Expected<void> on_text(std::string_view text);
  [[nodiscard]] Expected<void> on_answer(std::string_view text);
  [[nodiscard]] Expected<void> on_proposal(std::string_view text);

  Role role_ = Role::dialer;
  std::vector<std::string> proposals_;
  std::size_t proposal_ = 0;  // index of the one sent last; for a listener, proposals answered
  std::function<bool(std::string_view)> is_served_;
  std::vector<std::uint8_t> held_;  // an unfinished message
  std::vector<std::uint8_t> output_;
  bool has_header_ = false;
  bool is_done_ = false;
  std::string protocol_;
};

}  // namespace corelay::libp2p
