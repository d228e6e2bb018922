/// What a daemon's table of settings is written with: CORELAY_FIELD for each key, and the references it makes.
#pragma once

#include <array>
#include <span>
#include <string_view>

#include "control/daemon/log.h"
#include "control/daemon/settings.h"

namespace corelay::daemon {

inline constexpr std::array<std::string_view, 6> log_level_names{"trace", "debug", "info", "warn", "error", "off"};
inline constexpr std::array<std::string_view, 2> log_format_names{"text", "json"};

template <class T>
FieldRef reference(T& value) {
  return &value;
}

/// An enumeration of one byte, its names in the order of 0, 1, 2, ...
template <class E>
FieldRef names_of(E& value, std::span<const std::string_view> names) {
  static_assert(sizeof(E) == 1);
  return EnumRef{reinterpret_cast<unsigned char*>(&value), names};
}
inline FieldRef reference(LogLevel& value) { return names_of(value, log_level_names); }
inline FieldRef reference(LogFormat& value) { return names_of(value, log_format_names); }

}  // namespace corelay::daemon

/// One line of the table. reference() is looked up where the table stands, so a daemon adds its own enumerations.
#define CORELAY_FIELD(Config, section, key, variable, least, most)                                                    \
  ::corelay::daemon::FieldInfo {                                                                                      \
#section, #key, variable, least, most, [](void* c) { return reference(static_cast<Config*>(c)->section.key); } \
  }
