/// What gateways tell each other over NATS: who has subscribed to what, and what was delivered under which offset. A
/// gateway that has lost the bus works on alone and tells everything again once it is back. libnats stays behind this
/// header.
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "codec/expected.h"
#include "control/gateway/bus_message.h"
#include "control/gateway/peer_logs.h"

namespace corelay::gateway {

/// Called on the loop.
struct BusEvents {
  std::function<void(const BusSubscription&)> subscription;
  std::function<void(const std::string& epoch, const std::vector<DeliveryRecord>&)> delivered;
  /// A gateway has come, or the bus is back: everything is told again.
  std::function<void()> newcomer;
};

class Bus {
 public:
  /// Connects, and goes on trying. Errors: invalid_argument (the URL), internal.
  [[nodiscard]] static Expected<std::unique_ptr<Bus>> start(boost::asio::io_context& io, const std::string& url,
                                                            const std::string& cluster, const std::string& epoch,
                                                            BusEvents events);
  ~Bus();
  Bus(const Bus&) = delete;
  Bus& operator=(const Bus&) = delete;

  void tell(const BusSubscription& subscription);
  void tell(const std::vector<DeliveryRecord>& records);
  [[nodiscard]] bool is_connected() const noexcept;

  struct State;

 private:
  explicit Bus(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace corelay::gateway
