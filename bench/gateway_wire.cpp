#include "bench/gateway_wire.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <stdexcept>

namespace corelay::bench {
namespace {

[[noreturn]] void refuse(const std::string& what, std::string_view bytes) {
  throw std::runtime_error(what + ": " + std::string(bytes.substr(0, 300)));
}

std::string quoted(std::string_view text) { return "\"" + std::string(text) + "\""; }

std::string publish_json(const WireParams& params, std::string_view payload) {
  std::string out = "{\"type\":\"publish\",\"client_id\":" + quoted(params.client) +
                    ",\"topic\":" + quoted(params.topic) + ",\"message\":\"";
  out += payload;
  return out + "\"}";
}

class WsWire final : public Wire {
 public:
  explicit WsWire(WireParams params) : params_(std::move(params)) {}

  std::string hello() override {
    std::string out = "GET /api/v1/ws?client_id=" + params_.client +
                      "&format=text HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    if (params_.is_subscriber) frame(1, R"({"type":"subscribe","topic":)" + quoted(params_.topic) + "}", out);
    return out;
  }

  void publish(std::string_view payload, std::string& out) override { frame(1, publish_json(params_, payload), out); }

  std::size_t take(std::string_view bytes, Listener& listener, std::string& out) override {
    std::size_t taken = 0;
    if (!is_open_) {
      const std::size_t end = bytes.find("\r\n\r\n");
      if (end == std::string_view::npos) return 0;
      if (!bytes.starts_with("HTTP/1.1 101 ")) refuse("no WebSocket", bytes);
      is_open_ = true;
      is_ready_ = !params_.is_subscriber;
      taken = end + 4;
    }
    while (bytes.size() - taken >= 2) {
      const auto at = [&](std::size_t i) { return static_cast<unsigned char>(bytes[taken + i]); };
      std::size_t size = at(1);
      std::size_t head = 2;
      if (size >= 126) {
        head = size == 126 ? 4 : 10;
        if (bytes.size() - taken < head) break;
        size = 0;
        for (std::size_t i = 2; i < head; ++i) size = size << 8 | at(i);
      }
      if (bytes.size() - taken < head + size) break;
      on_frame(at(0) & 15U, bytes.substr(taken + head, size), listener, out);
      taken += head + size;
    }
    return taken;
  }

 private:
  /// Masked with zeros: the server must take the mask off all the same.
  static void frame(unsigned opcode, std::string_view payload, std::string& out) {
    out += static_cast<char>(0x80U | opcode);
    const std::size_t size = payload.size();
    if (size < 126) {
      out += static_cast<char>(0x80U | size);
    } else {
      out += '\xfe';
      out += static_cast<char>(size >> 8);
      out += static_cast<char>(size & 255U);
    }
    out.append(4, '\0');
    out += payload;
  }

  void on_frame(unsigned opcode, std::string_view payload, Listener& listener, std::string& out) {
    if (opcode == 9) return frame(10, payload, out);
    if (opcode == 8) refuse("closed", payload);
    if (!is_ready_) {
      if (!payload.starts_with(R"({"type":"subscribed")")) refuse("not subscribed", payload);
      is_ready_ = true;
    } else if (params_.is_subscriber) {
      listener.on_message(params_.number, payload);
    } else {
      listener.on_answer(params_.number, payload.starts_with(R"({"type":"published")"), payload);
    }
  }

  const WireParams params_;
  bool is_open_ = false;
};

class RestWire final : public Wire {
 public:
  explicit RestWire(WireParams params) : params_(std::move(params)) { is_ready_ = true; }

  std::string hello() override { return ""; }

  void publish(std::string_view payload, std::string& out) override {
    const std::string body = publish_json(params_, payload);
    out += "POST /api/v1/publish HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: " +
           std::to_string(body.size()) + "\r\n\r\n" + body;
  }

  std::size_t take(std::string_view bytes, Listener& listener, std::string&) override {
    std::size_t taken = 0;
    for (;;) {
      const std::string_view rest = bytes.substr(taken);
      const std::size_t end = rest.find("\r\n\r\n");
      if (end == std::string_view::npos) return taken;
      constexpr std::string_view name = "Content-Length: ";
      const std::size_t at = rest.find(name);
      std::size_t size = 0;
      if (at < end) std::from_chars(rest.data() + at + name.size(), rest.data() + end, size);
      if (rest.size() < end + 4 + size) return taken;
      const std::string_view body = rest.substr(end + 4, size);
      const bool is_good = rest.starts_with("HTTP/1.1 200 ") && body.find(R"("published")") != std::string_view::npos;
      listener.on_answer(params_.number, is_good, body);
      taken += end + 4 + size;
    }
  }

