#include "control/gateway/http_fetch.h"

#include <boost/asio/connect.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <boost/beast/ssl.hpp>

namespace corelay::gateway {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;

constexpr std::size_t document_bytes_max = 1u << 20;

struct Url {
  bool is_tls = false;
  std::string host;
  std::string port;
  std::string target;
};

Expected<Url> parse_url(const std::string& text) {
  Url url;
  const auto invalid = [&] { return fail(ErrorCode::invalid_argument, "fetch", text + " is not an http(s):// URL"); };
  std::string rest;
  if (text.starts_with("https://")) {
    url.is_tls = true;
    rest = text.substr(8);
  } else if (text.starts_with("http://")) {
    rest = text.substr(7);
  } else {
    return invalid();
  }
  const std::size_t slash = std::min(rest.find('/'), rest.size());
  url.target = slash == rest.size() ? "/" : rest.substr(slash);
  url.host = rest.substr(0, slash);
  url.port = url.is_tls ? "443" : "80";
  if (const std::size_t colon = url.host.rfind(':'); colon != std::string::npos && url.host.back() != ']') {
    url.port = url.host.substr(colon + 1);
    url.host.resize(colon);
  }
  if (url.host.empty()) return invalid();
  return url;
}

/// The steps of one exchange, each with what is left of the time.
class Exchange {
 public:
  Exchange(Url url, std::chrono::seconds timeout)
      : url_(std::move(url)), deadline_(std::chrono::steady_clock::now() + timeout), resolver_(io_) {}

  Expected<std::string> run() {
    error_code error;
    asio::ip::tcp::resolver::results_type found;
    resolver_.async_resolve(url_.host, url_.port, [&](error_code e, auto results) {
      error = e;
      found = std::move(results);
    });
    io_.run_until(deadline_);
    if (found.empty()) return failed(error, "no such host");
    if (!url_.is_tls) {
      beast::tcp_stream stream(io_);
      return talk(stream, stream, found);
    }
    context_.set_default_verify_paths(error);
    beast::ssl_stream<beast::tcp_stream> stream(io_, context_);
    stream.set_verify_mode(asio::ssl::verify_peer);
    stream.set_verify_callback(asio::ssl::host_name_verification(url_.host));
    // What SSL_set_tlsext_host_name is a macro for, without its cast.
    SSL_ctrl(stream.native_handle(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
             const_cast<char*>(url_.host.c_str()));
    return talk(stream, stream.next_layer(), found);
  }

 private:
  static tl::unexpected<Error> failed(const error_code& error, const std::string& what) {
    return fail(ErrorCode::unavailable, "fetch", error ? error.message() : what);
  }

  template <class Start>
  error_code step(Start start) {
    error_code result = asio::error::timed_out;
    start([&](error_code error, auto&&...) { result = error; });
    io_.restart();
    io_.run_until(deadline_);
    return result;
  }

  template <class Stream>
  Expected<std::string> talk(Stream& stream, beast::tcp_stream& socket,
                             const asio::ip::tcp::resolver::results_type& found) {
    socket.expires_at(deadline_);
    if (const auto error = step([&](auto done) { socket.async_connect(found, done); })) return failed(error, "");
    if constexpr (!std::is_same_v<Stream, beast::tcp_stream>) {
      const auto error = step([&](auto done) { stream.async_handshake(asio::ssl::stream_base::client, done); });
      if (error) return failed(error, "");
    }
    http::request<http::empty_body> request(http::verb::get, url_.target, 11);
    request.set(http::field::host, url_.host);
    request.set(http::field::user_agent, "corelay-gateway");
    request.set(http::field::accept, "application/json");
    request.keep_alive(false);
    if (const auto error = step([&](auto done) { http::async_write(stream, request, done); })) return failed(error, "");
    beast::flat_buffer buffer;
    http::response_parser<http::string_body> parser;
    parser.body_limit(document_bytes_max);
    const auto error = step([&](auto done) { http::async_read(stream, buffer, parser, done); });
    if (error == http::error::body_limit) return fail(ErrorCode::too_large, "fetch", "the document is too large");
    if (error) return failed(error, "");
    if (parser.get().result() != http::status::ok) {
      return fail(ErrorCode::unavailable, "fetch", "status " + std::to_string(parser.get().result_int()));
    }
    return std::move(parser.get().body());
  }

  const Url url_;
  const std::chrono::steady_clock::time_point deadline_;
  asio::io_context io_;
  asio::ip::tcp::resolver resolver_;
  asio::ssl::context context_{asio::ssl::context::tls_client};
};

}  // namespace

Expected<std::string> fetch_http(const std::string& text, std::chrono::seconds timeout) {
  const auto url = parse_url(text);
  if (!url) return tl::make_unexpected(url.error());
  return Exchange(*url, timeout).run();
}

}  // namespace corelay::gateway
