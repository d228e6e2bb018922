#include "control/gateway/bus_message.h"

#include <nlohmann/json.hpp>

namespace corelay::gateway {

using nlohmann::json;

std::string format_subscription(std::string_view epoch, const BusSubscription& subscription) {
  return json{{"epoch", epoch},
              {"client", subscription.client},
              {"topic", subscription.topic},
              {"threshold", subscription.threshold},
              {"subscribed", subscription.is_subscribed}}
      .dump(-1, ' ', false, json::error_handler_t::replace);
}

bool parse_subscription(std::string_view text, std::string& epoch, BusSubscription& subscription) {
  const json object = json::parse(text, nullptr, false);
  if (!object.is_object()) return false;
  const auto is_good = [&](const char* name, bool (json::*is_kind)() const noexcept) {
    const auto at = object.find(name);
    return at != object.end() && ((*at).*is_kind)();
  };
  if (!is_good("epoch", &json::is_string) || !is_good("client", &json::is_string) ||
      !is_good("topic", &json::is_string) || !is_good("threshold", &json::is_number) ||
      !is_good("subscribed", &json::is_boolean)) {
    return false;
  }
  epoch = object["epoch"].get<std::string>();
  subscription = {object["client"].get<std::string>(), object["topic"].get<std::string>(),
                  object["threshold"].get<double>(), object["subscribed"].get<bool>()};
  return true;
}

}  // namespace corelay::gateway
