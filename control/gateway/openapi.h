/// The OpenAPI 3.1 document of the HTTP API (openapi.json beside this file, embedded in the binary).
#pragma once

#include <string_view>

namespace corelay::gateway {

[[nodiscard]] std::string_view openapi_json() noexcept;

}  // namespace corelay::gateway
