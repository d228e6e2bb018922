/// What a gateway tells the others of a subscription, as it travels over the bus. Pure; the records of deliveries are
/// in peer_logs.h.
#pragma once

#include <string>
#include <string_view>

namespace corelay::gateway {

struct BusSubscription {
  std::string client;
  std::string topic;
  double threshold = 0;
  bool is_subscribed = true;  // or taken back
};

/// A JSON object; bytes that are no UTF-8 are replaced in it.
[[nodiscard]] std::string format_subscription(std::string_view epoch, const BusSubscription& subscription);
/// False for anything else: another shape, a field of another type, a field that is missing. Whether client, topic and
/// threshold are within bounds is the hub's to say.
[[nodiscard]] bool parse_subscription(std::string_view text, std::string& epoch, BusSubscription& subscription);

}  // namespace corelay::gateway
