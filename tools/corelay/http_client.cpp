#include "tools/corelay/http_client.h"

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>

#include "tools/corelay/net_connect.h"

namespace corelay::tools {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;

constexpr std::uint64_t body_bytes_max = 16u << 20;

using Message = http::request<http::string_body>;
using Parser = http::response_parser<http::string_body>;

struct Failure {
  error_code error;
  bool is_unanswered = true;  // not a byte came back
};

template <class Stream>
Failure exchange(asio::io_context& loop, Stream& stream, boost::beast::flat_buffer& buffer, Message& message,
                 Parser& parser, Deadline deadline) {
  const auto write_error = run_step(loop, deadline, [&](const Done& done) {
    http::async_write(stream, message, [done](error_code error, std::size_t) { done(error); });
  });
  if (write_error) return {write_error, true};
  const auto read_error = run_step(loop, deadline, [&](const Done& done) {
    http::async_read(stream, buffer, parser, [done](error_code error, std::size_t) { done(error); });
  });
  return {read_error, !parser.got_some()};
}

}  // namespace

struct HttpClient::Connection {
  asio::io_context loop;  // declared first: what it runs must go before it
  asio::ssl::context context{asio::ssl::context::tls_client};
  std::unique_ptr<boost::beast::tcp_stream> plain;
  std::unique_ptr<TlsStream> tls;
  boost::beast::flat_buffer buffer;
};

HttpClient::HttpClient(Url url, std::chrono::milliseconds timeout) : url_(std::move(url)), timeout_(timeout) {}

HttpClient::~HttpClient() = default;

Expected<void> HttpClient::connect(Deadline deadline) {
  connection_ = std::make_unique<Connection>();
  auto plain = connect_tcp(connection_->loop, url_, deadline);
  if (!plain) return tl::make_unexpected(plain.error());
  if (!url_.is_tls) {
    connection_->plain = std::move(*plain);
    return {};
  }
  auto tls = start_tls(connection_->loop, connection_->context, std::move(**plain), url_, deadline);
  if (!tls) return tl::make_unexpected(tls.error());
  connection_->tls = std::move(*tls);
  return {};
}

Expected<HttpReply> HttpClient::send(const HttpRequest& request) {
  const Deadline deadline = std::chrono::steady_clock::now() + timeout_;
  Message message(http::string_to_verb(request.method), request.target, 11);
  message.set(http::field::host, url_.authority());
  message.set(http::field::user_agent, "corelay");
  for (const auto& [name, value] : request.headers) message.set(name, value);
  if (!request.body.empty()) message.set(http::field::content_type, request.content_type);
  message.body() = request.body;
  message.prepare_payload();
  for (;;) {
    const bool is_kept = connection_ != nullptr;
    if (!is_kept) {
      if (const auto connected = connect(deadline); !connected) {
        connection_.reset();
        return tl::make_unexpected(connected.error());
      }
    }
    Parser parser;
    parser.body_limit(body_bytes_max);
    Connection& c = *connection_;
    const Failure failure = c.tls ? exchange(c.loop, *c.tls, c.buffer, message, parser, deadline)
                                  : exchange(c.loop, *c.plain, c.buffer, message, parser, deadline);
    if (!failure.error) {
      HttpReply reply{parser.get().result_int(), std::move(parser.get().body()),
                      std::string(parser.get()[http::field::retry_after])};
      if (!parser.get().keep_alive()) connection_.reset();
      return reply;
    }
    connection_.reset();
    const bool is_late = failure.error == asio::error::timed_out;
    if (is_kept && failure.is_unanswered && !is_late) continue;
    if (is_late) return tl::make_unexpected(net_error(url_, failure.error));
    if (failure.error == http::error::body_limit)
      return fail(ErrorCode::too_large, url_.authority(), "the answer is over 16 MiB");
    if (failure.error == http::error::end_of_stream)
      return fail(ErrorCode::unavailable, url_.authority(), "the server closed the connection without an answer");
    if (failure.error.category() == http::make_error_code(http::error::bad_version).category())
      return fail(ErrorCode::malformed, url_.authority(), "the answer is not HTTP: " + reason_of(failure.error));
    return tl::make_unexpected(net_error(url_, failure.error));
  }
}

Expected<HttpReply> http_send(const Url& url, const HttpRequest& request, std::chrono::milliseconds timeout) {
  HttpClient client(url, timeout);
  return client.send(request);
}

}  // namespace corelay::tools