 private:
  const WireParams params_;
};

class NatsWire final : public Wire {
 public:
  explicit NatsWire(WireParams params)
      : params_(std::move(params)),
        command_("PUB " + params_.topic + " "),
        is_verbose_(!params_.is_subscriber && params_.is_answered) {}

  std::string hello() override {
    return std::string("CONNECT {\"verbose\":") + (is_verbose_ ? "true" : "false") +
           ",\"pedantic\":false,\"lang\":\"bench\",\"version\":\"1\"}\r\n" +
           (params_.is_subscriber ? "SUB " + params_.topic + " 1\r\n" : "") + "PING\r\n";
  }

  void publish(std::string_view payload, std::string& out) override {
    out += command_;
    out += std::to_string(payload.size());
    out += "\r\n";
    out += payload;
    out += "\r\n";
  }

  std::size_t take(std::string_view bytes, Listener& listener, std::string& out) override {
    std::size_t taken = 0;
    for (;;) {
      const char* const from = bytes.data() + taken;
      const void* const found = std::memchr(from, '\n', bytes.size() - taken);
      if (found == nullptr) return taken;
      const std::string_view line(from, static_cast<std::size_t>(static_cast<const char*>(found) - from) + 1);
      if (line.starts_with("MSG ")) {
        const std::size_t space = line.rfind(' ');
        std::size_t size = 0;
        std::from_chars(line.data() + space + 1, line.data() + line.size(), size);
        if (bytes.size() - taken < line.size() + size + 2) return taken;
        listener.on_message(params_.number, bytes.substr(taken + line.size(), size));
        taken += line.size() + size + 2;
        continue;
      }
      if (line.starts_with("PONG")) {
        is_ready_ = true;
      } else if (line.starts_with("+OK")) {
        if (is_ready_) listener.on_answer(params_.number, true, line);
      } else if (line.starts_with("PING")) {
        out += "PONG\r\n";
      } else if (!line.starts_with("INFO")) {
        refuse("nats-server", line);
      }
      taken += line.size();
    }
  }

 private:
  const WireParams params_;
  const std::string command_;
  const bool is_verbose_;
};

/// NATS with what a gateway does besides: each publish has an id that is looked for among those of two minutes, is
/// kept in a stream of as many messages and bytes as a gateway's window, and is answered; each subscriber has its place
/// there.
class JetStreamWire final : public Wire {
 public:
  explicit JetStreamWire(WireParams params)
      : params_(std::move(params)), inbox_("_INBOX." + params_.client) {}

  std::string hello() override {
    std::string out =
        R"(CONNECT {"verbose":false,"pedantic":false,"headers":true,"lang":"bench","version":"1"})"
        "\r\nSUB " + inbox_ + " 1\r\n";
    ask("STREAM.CREATE.BENCH",
        R"({"name":"BENCH","storage":"memory","discard":"old","max_msgs":65536,"max_bytes":67108864,)"
        R"("duplicate_window":120000000000,"subjects":[)" + quoted(params_.topic) + "]}", out);
    if (!params_.is_subscriber) return out;
    const std::string to = "deliver." + params_.client;
    out += "SUB " + to + " 2\r\n";
    ask("CONSUMER.CREATE.BENCH",
        R"({"stream_name":"BENCH","config":{"ack_policy":"none","deliver_policy":"new","mem_storage":true,)"
        R"("deliver_subject":)" + quoted(to) + "}}", out);
    return out;
  }

  void publish(std::string_view payload, std::string& out) override {
    const std::string head =
        "NATS/1.0\r\nNats-Msg-Id: " + std::string(payload.substr(0, payload.find(' '))) + "\r\n\r\n";
    out += "HPUB " + params_.topic + " " + inbox_ + " " + std::to_string(head.size()) + " " +
           std::to_string(head.size() + payload.size()) + "\r\n" + head;
    out += payload;
    out += "\r\n";
  }

