#include "control/gateway/http_server.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <boost/asio/steady_timer.hpp>
#include <unordered_map>
#include <unordered_set>

namespace corelay::gateway {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr std::chrono::milliseconds accept_retry{100};
constexpr std::chrono::milliseconds check_every{500};

ConnectionSettings settings_of(const GatewayConfig& config) {
  using std::chrono::milliseconds;
  ConnectionSettings settings;
  settings.timeout = milliseconds(config.http.timeout_ms);
  settings.idle = milliseconds(config.http.idle_ms);
  settings.ping = milliseconds(config.http.ping_ms);
  settings.bounds.header_bytes_max = config.http.header_bytes_max;
  // JSON text may take six bytes for one.
  settings.bounds.body_bytes_max = std::size_t{6} * config.delivery.message_bytes_max + 65536;
  settings.ws_message_bytes_max = settings.bounds.body_bytes_max;
  settings.send_buffer_bytes = static_cast<int>(config.http.send_buffer_bytes);
  return settings;
}

/// A last word to a connection that is not taken in: no more than fits without waiting.
void say_full(tcp::socket& socket) {
  constexpr std::string_view why = "{\"error\":\"the gateway has too many connections\"}\n";
  const Response full{503, "application/json", std::string(why), {{"Retry-After", "1"}}};
  const std::string text = format_response(full, false, false);
  static_cast<void>(::send(socket.native_handle(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL));
}

}  // namespace

struct HttpServer::State : std::enable_shared_from_this<HttpServer::State> {
  State(asio::io_context& io, const GatewayConfig& c, Api& a, Hub& h, ConnectionTotals& t)
      : config(c), settings(settings_of(c)), api(a), hub(h), totals(t), acceptor(io), retry(io) {}

  void accept();
  void take(tcp::socket socket);
  void close();

  const GatewayConfig& config;
  const ConnectionSettings settings;
  Api& api;
  Hub& hub;
  ConnectionTotals& totals;
  tcp::acceptor acceptor;
  asio::steady_timer retry;
  std::unique_ptr<asio::ssl::context> tls;
  std::unordered_set<std::shared_ptr<Connection>> connections;
  std::unordered_map<std::string, std::size_t> by_address;
  Instant checked_at{};
};

void HttpServer::State::take(tcp::socket socket) {
  error_code ignored;
  const std::string address = socket.remote_endpoint(ignored).address().to_string(ignored);
  const bool is_full = connections.size() >= config.http.connections_max ||
                       totals.held_bytes >= config.http.buffered_bytes_max ||
                       by_address[address] >= config.http.connections_per_address_max;
  if (is_full) {
    ++totals.refused;
    if (by_address[address] == 0) by_address.erase(address);
    if (!tls) say_full(socket);
    return;  // closed with the socket
  }
  ++totals.accepted;
  ++by_address[address];
  const auto connection =
      std::make_shared<Connection>(std::move(socket), tls.get(), settings, api, hub, totals,
                                   [weak = weak_from_this(), address](const std::shared_ptr<Connection>& done) {
                                     const auto self = weak.lock();
                                     if (!self) return;
                                     self->connections.erase(done);
                                     const auto at = self->by_address.find(address);
                                     if (at != self->by_address.end() && --at->second == 0) self->by_address.erase(at);
                                   });
  connections.insert(connection);
  connection->begin();
}

void HttpServer::State::accept() {
  acceptor.async_accept([self = shared_from_this()](error_code error, tcp::socket socket) {
    if (!self->acceptor.is_open()) return;
    if (!error) {
      self->take(std::move(socket));
      return self->accept();
    }
    if (error == asio::error::no_descriptors) spdlog::warn("http: no file descriptor left for a connection");
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

Expected<std::unique_ptr<HttpServer>> HttpServer::start(asio::io_context& io, const GatewayConfig& config, Api& api,
                                                        Hub& hub, ConnectionTotals& totals) {
  const auto listen = listen_of(config.http.address, config.http.port, config.auth.enable);
  if (!listen) return tl::make_unexpected(listen.error());
  error_code error;
  const auto address = asio::ip::make_address(listen->address, error);
  if (error) return fail(ErrorCode::invalid_argument, "http.address", listen->address + " is not an IP address");
  const auto state = std::make_shared<State>(io, config, api, hub, totals);
  if (!config.http.tls_certificate.empty()) {
    state->tls = std::make_unique<asio::ssl::context>(asio::ssl::context::tls_server);
    state->tls->set_options(asio::ssl::context::no_tlsv1 | asio::ssl::context::no_tlsv1_1, error);
    state->tls->use_certificate_chain_file(config.http.tls_certificate, error);
    if (error) {
      return fail(ErrorCode::invalid_argument, "http.tls_certificate",
                  config.http.tls_certificate + ": " + error.message());
    }
    state->tls->use_private_key_file(config.http.tls_key, asio::ssl::context::pem, error);
    if (error) return fail(ErrorCode::invalid_argument, "http.tls_key", config.http.tls_key + ": " + error.message());
  }
  const tcp::endpoint endpoint(address, listen->port);
  state->acceptor.open(endpoint.protocol(), error);
  if (!error) state->acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) state->acceptor.bind(endpoint, error);
  if (!error) state->acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) {
    return fail(ErrorCode::unavailable, "http",
                fmt::format("cannot listen on {} port {}: is another process using it? Set http.port (GATEWAY_PORT)",
                            listen->address, listen->port),
                error.value());
  }
  if (!config.auth.enable && !address.is_loopback()) {
    spdlog::warn(
        "the HTTP API listens on {} without authentication: keep it inside a private network, or set "
        "auth.enable (ENABLE_AUTH)",
        listen->address);
  }
  state->accept();
  return std::unique_ptr<HttpServer>(new HttpServer(state));
}

HttpServer::HttpServer(std::shared_ptr<State> state) : state_(std::move(state)) {}

HttpServer::~HttpServer() { state_->close(); }

void HttpServer::tick() {
  const Instant now = std::chrono::steady_clock::now();
  if (now - state_->checked_at < check_every) return;
  state_->checked_at = now;
  const auto open = state_->connections;
  for (const auto& connection : open) connection->check(now);
}

void HttpServer::leave() {
  error_code ignored;
  state_->acceptor.close(ignored);
  const auto open = state_->connections;
  for (const auto& connection : open) connection->leave(WsClose::restart, "the gateway is stopping");
}

std::uint16_t HttpServer::port() const noexcept {
  error_code ignored;
  return state_->acceptor.local_endpoint(ignored).port();
}

}  // namespace corelay::gateway
