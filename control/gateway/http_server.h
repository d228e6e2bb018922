/// Takes connections for the HTTP API, within bounds, and watches their deadlines.
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <memory>

#include "codec/expected.h"
#include "control/gateway/config.h"
#include "control/gateway/connection.h"

namespace corelay::gateway {

class HttpServer {
 public:
  /// Errors: unavailable (the port is taken), invalid_argument (address, certificate).
  [[nodiscard]] static Expected<std::unique_ptr<HttpServer>> start(boost::asio::io_context& io,
                                                                   const GatewayConfig& config, Api& api, Hub& hub,
                                                                   ConnectionTotals& totals);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  /// Twice a second or more.
  void tick();
  /// Takes no more connections and tells the streams' clients to come back.
  void leave();
  [[nodiscard]] std::uint16_t port() const noexcept;

 private:
  struct State;
  explicit HttpServer(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace corelay::gateway
