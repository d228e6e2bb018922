/// WebSocket frames (RFC 6455), the server's side: what clients send is parsed, what they get is framed once and
/// shared. Extensions are not offered.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace corelay::gateway {

enum class WsOpcode : std::uint8_t { continuation = 0, text = 1, binary = 2, close = 8, ping = 9, pong = 10 };

/// Close codes of RFC 6455, section 7.4.
enum class WsClose : std::uint16_t {
  normal = 1000,
  going_away = 1001,
  protocol_error = 1002,
  not_utf8 = 1007,
  policy = 1008,
  too_large = 1009,
  restart = 1012,
};

/// Appends the header of an unmasked, unfragmented frame.
void append_ws_header(WsOpcode opcode, std::size_t payload_bytes, std::string& out);
[[nodiscard]] std::string ws_frame(WsOpcode opcode, std::string_view payload);
[[nodiscard]] std::string ws_close_frame(WsClose code, std::string_view reason);

/// The answer to Sec-WebSocket-Key.
[[nodiscard]] std::string ws_accept_key(std::string_view key);

/// Reads the frames of one client. Bytes are fed as they come; messages come out whole, with control frames between.
class WsParser {
 public:
  enum class Outcome : std::uint8_t { need_more, message, control, error };

  explicit WsParser(std::size_t message_bytes_max) : message_bytes_max_(message_bytes_max) {}

  /// Takes what it can from the front of `bytes`, which shrinks. `message` and `control` say that opcode() and
  /// payload() hold one, until the next call; `error` says that the connection must be closed with error_code().
  [[nodiscard]] Outcome feed(std::string_view& bytes);

  [[nodiscard]] WsOpcode opcode() const noexcept { return opcode_; }
  [[nodiscard]] const std::string& payload() const noexcept { return is_control_ ? control_ : message_; }
  [[nodiscard]] WsClose error_code() const noexcept { return error_; }
  /// Memory held for a message that is not whole yet.
  [[nodiscard]] std::size_t held_bytes() const noexcept { return message_.size(); }

 private:
  Outcome fail_with(WsClose code) noexcept;
  [[nodiscard]] Outcome begin_frame();
  [[nodiscard]] Outcome end_frame();
  void unmask(char* bytes, std::size_t size) noexcept;

  const std::size_t message_bytes_max_;
  std::string header_;  // of the frame that has begun, until it is whole
  bool is_in_payload_ = false;
  bool is_final_ = false;
  bool is_control_ = false;
  bool is_fragmented_ = false;  // a data message has begun and not ended
  bool is_done_ = false;        // the last call gave a message or control frame
  WsOpcode opcode_ = WsOpcode::text;
  WsOpcode message_opcode_ = WsOpcode::text;
  WsClose error_ = WsClose::protocol_error;
  std::uint8_t mask_[4] = {};
  std::uint64_t left_ = 0;  // of the payload
  std::size_t mask_at_ = 0;
  std::string message_;
  std::string control_;
};

}  // namespace corelay::gateway