  std::size_t take(std::string_view bytes, Listener& listener, std::string& out) override {
    std::size_t taken = 0;
    for (;;) {
      const std::string_view rest = bytes.substr(taken);
      const std::size_t end = rest.find('\n');
      if (end == std::string_view::npos) return taken;
      const std::string_view line = rest.substr(0, end + 1);
      const bool has_head = line.starts_with("HMSG ");
      if (has_head || line.starts_with("MSG ")) {
        const std::size_t space = line.rfind(' ');
        const std::size_t size = number_at(line, space + 1);
        const std::size_t head = has_head ? number_at(line, line.rfind(' ', space - 1) + 1) : 0;
        if (rest.size() < line.size() + size + 2) return taken;
        const std::string_view body = rest.substr(line.size() + head, size - head);
        const bool is_delivery = line.find(" 2 ") == line.find(' ', line.find(' ') + 1);
        if (is_delivery) {
          listener.on_message(params_.number, body);
        } else {
          on_reply(body, listener);
        }
        taken += line.size() + size + 2;
        continue;
      }
      if (line.starts_with("PING")) out += "PONG\r\n";
      if (line.starts_with("-ERR")) refuse("nats-server", line);
      taken += line.size();
    }
  }

 private:
  static std::size_t number_at(std::string_view line, std::size_t at) {
    std::size_t number = 0;
    std::from_chars(line.data() + at, line.data() + line.size(), number);
    return number;
  }

  void ask(const std::string& what, const std::string& json, std::string& out) {
    out += "PUB $JS.API." + what + " " + inbox_ + " " + std::to_string(json.size()) + "\r\n" + json + "\r\n";
    ++asked_;
  }

  void on_reply(std::string_view body, Listener& listener) {
    const bool is_error = body.find("\"error\"") != std::string_view::npos;
    if (is_ready_) {
      const bool is_good = !is_error && body.find("\"duplicate\"") == std::string_view::npos;
      return listener.on_answer(params_.number, is_good, body);
    }
    if (is_error) refuse("JetStream", body);
    is_ready_ = --asked_ == 0;
  }

  const WireParams params_;
  const std::string inbox_;
  unsigned asked_ = 0;
};

/// One ClientStream call over a connection of its own: the frames that takes (RFC 9113), and no others.
class GrpcWire final : public Wire {
 public:
  explicit GrpcWire(WireParams params) : params_(std::move(params)) {}

  std::string hello() override {
    std::string out = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const std::string settings{"\x00\x04\x7f\xff\xff\xff", 6};  // the stream's window is never the limit
    frame(4, 0, 0, settings, out);
    frame(8, 0, 0, number32(1U << 30), out);
    std::string headers = "\x83\x86";  // :method POST, :scheme http
    const auto literal = [&](std::string_view index, std::string_view value) {
      headers += index;
      headers += static_cast<char>(value.size());
      headers += value;
    };
    literal("\x04", "/proto.ProxyStream/ClientStream");
    literal("\x01", "bench");
    literal("\x0f\x10", "application/grpc");
    literal(std::string_view("\0\2te", 4), "trailers");
    frame(1, 4, 1, headers, out);
    std::string first;
    field(1, params_.client, first);
    send(first, out);
    is_ready_ = true;
    return out;
  }

  void publish(std::string_view payload, std::string& out) override {
    message_.clear();
    field(2, payload, message_);
    field(3, params_.topic, message_);
    send(message_, out);
  }

  std::size_t take(std::string_view bytes, Listener& listener, std::string& out) override {
    std::size_t taken = 0;
    while (bytes.size() - taken >= 9) {
      const auto at = [&](std::size_t i) { return static_cast<unsigned char>(bytes[taken + i]); };
      const std::size_t size = std::size_t{at(0)} << 16 | std::size_t{at(1)} << 8 | at(2);
      if (bytes.size() - taken < 9 + size) break;
      on_frame(at(3), at(4), at(8), bytes.substr(taken + 9, size), listener, out);
      taken += 9 + size;
    }
    return taken;
  }

 private:
  static constexpr std::size_t frame_bytes_max = 16384;
  static constexpr std::uint32_t update_after = 1U << 20;

  static std::string number32(std::uint32_t value) {
    return {static_cast<char>(value >> 24), static_cast<char>(value >> 16 & 255U), static_cast<char>(value >> 8 & 255U),
            static_cast<char>(value & 255U)};
  }

  static std::uint32_t number_of(std::string_view bytes) {
    std::uint32_t value = 0;
    for (const char c : bytes.substr(0, 4)) value = value << 8 | static_cast<unsigned char>(c);
    return value;
  }

