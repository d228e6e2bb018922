#include "tools/corelay/net_connect.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/beast/core/error.hpp>

namespace corelay::tools {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using boost::system::error_code;

}  // namespace

error_code run_step(asio::io_context& loop, Deadline deadline, const std::function<void(Done)>& start) {
  struct Outcome {
    error_code error = asio::error::timed_out;
    bool is_done = false;
  };
  const auto outcome = std::make_shared<Outcome>();  // outlives a step that comes to its end after the deadline
  start([outcome](error_code error) { *outcome = {error, true}; });
  loop.restart();
  while (!outcome->is_done && loop.run_one_until(deadline) != 0) {
  }
  return outcome->error;
}

std::string reason_of(const error_code& error) {
  std::string text = error.message();
  if (!text.empty()) text.front() = static_cast<char>(std::tolower(static_cast<unsigned char>(text.front())));
  return text;
}

Error net_error(const Url& url, const error_code& error) {
  if (error == asio::error::timed_out || error == beast::error::timeout)
    return {ErrorCode::timed_out, url.authority(), "no answer in time"};
  return {ErrorCode::unavailable, url.authority(), reason_of(error)};
}

Expected<std::unique_ptr<beast::tcp_stream>> connect_tcp(asio::io_context& loop, const Url& url, Deadline deadline) {
  using Found = asio::ip::tcp::resolver::results_type;
  const auto found = std::make_shared<Found>();
  asio::ip::tcp::resolver resolver(loop);
  const error_code unresolved = run_step(loop, deadline, [&](const Done& done) {
    resolver.async_resolve(url.host, url.port, [found, done](error_code error, const Found& results) {
      *found = results;
      done(error);
    });
  });
  if (unresolved == asio::error::timed_out) return tl::make_unexpected(net_error(url, unresolved));
  if (unresolved) return fail(ErrorCode::unavailable, url.authority(), "no such host: " + url.host);
  auto stream = std::make_unique<beast::tcp_stream>(loop);
  const auto was_refused = std::make_shared<bool>(false);
  const error_code error = run_step(loop, deadline, [&](const Done& done) {
    const auto note_refusal = [was_refused](error_code last, const auto&) {
      *was_refused = *was_refused || last == asio::error::connection_refused;
      return true;
    };
    stream->async_connect(*found, note_refusal, [done](error_code failed, const auto&) { done(failed); });
  });
  // A host's second address may be of a kind this machine has none of: the refusal says more.
  if (error && *was_refused) return tl::make_unexpected(net_error(url, asio::error::connection_refused));
  if (error) return tl::make_unexpected(net_error(url, error));
  error_code ignored;
  stream->socket().set_option(asio::ip::tcp::no_delay(true), ignored);
  return stream;
}

Expected<std::unique_ptr<TlsStream>> start_tls(asio::io_context& loop, asio::ssl::context& context,
                                               beast::tcp_stream connection, const Url& url, Deadline deadline) {
  error_code ignored;
  context.set_default_verify_paths(ignored);
  auto stream = std::make_unique<TlsStream>(std::move(connection), context);
  stream->set_verify_mode(asio::ssl::verify_peer, ignored);
  stream->set_verify_callback(asio::ssl::host_name_verification(url.host), ignored);
  // What SSL_set_tlsext_host_name is a macro for, without its cast.
  SSL_ctrl(stream->native_handle(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
           const_cast<char*>(url.host.c_str()));
  const error_code error = run_step(loop, deadline, [&](const Done& done) {
    stream->async_handshake(asio::ssl::stream_base::client, [done](error_code failed) { done(failed); });
  });
  if (!error) return stream;
  if (error == asio::error::timed_out) return tl::make_unexpected(net_error(url, error));
  std::string why = reason_of(error);
  const bool is_plain = error == asio::ssl::error::stream_truncated || error == asio::error::eof ||
                        why.find("wrong version number") != std::string::npos;
  if (is_plain) why = "the server speaks no TLS (http:// in place of https://)";
  return fail(ErrorCode::unavailable, url.authority(), "TLS: " + why);
}

}  // namespace corelay::tools
