/// Text and TOML values in and out of one setting.
#pragma once

#include <string>
#include <string_view>

#include "codec/expected.h"
#include "control/node/config.h"

namespace corelay::node {

/// Sets a field from text, as a flag or a variable gives it. `origin` is named in errors.
[[nodiscard]] Expected<void> set_from_text(const FieldInfo& field, NodeConfig& config, std::string_view text,
                                           std::string_view origin);

/// Sets a field from an integer, a real, a truth value, a string or a list of strings.
[[nodiscard]] Expected<void> set_number(const FieldInfo& field, NodeConfig& config, double number, bool is_integer,
                                        std::string_view origin);
[[nodiscard]] Expected<void> set_bool(const FieldInfo& field, NodeConfig& config, bool value, std::string_view origin);
[[nodiscard]] Expected<void> set_string(const FieldInfo& field, NodeConfig& config, std::string_view text,
                                        std::string_view origin);
[[nodiscard]] Expected<void> set_list(const FieldInfo& field, NodeConfig& config, std::vector<std::string> list,
                                      std::string_view origin);

/// What a field takes, in words: "an integer from 1 to 65535".
[[nodiscard]] std::string allowed_text(const FieldInfo& field);

/// The name out of `names` with the fewest edits to `wrong`, or the same but for its section; empty where none is near
/// enough to be a slip (a third of the letters, one to four).
[[nodiscard]] std::string nearest_name(std::string_view wrong, const std::vector<std::string>& names);

}  // namespace corelay::node
