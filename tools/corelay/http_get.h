/// GET over plain HTTP/1.1, for the node API.
#pragma once

#include <chrono>
#include <string>
#include <utility>

#include "codec/expected.h"
#include "tools/corelay/http_client.h"

namespace corelay::tools {

/// `address` is host:port ("localhost:9091", "[::1]:9091"), `path` starts with a slash. Any status
/// is a reply. Errors: invalid_argument (address), unavailable (no connection; `what` has the
/// reason), timed_out, malformed.
[[nodiscard]] Expected<HttpReply> http_get(const std::string& address, const std::string& path,
                                           std::chrono::milliseconds timeout);

/// Splits host:port. Errors: invalid_argument, saying what is missing.
[[nodiscard]] Expected<std::pair<std::string, std::string>> split_address(
    const std::string& address);

}  // namespace corelay::tools
