#include "tools/corelay/ws_client.h"

#include <fmt/format.h>

#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/websocket.hpp>
#include <boost/beast/websocket/ssl.hpp>
#include <variant>

#include "tools/corelay/net_connect.h"
#include "tools/corelay/text.h"

namespace corelay::tools {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace websocket = beast::websocket;
using boost::system::error_code;

constexpr std::size_t message_bytes_max = 256u << 20;
constexpr std::chrono::seconds silence_max{30};

using PlainSocket = websocket::stream<beast::tcp_stream>;
using TlsSocket = websocket::stream<TlsStream>;

Error refusal(const Url& url, const websocket::response_type& answer) {
  Error error{ErrorCode::unavailable, url.authority(), ""};
  const unsigned status = answer.result_int();
  if (status == 401)
    error.code = ErrorCode::unauthenticated;
  else if (status == 403)
    error.code = ErrorCode::permission_denied;
  else if (status >= 400 && status < 500)
    error.code = ErrorCode::invalid_argument;
  const std::string said = on_line(shortened(answer.body()));
  error.what = fmt::format("status {}{}{}", status, said.empty() ? "" : ": ", said);
  return error;
}

}  // namespace

struct WsClient::State {
  asio::io_context loop;  // declared first: what it runs must go before it
  asio::ssl::context context{asio::ssl::context::tls_client};
  Url url;
  std::variant<std::monostate, std::unique_ptr<PlainSocket>, std::unique_ptr<TlsSocket>> socket;
  beast::flat_buffer buffer;
  bool is_reading = false;
  bool has_message = false;
  error_code error;
  std::string close_reason;

  template <class Socket>
  Expected<void> upgrade(Socket& ws, const std::vector<std::pair<std::string, std::string>>& headers,
                         Deadline deadline) {
    ws.read_message_max(message_bytes_max);
    ws.set_option(websocket::stream_base::timeout{std::chrono::seconds(10), silence_max, true});
    ws.set_option(websocket::stream_base::decorator([headers](websocket::request_type& request) {
      request.set(http::field::user_agent, "corelay");
      for (const auto& [name, value] : headers) request.set(name, value);
    }));
    websocket::response_type answer;
    const error_code failed = run_step(loop, deadline, [&](const Done& done) {
      ws.async_handshake(answer, url.authority(), url.target, [done](error_code e) { done(e); });
    });
    if (failed == websocket::error::upgrade_declined) return tl::make_unexpected(refusal(url, answer));
    if (failed) return tl::make_unexpected(net_error(url, failed));
    return {};
  }

  template <class Socket>
  void read(Socket& ws) {
    is_reading = true;
    ws.async_read(buffer, [this, &ws](error_code e, std::size_t) {
      is_reading = false;
      error = e;
      has_message = !e;
      if (e == websocket::error::closed) close_reason = on_line(ws.reason().reason.c_str());
    });
  }

  void start_reading() {
    if (is_reading || has_message || error) return;
    if (auto* plain = std::get_if<std::unique_ptr<PlainSocket>>(&socket)) read(**plain);
    if (auto* tls = std::get_if<std::unique_ptr<TlsSocket>>(&socket)) read(**tls);
  }

  template <class Socket>
  void close(Socket& ws) {
    // A read that is under way takes what still comes, the server's goodbye among it.
    static_cast<void>(run_step(loop, std::chrono::steady_clock::now() + std::chrono::seconds(1), [&](const Done& done) {
      ws.async_close(websocket::close_code::normal, [done](error_code e) { done(e); });
    }));
  }
};

WsClient::WsClient(std::unique_ptr<State> state) : state_(std::move(state)) {}

WsClient::~WsClient() = default;

Expected<std::unique_ptr<WsClient>> WsClient::open(const Url& url,
                                                   const std::vector<std::pair<std::string, std::string>>& headers,
                                                   std::chrono::milliseconds timeout) {
  const Deadline deadline = std::chrono::steady_clock::now() + timeout;
  auto state = std::make_unique<State>();
  state->url = url;
  auto plain = connect_tcp(state->loop, url, deadline);
  if (!plain) return tl::make_unexpected(plain.error());
  Expected<void> upgraded;
  if (url.is_tls) {
    auto tls = start_tls(state->loop, state->context, std::move(**plain), url, deadline);
    if (!tls) return tl::make_unexpected(tls.error());
    auto ws = std::make_unique<TlsSocket>(std::move(**tls));
    upgraded = state->upgrade(*ws, headers, deadline);
    state->socket = std::move(ws);
  } else {
    auto ws = std::make_unique<PlainSocket>(std::move(**plain));
    upgraded = state->upgrade(*ws, headers, deadline);
    state->socket = std::move(ws);
  }
  if (!upgraded) return tl::make_unexpected(upgraded.error());
  return std::unique_ptr<WsClient>(new WsClient(std::move(state)));
}

Expected<std::optional<std::string>> WsClient::next(std::chrono::milliseconds timeout) {
  State& state = *state_;
  const Deadline deadline = std::chrono::steady_clock::now() + timeout;
  state.start_reading();
  state.loop.restart();
  while (state.is_reading && state.loop.run_one_until(deadline) != 0) {
  }
  if (state.has_message) {
    state.has_message = false;
    std::string text = beast::buffers_to_string(state.buffer.data());
    state.buffer.consume(state.buffer.size());
    return std::optional<std::string>(std::move(text));
  }
  if (!state.error) return std::optional<std::string>();
  if (state.error == websocket::error::closed)
    return fail(ErrorCode::closed, state.url.authority(),
                state.close_reason.empty() ? "the gateway closed the connection" : state.close_reason);
  return tl::make_unexpected(net_error(state.url, state.error));
}

void WsClient::close() {
  State& state = *state_;
  if (state.error) return;
  if (auto* plain = std::get_if<std::unique_ptr<PlainSocket>>(&state.socket)) state.close(**plain);
  if (auto* tls = std::get_if<std::unique_ptr<TlsSocket>>(&state.socket)) state.close(**tls);
}

}  // namespace corelay::tools
