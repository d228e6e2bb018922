/// Text and TOML values in and out of one setting.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "codec/expected.h"
#include "control/daemon/settings.h"

namespace corelay::daemon {

/// Sets a field from text, as a flag or a variable gives it. `origin` is named in errors.
[[nodiscard]] Expected<void> set_from_text(const FieldInfo& field, void* config, std::string_view text,
                                           std::string_view origin);

/// Sets a field from an integer, a real, a truth value, a string or a list of strings.
[[nodiscard]] Expected<void> set_number(const FieldInfo& field, void* config, double number, bool is_integer,
                                        std::string_view origin);
[[nodiscard]] Expected<void> set_bool(const FieldInfo& field, void* config, bool value, std::string_view origin);
[[nodiscard]] Expected<void> set_string(const FieldInfo& field, void* config, std::string_view text,
                                        std::string_view origin);
[[nodiscard]] Expected<void> set_list(const FieldInfo& field, void* config, std::vector<std::string> list,
                                      std::string_view origin);

/// What a field takes, in words: "an integer from 1 to 65535".
[[nodiscard]] std::string allowed_text(const FieldInfo& field, void* config);

/// A value as TOML would write it.
[[nodiscard]] std::string field_text(const FieldRef& ref);

/// The name out of `names` with the fewest edits to `wrong`, or the same but for its section; empty where none is near
/// enough to be a slip (a third of the letters, one to four).
[[nodiscard]] std::string nearest_name(std::string_view wrong, const std::vector<std::string>& names);

}  // namespace corelay::daemon
