/// One client over TCP, with or without TLS: HTTP requests one after the other, and then perhaps a WebSocket or an
/// event stream, which reads the hub's logs. Frames are written many to a call, straight from the logs' shared bytes;
/// nothing is copied for a client, and nothing waits for one.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "codec/expected.h"
#include "control/gateway/http_message.h"
#include "control/gateway/hub.h"
#include "control/gateway/ws_frame.h"

namespace corelay::gateway {

struct ConnectionSettings {
  std::chrono::milliseconds timeout{10000};
  std::chrono::milliseconds idle{60000};
  std::chrono::milliseconds ping{20000};
  RequestBounds bounds;
  std::size_t ws_message_bytes_max = 32u << 20;
  int send_buffer_bytes = 256 << 10;
  std::size_t publishes_max = 256;  // of one WebSocket under way, above which it is read no further
};

struct Admission;

/// A stream that a request asks for.
struct StreamPlan {
  Feed* feed = nullptr;  // opened for the connection
  std::vector<std::pair<std::string, std::string>> headers;
  bool is_websocket = false;
  std::string client;
  std::shared_ptr<Admission> admission;  // whose token; may be null
};

class Connection;

/// What a connection asks of the API.
class Api {
 public:
  using Respond = std::function<void(Response)>;
  virtual ~Api() = default;
  /// Answers a request, at once or later, on the same thread. May open a stream in place of an answer, by
  /// Connection::start_stream().
  virtual void answer(const std::shared_ptr<Connection>& connection, Request request, Respond respond) = 0;
  /// A message that came over a WebSocket. `reply` takes the text of a frame.
  virtual void on_frame(Connection& connection, std::string_view text, std::function<void(std::string)> reply) = 0;
  /// A WebSocket or event stream has ended.
  virtual void on_stream_end(Connection& connection) = 0;
};

/// What the connections share.
struct ConnectionTotals {
  std::size_t connections = 0;
  std::size_t websockets = 0;
  std::size_t event_streams = 0;
  std::size_t held_bytes = 0;  // of requests that are not whole yet
  std::uint64_t accepted = 0;
  std::uint64_t refused = 0;  // above a bound
  std::uint64_t requests = 0;
  std::uint64_t timeouts = 0;
  std::uint64_t sent_bytes = 0;
  std::uint64_t writes = 0;
};

class Connection final : public Reader, public std::enable_shared_from_this<Connection> {
 public:
  using Closed = std::function<void(const std::shared_ptr<Connection>&)>;
  using Tcp = boost::asio::ip::tcp;

  Connection(Tcp::socket socket, boost::asio::ssl::context* tls, const ConnectionSettings& settings, Api& api, Hub& hub,
             ConnectionTotals& totals, Closed closed);
  ~Connection();

  void begin();
  /// Looks at its deadlines; called about twice a second.
  void check(Instant now);
  /// Closes at once.
  void close();
  /// Says goodbye where the protocol has a word for it, then closes.
  void leave(WsClose code, std::string_view why);

  /// In place of an answer: the connection becomes a WebSocket or an event stream.
  void start_stream(StreamPlan plan);
  [[nodiscard]] const std::string& client() const noexcept { return client_; }
  [[nodiscard]] const std::shared_ptr<Admission>& admission() const noexcept { return admission_; }
  [[nodiscard]] const std::string& address() const noexcept { return address_; }
  [[nodiscard]] bool is_open() const noexcept { return is_open_; }

  // Reader
  void wake() override;

 private:
  enum class Mode : std::uint8_t { http, websocket, events };

  void read();
  void on_read(const boost::system::error_code& error, std::size_t bytes);
  void take_input();
  void take_request();
  void take_frames();
  void answer(const Response& response, bool is_head, bool keep_alive);
  void reply(std::string_view text);
  void send(SharedBytes bytes);
  void send(std::string bytes) { send(std::make_shared<const std::string>(std::move(bytes))); }
  void pump();
  bool gather();
  [[nodiscard]] bool write_plain();
  void write_tls();
  void sent(std::size_t bytes);
  void note_held();

  Tcp::socket socket_;
  std::unique_ptr<boost::asio::ssl::stream<Tcp::socket&>> tls_;
  const ConnectionSettings& settings_;
  Api& api_;
  Hub& hub_;
  ConnectionTotals& totals_;
  const Closed closed_;
  std::string address_;
  std::string client_;
  std::shared_ptr<Admission> admission_;

  Mode mode_ = Mode::http;
  bool is_open_ = true;
  bool is_reading_ = false;
  bool is_answering_ = false;  // a request is with the API
  bool is_write_blocked_ = false;
  bool is_ending_ = false;  // closes once everything is written
  bool is_pumping_ = false;
  bool is_reply_due_ = false;  // answers to frames wait to be written
  std::size_t publishes_ = 0;  // of this WebSocket, under way
  std::size_t held_ = 0;
  RequestParser parser_;
  std::optional<WsParser> frames_;
  Feed* feed_ = nullptr;
  std::string input_;  // of a WebSocket, not looked at yet
  std::vector<char> read_buffer_;
  std::deque<SharedBytes> out_;
  std::size_t out_at_ = 0;  // bytes of the first that are written
  std::string tls_out_;
  Instant began_{};  // of the request that is being read or answered
  Instant heard_{};
  Instant wrote_{};
  Instant pinged_{};
};

}  // namespace corelay::gateway
