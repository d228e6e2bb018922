// The only file of the command line that sees Beast.
#include "tools/corelay/http_get.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

namespace corelay::tools {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;

constexpr std::uint64_t body_bytes_max = 16u << 20;

/// One exchange: each step starts the next, the first failure ends it.
class Exchange {
 public:
  Exchange(asio::io_context& loop, const std::string& host_header, const std::string& path)
      : stream_(loop), request_(http::verb::get, path, 11) {
    request_.set(http::field::host, host_header);
    request_.set(http::field::connection, "close");
    response_.body_limit(body_bytes_max);
  }

  void run(const asio::ip::tcp::resolver::results_type& endpoints,
           std::chrono::milliseconds timeout) {
    stream_.expires_after(timeout);
    const auto note_refusal = [this](error_code last, const auto&) {
      was_refused_ = was_refused_ || last == asio::error::connection_refused;
      return true;
    };
    stream_.async_connect(endpoints, note_refusal, [this](error_code error, const auto&) {
      // A host's second address may be of a kind this machine has none of: the refusal says more.
      if (error && was_refused_) error = asio::error::connection_refused;
      if (is_over(error, "connect")) return;
      http::async_write(stream_, request_, [this](error_code write_error, std::size_t) {
        if (is_over(write_error, "send")) return;
        http::async_read(stream_, buffer_, response_, [this](error_code read_error, std::size_t) {
          is_over(read_error, "receive");
        });
      });
    });
  }

  [[nodiscard]] error_code error() const { return error_; }
  [[nodiscard]] const char* step() const { return step_; }
  [[nodiscard]] HttpReply reply() {
    return {response_.get().result_int(), std::move(response_.get().body())};
  }

 private:
  bool is_over(error_code error, const char* step) {
    error_ = error;
    step_ = step;
    return static_cast<bool>(error);
  }

  beast::tcp_stream stream_;
  beast::flat_buffer buffer_;
  http::request<http::empty_body> request_;
  http::response_parser<http::string_body> response_;
  bool was_refused_ = false;
  error_code error_;
  const char* step_ = "connect";
};

std::string reason_of(const error_code& error) {
  std::string text = error.message();
  if (!text.empty())
    text.front() = static_cast<char>(std::tolower(static_cast<unsigned char>(text.front())));
  return text;
}

}  // namespace

Expected<std::pair<std::string, std::string>> split_address(const std::string& address) {
  const auto colon = address.rfind(':');
  const bool has_port =
      colon != std::string::npos && colon + 1 < address.size() && address.back() != ']';
  const std::string port = has_port ? address.substr(colon + 1) : "";
  const bool is_number = has_port && std::all_of(port.begin(), port.end(),
                                                 [](char c) { return c >= '0' && c <= '9'; });
  if (colon == 0 || !is_number || port.size() > 5 || std::stoul(port) > 65535 ||
      std::stoul(port) == 0) {
    return fail(ErrorCode::invalid_argument, "address",
                fmt::format("'{}' is not HOST:PORT with a port from 1 to 65535", address));
  }
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  return std::pair{host, port};
}

Expected<HttpReply> http_get(const std::string& address, const std::string& path,
                             std::chrono::milliseconds timeout) {
  const auto parts = split_address(address);
  if (!parts) return tl::make_unexpected(parts.error());
  asio::io_context loop;
  error_code resolve_error;
  const auto endpoints =
      asio::ip::tcp::resolver(loop).resolve(parts->first, parts->second, resolve_error);
  if (resolve_error) return fail(ErrorCode::unavailable, address, "no such host: " + parts->first);
  Exchange exchange(loop, address, path);
  exchange.run(endpoints, timeout);
  loop.run();
  const error_code error = exchange.error();
  if (!error) return exchange.reply();
  if (error == beast::error::timeout) {
    return fail(ErrorCode::timed_out, address,
                fmt::format("no answer to GET {} in {} ms", path, timeout.count()));
  }
  if (std::string_view(exchange.step()) == "receive") {
    return fail(ErrorCode::malformed, address, "the answer is not HTTP: " + reason_of(error));
  }
  return fail(ErrorCode::unavailable, address, reason_of(error));
}

}  // namespace corelay::tools
