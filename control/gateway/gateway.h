/// A gateway put together: the nodes, the hub, the HTTP and gRPC servers, on one event loop.
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <functional>
#include <memory>

#include "codec/expected.h"
#include "control/gateway/config.h"

namespace corelay::gateway {

class Gateway {
 public:
  /// Opens the sockets and starts to dial the nodes. Errors: unavailable, invalid_argument, naming the setting.
  [[nodiscard]] static Expected<std::unique_ptr<Gateway>> start(boost::asio::io_context& io, GatewayConfig config);
  ~Gateway();
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  /// Takes nothing new, lets publishes under way end, tells clients to come back elsewhere, then calls `done`.
  void drain(std::function<void()> done);
  [[nodiscard]] bool is_draining() const noexcept;

  [[nodiscard]] std::uint16_t http_port() const noexcept;
  [[nodiscard]] std::uint16_t grpc_port() const noexcept;
  [[nodiscard]] const GatewayConfig& config() const noexcept;

  struct State;

 private:
  explicit Gateway(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace corelay::gateway
