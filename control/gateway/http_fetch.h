/// GET of one small document, blocking, with a deadline: an issuer's keys.
#pragma once

#include <chrono>
#include <string>

#include "codec/expected.h"

namespace corelay::gateway {

/// `url` is http:// or https://; certificates are checked against the system's roots. Errors: invalid_argument (the
/// URL), unavailable (no answer, or another status than 200), too_large.
[[nodiscard]] Expected<std::string> fetch_http(const std::string& url, std::chrono::seconds timeout);

}  // namespace corelay::gateway
