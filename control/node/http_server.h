/// A small HTTP/1.1 server on the control thread: bounded connections, bounded requests, a deadline on each. What is
/// answered is decided by one function.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "codec/expected.h"
#include "control/daemon/http_request.h"

namespace corelay::node {

struct HttpResponse {
  unsigned status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::string allow;  // methods, for 405
};

struct HttpConfig {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;
  std::size_t connections_max = 128;
  std::chrono::milliseconds timeout{10000};  // for a request to arrive, and for an answer to leave
  std::size_t header_bytes_max = 16 * 1024;
  std::size_t body_bytes_max = 64 * 1024;
};

class HttpServer {
 public:
  using Answer = std::function<HttpResponse(const daemon::HttpRequest&)>;

  /// Errors: invalid_argument (address), unavailable (the port is taken), with the system's reason.
  [[nodiscard]] static Expected<std::unique_ptr<HttpServer>> start(boost::asio::io_context& io, HttpConfig config,
                                                                   Answer answer);
  /// Closes the listener and every connection.
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  [[nodiscard]] std::uint16_t port() const noexcept;

 private:
  struct State;
  explicit HttpServer(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace corelay::node
