/// /metrics of a gateway, as Prometheus reads it.
#pragma once

#include <string>

#include "control/gateway/service.h"

namespace corelay::gateway {

[[nodiscard]] std::string metrics_text(Service& service);

}  // namespace corelay::gateway
