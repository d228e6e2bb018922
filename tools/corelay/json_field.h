/// Fields of JSON that somebody else wrote.
#pragma once

#include <string>

namespace corelay::tools {

/// The field where it is a string, else empty. `Json`: any nlohmann::basic_json object.
template <class Json>
[[nodiscard]] std::string string_at(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->template get<std::string>() : std::string();
}

}  // namespace corelay::tools
