/// Requests and answers of the HTTP API, without sockets: what Beast's parser makes of a client's bytes, checked and
/// bounded, and an answer's bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "control/daemon/http_request.h"

namespace corelay::gateway {

/// The parts of a request that the API looks at.
struct Request {
  daemon::HttpRequest target;  // method, path, query
  std::string authorization;   // these are headers, empty where not sent
  std::string origin;
  std::string last_event_id;
  std::string upgrade;  // lower case
  std::string ws_key;
  std::string ws_version;
  std::string ws_protocols;
  std::string content_type;
  std::string body;
  std::string client_address;
  bool is_head = false;
  bool keep_alive = true;
};

struct Response {
  unsigned status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
};

/// The answer's bytes. `body` is left out for HEAD.
[[nodiscard]] std::string format_response(const Response& response, bool is_head, bool keep_alive);
/// The head alone, for answers that go on: status 101 or an event stream.
[[nodiscard]] std::string format_head(unsigned status, const std::vector<std::pair<std::string, std::string>>& headers);

struct RequestBounds {
  std::size_t header_bytes_max = 16384;
  std::size_t body_bytes_max = 32u << 20;
};

/// Reads the requests of one connection, one after the other.
class RequestParser {
 public:
  enum class Outcome : std::uint8_t { need_more, request, error };

  explicit RequestParser(RequestBounds bounds);
  ~RequestParser();
  RequestParser(const RequestParser&) = delete;
  RequestParser& operator=(const RequestParser&) = delete;

  /// Takes all of `bytes`; what follows a request is kept for the next call.
  [[nodiscard]] Outcome feed(std::string_view bytes);
  /// After `request`: moves it out and begins with the next.
  [[nodiscard]] Request take();
  /// After `error`: what to answer before closing.
  [[nodiscard]] const Response& error() const noexcept { return error_; }
  /// What was sent behind the last request; for a connection that changes its protocol.
  [[nodiscard]] std::string take_rest();
  /// True once where the client waits for "100 Continue".
  [[nodiscard]] bool wants_continue();
  /// A request has begun and is not whole.
  [[nodiscard]] bool is_inside() const noexcept;
  [[nodiscard]] std::size_t held_bytes() const noexcept;

 private:
  struct State;
  Outcome refuse(unsigned status, std::string_view why);

  const RequestBounds bounds_;
  std::unique_ptr<State> state_;
  std::string buffer_;
  Response error_;
};

}  // namespace corelay::gateway
