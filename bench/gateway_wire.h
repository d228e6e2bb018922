/// The client ends of what tools/bench gateway compares: WebSocket, HTTP/1.1, gRPC over HTTP/2, NATS and JetStream.
/// They do no more than the measurement needs and copy nothing but what a read cuts off, so that the servers are
/// measured.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace corelay::bench {

/// Told what a connection's bytes hold.
class Listener {
 public:
  /// A message was delivered to connection `number`.
  virtual void on_message(unsigned number, std::string_view payload) = 0;
  /// A publish of connection `number` was answered, in these words.
  virtual void on_answer(unsigned number, bool is_good, std::string_view text) = 0;

 protected:
  ~Listener() = default;
};

/// One connection's protocol, without its socket.
class Wire {
 public:
  virtual ~Wire() = default;
  /// What a client says first.
  [[nodiscard]] virtual std::string hello() = 0;
  /// Appends a publish to `out`, or keeps it until the other side has room for it.
  virtual void publish(std::string_view payload, std::string& out) = 0;
  /// Takes whole frames off the front of `bytes` and returns how many bytes that were. Answers that the protocol itself
  /// asks for are appended to `out`. Throws std::runtime_error where the other side makes no sense, or says no.
  virtual std::size_t take(std::string_view bytes, Listener& listener, std::string& out) = 0;
  /// The other side knows this client, and its subscription where it has one.
  [[nodiscard]] bool is_ready() const noexcept { return is_ready_; }

 protected:
  bool is_ready_ = false;
};

struct WireParams {
  unsigned number = 0;     // of the connection, for the listener
  std::string client;      // client_id
  std::string topic;
  bool is_subscriber = false;
  bool is_answered = true;  // NATS: asks for +OK to each publish
};

/// `protocol` is ws (plain frames), rest, grpc, nats or jetstream; null for any other.
[[nodiscard]] std::unique_ptr<Wire> make_wire(std::string_view protocol, const WireParams& params);

}  // namespace corelay::bench