  static void frame(unsigned type, unsigned flags, std::uint32_t stream, std::string_view payload, std::string& out) {
    out += number32(static_cast<std::uint32_t>(payload.size()) << 8 | type);
    out += static_cast<char>(flags);
    out += number32(stream);
    out += payload;
  }

  static void field(unsigned number, std::string_view bytes, std::string& out) {
    out += static_cast<char>(number << 3 | 2U);
    std::size_t size = bytes.size();
    for (; size >= 128; size >>= 7) out += static_cast<char>((size & 127U) | 128U);
    out += static_cast<char>(size);
    out += bytes;
  }

  void send(std::string_view message, std::string& out) {
    unsent_ += '\0';
    unsent_ += number32(static_cast<std::uint32_t>(message.size()));
    unsent_ += message;
    flush(out);
  }

  /// As much as both windows allow.
  void flush(std::string& out) {
    std::size_t at = 0;
    while (at < unsent_.size() && stream_window_ > 0 && window_ > 0) {
      const auto room = static_cast<std::size_t>(std::min(stream_window_, window_));
      const std::size_t size = std::min({unsent_.size() - at, room, frame_bytes_max});
      frame(0, 0, 1, std::string_view(unsent_).substr(at, size), out);
      at += size;
      stream_window_ -= static_cast<std::int64_t>(size);
      window_ -= static_cast<std::int64_t>(size);
    }
    unsent_.erase(0, at);
  }

  void on_frame(unsigned type, unsigned flags, unsigned stream, std::string_view payload, Listener& listener,
                std::string& out) {
    switch (type) {
      case 0:  // DATA
        on_data(payload, listener, out);
        break;
      case 1:  // HEADERS: with END_STREAM the call is over
        if ((flags & 1U) != 0) refuse("the gRPC stream has ended", payload);
        break;
      case 4:  // SETTINGS
        if ((flags & 1U) == 0) on_settings(payload, out);
        break;
      case 6:  // PING
        if ((flags & 1U) == 0) frame(6, 1, 0, payload, out);
        break;
      case 8:  // WINDOW_UPDATE
        (stream == 0 ? window_ : stream_window_) += number_of(payload);
        flush(out);
        break;
      case 3:
      case 7:
        refuse("the gRPC connection was given up", payload);
      default:
        break;
    }
  }

  void on_settings(std::string_view payload, std::string& out) {
    for (; payload.size() >= 6; payload.remove_prefix(6)) {
      if (payload[1] != 4) continue;
      const std::int64_t initial = number_of(payload.substr(2));
      stream_window_ += initial - initial_window_;
      initial_window_ = initial;
    }
    frame(4, 1, 0, "", out);
    flush(out);
  }

  void on_data(std::string_view payload, Listener& listener, std::string& out) {
    received_ += static_cast<std::uint32_t>(payload.size());
    if (received_ >= update_after) {
      frame(8, 0, 0, number32(received_), out);
      frame(8, 0, 1, number32(received_), out);
      received_ = 0;
    }
    answers_ += payload;
    std::size_t at = 0;
    while (answers_.size() - at >= 5) {
      const std::size_t size = number_of(std::string_view(answers_).substr(at + 1));
      if (answers_.size() - at < 5 + size) break;
      const std::string_view answer = std::string_view(answers_).substr(at + 5, size);
      listener.on_answer(params_.number, answer.find("published") != std::string_view::npos, answer);
      at += 5 + size;
    }
    answers_.erase(0, at);
  }

  const WireParams params_;
  std::string message_;
  std::string unsent_;
  std::string answers_;
  std::uint32_t received_ = 0;  // since the last window update
  std::int64_t initial_window_ = 65535;
  std::int64_t stream_window_ = 65535;
  std::int64_t window_ = 65535;
};

}  // namespace

std::unique_ptr<Wire> make_wire(std::string_view protocol, const WireParams& params) {
  if (protocol == "ws") return std::make_unique<WsWire>(params);
  if (protocol == "rest") return std::make_unique<RestWire>(params);
  if (protocol == "grpc") return std::make_unique<GrpcWire>(params);
  if (protocol == "jetstream") return std::make_unique<JetStreamWire>(params);
  if (protocol == "nats") return std::make_unique<NatsWire>(params);
  return nullptr;
}

}  // namespace corelay::bench
