/// How two nodes agree on the keys of the data wire (proto/wire.md, "Sessions"). The exchange runs on a libp2p stream,
/// which has authenticated both ends, so what is left is a fresh X25519 agreement and a comparison of what must match.
///
///   dialer -> listener  SessionHello
///   listener -> dialer  SessionHello
///   dialer -> listener  an empty message: "I have yours, the session stands"
///
/// The dialer (who opened the stream) installs the keys when it has sent the third message, the listener when it has
/// read it: a stream given up half-way changes nothing on either side.
#pragma once

#include <array>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "codec/bytes.h"
#include "codec/expected.h"
#include "control/libp2p/host.h"
#include "dataplane/command.h"
#include "dataplane/params.h"
#include "dataplane/session_keys.h"

namespace corelay::node {

inline constexpr std::string_view session_protocol = "/corelay/session/1";
inline constexpr std::uint32_t wire_version = 1;

/// SHA-256 over the settings that must be the same on both ends: wire version, lanes, path MTU (messages are cut to the
/// publisher's, and every relay carries them as they are), cluster id. message_bytes_max is not among them: a node with
/// a lower one refuses what is too large for it, and says so.
[[nodiscard]] std::array<std::uint8_t, 32> mesh_hash(const dataplane::WireParams& wire, std::uint16_t path_mtu_bytes,
                                                     std::string_view cluster_id);

/// What this node says in its hello.
struct SessionTerms {
  dataplane::WireParams wire;
  std::string cluster_id;
  std::uint16_t udp_port = 0;
  std::uint16_t path_mtu_bytes = 1400;
  std::chrono::milliseconds timeout{10000};
};

/// Keys from an X25519 result and the two hellos as they were sent, as the dialer sees them when `is_dialer`.
[[nodiscard]] dataplane::SessionKeys derive_session_keys(Bytes shared, Bytes dialer_hello, Bytes listener_hello,
                                                         bool is_dialer, std::uint32_t own_key_id,
                                                         std::uint32_t peer_key_id);

/// An IP literal as the data plane holds it, with a port of 0; nothing for other text.
[[nodiscard]] std::optional<dataplane::Endpoint> endpoint_of(std::string_view address);

/// The outcome of an exchange.
struct AgreedSession {
  dataplane::SessionKeys keys;
  std::uint16_t udp_port = 0;         // of the peer, at the address its TCP connection shows
  std::chrono::nanoseconds rtt{};     // of the exchange itself, over the TCP connection
  std::uint32_t replaces_key_id = 0;  // what the dialer said: the listener's receive key it renews, 0 for a new session
};

/// One exchange. Runs on the io_context of the host; ends once, by `done`, unless cancelled.
class SessionExchange : public std::enable_shared_from_this<SessionExchange> {
 public:
  using Done = std::function<void(Expected<AgreedSession>)>;

  /// `key_id` names packets towards us. `replaces_key_id` is the peer's key id that a rekey renews, 0 for a new
  /// session; only the dialer says it.
  SessionExchange(boost::asio::io_context& io, libp2p::StreamPtr stream, bool is_dialer, SessionTerms terms,
                  std::uint32_t key_id, std::uint32_t replaces_key_id);
  ~SessionExchange();

  /// Errors: timed_out; permission_denied, naming what does not match; malformed; closed.
  void start(Done done);

  /// Resets the stream; `done` is not called.
  void cancel();

 private:
  struct State;
  void on_hello(Expected<std::vector<std::uint8_t>> message);
  void on_confirm(Expected<std::vector<std::uint8_t>> message);
  void finish(Expected<AgreedSession> outcome);

  std::unique_ptr<State> state_;
};

}  // namespace corelay::node
