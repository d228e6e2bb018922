#include "control/gateway/gateway.h"

#include <spdlog/spdlog.h>

#include <boost/asio/steady_timer.hpp>

#include "control/gateway/gatekeeper.h"
#include "control/gateway/grpc_server.h"
#include "control/gateway/http_api.h"
#include "control/gateway/http_server.h"
#include "control/gateway/service.h"

namespace corelay::gateway {
namespace {

constexpr std::chrono::milliseconds tick_every{50};
constexpr std::chrono::milliseconds goodbye_time{200};

}  // namespace

struct Gateway::State {
  State(boost::asio::io_context& io, GatewayConfig c)
      : config(std::move(c)),
        service(io, config),
        gatekeeper(config.auth.enable ? std::make_unique<Gatekeeper>(io, config) : nullptr),
        api(service, gatekeeper.get()),
        timer(io) {}

  void tick();
  void leave(Instant deadline, const std::function<void()>& done);

  const GatewayConfig config;
  Service service;
  std::unique_ptr<Gatekeeper> gatekeeper;
  HttpApi api;
  std::unique_ptr<HttpServer> http;
  std::unique_ptr<GrpcServer> grpc;
  boost::asio::steady_timer timer;
  Instant deadline{};  // of draining
  bool has_left = false;
  std::function<void()> on_left;
};

void Gateway::State::tick() {
  timer.expires_after(tick_every);
  timer.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    service.tick();
    http->tick();
    tick();
    const Instant now = std::chrono::steady_clock::now();
    if (!service.is_draining) return;
    if (!has_left && (service.hub().in_flight() == 0 || now >= deadline)) {
      has_left = true;
      deadline = now + goodbye_time;
      http->leave();
      grpc->leave();
    } else if (has_left && on_left && (now >= deadline || service.totals().connections == 0)) {
      std::exchange(on_left, nullptr)();
    }
  });
}

Gateway::Gateway(std::unique_ptr<State> state) : state_(std::move(state)) {}

Gateway::~Gateway() {
  state_->timer.cancel();
  state_->grpc.reset();
  state_->http.reset();
  state_->service.stop();
  if (state_->gatekeeper) state_->gatekeeper->stop();
}

Expected<std::unique_ptr<Gateway>> Gateway::start(boost::asio::io_context& io, GatewayConfig config) {
  auto state = std::make_unique<State>(io, std::move(config));
  auto http = HttpServer::start(io, state->config, state->api, state->service.hub(), state->service.totals());
  if (!http) return tl::make_unexpected(http.error());
  state->http = std::move(*http);
  auto grpc = GrpcServer::start(state->service, state->gatekeeper.get());
  if (!grpc) return tl::make_unexpected(grpc.error());
  state->grpc = std::move(*grpc);
  if (state->config.nodes.sidecars.empty()) {
    spdlog::warn(
        "no nodes: set nodes.sidecars (P2P_NODES) to the sidecars' host:port; publishes are refused until then");
  }
  if (state->gatekeeper) {
    if (auto started = state->gatekeeper->start(); !started) return tl::make_unexpected(started.error());
  }
  if (auto started = state->service.start(); !started) return tl::make_unexpected(started.error());
  state->tick();
  return std::unique_ptr<Gateway>(new Gateway(std::move(state)));
}

void Gateway::drain(std::function<void()> done) {
  state_->service.is_draining = true;
  state_->deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(state_->config.gateway.drain_ms);
  state_->on_left = std::move(done);
  state_->grpc->set_serving(false);
}

bool Gateway::is_draining() const noexcept { return state_->service.is_draining; }
std::uint16_t Gateway::http_port() const noexcept { return state_->http->port(); }
std::uint16_t Gateway::grpc_port() const noexcept { return state_->grpc->port(); }
const GatewayConfig& Gateway::config() const noexcept { return state_->config; }

}  // namespace corelay::gateway
