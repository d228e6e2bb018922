/// Which build this is.
#pragma once

#include <string_view>

namespace corelay::daemon {

[[nodiscard]] std::string_view version() noexcept;      // "v0.1.0"
[[nodiscard]] std::string_view commit_hash() noexcept;  // seven hex digits, "unknown" outside a checkout

}  // namespace corelay::daemon
