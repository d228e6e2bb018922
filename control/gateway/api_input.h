/// What clients say in JSON, checked: REST bodies and WebSocket frames. Which words are answered to which mistake
/// differs between the two generations of the published API, so a missing field is told apart from an empty one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "codec/expected.h"

namespace corelay::gateway {

struct ApiInput {
  std::string type;  // of a WebSocket frame: publish, subscribe, unsubscribe
  std::string client_id;
  std::string topic;
  std::optional<std::string> message;  // text, or the bytes of message_base64
  std::optional<std::uint64_t> message_length;
  std::optional<double> threshold;
  std::optional<std::uint64_t> timestamp;
  bool no_dedup = false;
  std::string id;  // a WebSocket client's own number, given back as it came (JSON text)
};

/// Errors: malformed ("invalid JSON"), invalid_argument (a field of the wrong type or range, by name).
[[nodiscard]] Expected<ApiInput> parse_input(std::string_view json);

/// A number from a query parameter: nothing where it is not one.
[[nodiscard]] std::optional<double> parse_number(std::string_view text);

}  // namespace corelay::gateway
