#include "control/node/http_server.h"

#include <spdlog/spdlog.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <optional>
#include <set>

namespace corelay::node {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using tcp = asio::ip::tcp;
using boost::system::error_code;

constexpr std::chrono::milliseconds accept_retry{100};

}  // namespace

struct HttpServer::State : std::enable_shared_from_this<HttpServer::State> {
  class Connection;

  State(asio::io_context& io, HttpConfig c, Answer a)
      : config(std::move(c)), answer(std::move(a)), acceptor(io), retry(io) {}

  void accept();
  void close();

  HttpConfig config;
  Answer answer;
  tcp::acceptor acceptor;
  asio::steady_timer retry;
  std::set<std::shared_ptr<Connection>> connections;
};

class HttpServer::State::Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::shared_ptr<State> server, tcp::socket socket)
      : server_(std::move(server)), stream_(std::move(socket)) {}

  void read() {
    parser_.emplace();
    parser_->header_limit(static_cast<std::uint32_t>(server_->config.header_bytes_max));
    parser_->body_limit(server_->config.body_bytes_max);
    stream_.expires_after(server_->config.timeout);
    http::async_read(stream_, buffer_, *parser_, [self = shared_from_this()](error_code error, std::size_t) {
      self->on_read(error);
    });
  }

  void close() {
    error_code ignored;
    stream_.socket().shutdown(tcp::socket::shutdown_both, ignored);
    stream_.close();
    server_->connections.erase(shared_from_this());
  }

 private:
  void on_read(error_code error) {
    if (!stream_.socket().is_open()) return close();
    if (error == http::error::header_limit) return refuse(431, "the request header is too large");
    if (error == http::error::body_limit) return refuse(413, "the request body is too large");
    if (error == http::error::end_of_stream) return close();
    if (error.category() == http::make_error_code(http::error::bad_method).category()) {
      return refuse(400, "the request is malformed");
    }
    if (error) return close();
    const auto& message = parser_->get();
    const bool is_head = message.method() == http::verb::head;
    const auto request = daemon::parse_target(is_head ? "GET" : message.method_string(), message.target());
    if (!request) return refuse(400, request.error().what);
    write(server_->answer(*request), is_head, message.keep_alive());
  }

  void refuse(unsigned status, std::string_view why) {
    write({status, "application/json", "{\"error\":\"" + std::string(why) + "\"}\n", ""}, false, false);
  }

  void write(HttpResponse answer, bool is_head, bool keep_alive) {
    response_.emplace(static_cast<http::status>(answer.status), 11);
    response_->set(http::field::server, "corelay");
    response_->set(http::field::content_type, answer.content_type);
    response_->set(http::field::cache_control, "no-store");
    if (!answer.allow.empty()) response_->set(http::field::allow, answer.allow);
    response_->keep_alive(keep_alive);
    response_->content_length(answer.body.size());
    if (!is_head) response_->body() = std::move(answer.body);
    stream_.expires_after(server_->config.timeout);
    http::async_write(stream_, *response_, [self = shared_from_this(), keep_alive](error_code error, std::size_t) {
      if (error || !keep_alive) return self->close();
      self->read();
    });
  }

  std::shared_ptr<State> server_;
  beast::tcp_stream stream_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  std::optional<http::response<http::string_body>> response_;
};

void HttpServer::State::accept() {
  acceptor.async_accept([self = shared_from_this()](error_code error, tcp::socket socket) {
    if (!self->acceptor.is_open()) return;
    if (!error && self->connections.size() < self->config.connections_max) {
      const auto connection = std::make_shared<Connection>(self, std::move(socket));
      self->connections.insert(connection);
      connection->read();
    }
    if (!error) return self->accept();
    if (error == asio::error::no_descriptors) spdlog::warn("api: no file descriptor left for a connection");
    self->retry.expires_after(accept_retry);  // a pause keeps this from spinning
    self->retry.async_wait([self](error_code waited) {
      if (!waited && self->acceptor.is_open()) self->accept();
    });
  });
}

void HttpServer::State::close() {
  error_code ignored;
  acceptor.close(ignored);
  retry.cancel();
  const auto open = connections;
  for (const auto& connection : open) connection->close();
}

Expected<std::unique_ptr<HttpServer>> HttpServer::start(asio::io_context& io, HttpConfig config, Answer answer) {
  error_code error;
  const auto address = asio::ip::make_address(config.address, error);
  if (error) return fail(ErrorCode::invalid_argument, "listen", config.address + " is not an IP address");
  const tcp::endpoint endpoint(address, config.port);
  const auto state = std::make_shared<State>(io, std::move(config), std::move(answer));
  state->acceptor.open(endpoint.protocol(), error);
  if (!error) state->acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) state->acceptor.bind(endpoint, error);
  if (!error) state->acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) return fail(ErrorCode::unavailable, "listen", "cannot be opened", error.value());
  state->accept();
  return std::unique_ptr<HttpServer>(new HttpServer(state));
}

HttpServer::HttpServer(std::shared_ptr<State> state) : state_(std::move(state)) {}

HttpServer::~HttpServer() { state_->close(); }

std::uint16_t HttpServer::port() const noexcept {
  error_code ignored;
  return state_->acceptor.local_endpoint(ignored).port();
}

}  // namespace corelay::node
