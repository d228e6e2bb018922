/// A TCP connection to a URL's server, and TLS on it where the URL asks for that, each with a deadline. Included by
/// http_client.cpp and ws_client.cpp alone: they are the ones that see Beast.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <chrono>
#include <functional>
#include <memory>

#include "codec/expected.h"
#include "tools/corelay/url.h"

namespace corelay::tools {

using TlsStream = boost::beast::ssl_stream<boost::beast::tcp_stream>;
using Deadline = std::chrono::steady_clock::time_point;
using Done = std::function<void(boost::system::error_code)>;

/// Starts one asynchronous step and runs the loop until it is done; timed_out where the deadline comes first. The step
/// may then still be under way: its stream is good for nothing but being destroyed, before the loop is.
[[nodiscard]] boost::system::error_code run_step(boost::asio::io_context& loop, Deadline deadline,
                                                 const std::function<void(Done)>& start);

/// The system's reason in lower case.
[[nodiscard]] std::string reason_of(const boost::system::error_code& error);
/// timed_out, or unavailable with the reason.
[[nodiscard]] Error net_error(const Url& url, const boost::system::error_code& error);

/// Errors: unavailable, timed_out.
[[nodiscard]] Expected<std::unique_ptr<boost::beast::tcp_stream>> connect_tcp(boost::asio::io_context& loop,
                                                                              const Url& url, Deadline deadline);
/// TLS over a connection; the server's certificate is checked against the system's roots, or those of SSL_CERT_FILE.
/// Errors: unavailable (the reason OpenSSL gives), timed_out.
[[nodiscard]] Expected<std::unique_ptr<TlsStream>> start_tls(boost::asio::io_context& loop,
                                                             boost::asio::ssl::context& context,
                                                             boost::beast::tcp_stream connection, const Url& url,
                                                             Deadline deadline);

}  // namespace corelay::tools
