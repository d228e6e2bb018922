/// The settings of a daemon: one typed struct, four layers. A flag beats the environment, the environment beats the
/// file, the file beats the default. A daemon gives a table of its fields; reading, checking and printing are here. A
/// wrong key, type or value is an error that names it; nothing is silently ignored.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "codec/expected.h"

namespace corelay::daemon {

/// An enumerated setting: its raw value and the names of 0, 1, 2, ...
struct EnumRef {
  unsigned char* value = nullptr;
  std::span<const std::string_view> names;
};

/// Where one setting lives inside a daemon's struct.
using FieldRef = std::variant<bool*, std::uint16_t*, std::uint32_t*, std::uint64_t*, double*, std::string*,
                              std::vector<std::string>*, EnumRef>;

/// One key. `variable` is the published product's environment name for it, or several with a comma between, the first
/// that is set counting; empty where it has none. Besides, every key answers to CORELAY_<SECTION>_<KEY>. `least` and
/// `most` bound numbers. `at` takes the daemon's struct.
struct FieldInfo {
  std::string_view section;
  std::string_view key;
  std::string_view variable;
  double least = 0;
  double most = 0;
  FieldRef (*at)(void* config) = nullptr;

  [[nodiscard]] std::string name() const { return std::string(section) + "." + std::string(key); }
};

/// All keys of one daemon, in the order of its default.toml, and the program to name in remedies.
struct Schema {
  std::span<const FieldInfo> fields;
  std::string_view program;
};

/// A value given on the command line: key as section.key, value as text, and the flag it came by, for messages.
struct FlagValue {
  std::string key;
  std::string value;
  std::string flag = "--set";
};

/// What the layers are made from.
struct ConfigSources {
  std::string file_name;                                         // for messages; empty: no file
  std::string file_text;                                         // TOML
  std::vector<std::pair<std::string, std::string>> environment;  // all of it: other names are passed over
  std::vector<FlagValue> flags;
};

/// Applies file, environment and flags, in this order, to `config`, which holds the defaults. Returns where each value
/// came from, in the order of the fields. Errors: invalid_argument, naming key, value and what is allowed, or the
/// nearest key; malformed, for a file that is not TOML, with line and column. An environment variable that is set but
/// empty counts as not set. Unknown names in the environment are errors only below CORELAY_<SECTION>_.
[[nodiscard]] Expected<std::vector<std::string>> apply_layers(const Schema& schema, void* config,
                                                              const ConfigSources& sources);

/// The whole configuration as a TOML file, each value with its origin in a comment.
[[nodiscard]] std::string print_settings(const Schema& schema, void* config, const std::vector<std::string>& origins);

/// A checked configuration, and where each value came from, in the order of the fields.
template <class Config>
struct Loaded {
  Config config;
  std::vector<std::string> origins;
};

/// Applies the layers to the defaults, then `check_together`, which looks at what spans several settings.
template <class Config>
[[nodiscard]] Expected<Loaded<Config>> load(const Schema& schema, const ConfigSources& sources,
                                            Expected<void> (*check_together)(const Config& config)) {
  Loaded<Config> loaded;
  auto origins = apply_layers(schema, &loaded.config, sources);
  if (!origins) return tl::make_unexpected(origins.error());
  loaded.origins = std::move(*origins);
  if (auto ok = check_together(loaded.config); !ok) return tl::make_unexpected(ok.error());
  return loaded;
}

/// What print_settings() makes of it.
template <class Config>
[[nodiscard]] std::string print(const Schema& schema, const Loaded<Config>& loaded) {
  Config copy = loaded.config;  // fields are reached through a writable struct
  return print_settings(schema, &copy, loaded.origins);
}

/// This process's environment, and the file where one is named, as sources. Errors: not_found, invalid_argument.
[[nodiscard]] Expected<ConfigSources> read_sources(const std::string& config_file, std::vector<FlagValue> flags);

}  // namespace corelay::daemon
