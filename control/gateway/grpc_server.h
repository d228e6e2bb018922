/// The gRPC API: /proto.GatewayStream and /proto.ProxyStream, health and reflection. gRPC stays behind this header.
#pragma once

#include <cstdint>
#include <memory>

#include "codec/expected.h"
#include "control/gateway/service.h"

namespace corelay::gateway {

class Gatekeeper;

class GrpcServer {
 public:
  /// Listens where the settings say. `gatekeeper` is null where anybody may call. Errors: unavailable, naming the port.
  [[nodiscard]] static Expected<std::unique_ptr<GrpcServer>> start(Service& service, Gatekeeper* gatekeeper);
  /// Ends every stream at once.
  ~GrpcServer();
  GrpcServer(const GrpcServer&) = delete;
  GrpcServer& operator=(const GrpcServer&) = delete;

  void set_serving(bool is_serving);
  /// Ends the streams with UNAVAILABLE.
  void leave();
  [[nodiscard]] std::uint16_t port() const noexcept;

  struct State;

 private:
  explicit GrpcServer(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace corelay::gateway
