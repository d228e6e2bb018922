// The layers of the configuration.
#include "control/daemon/settings.h"

#include <fmt/format.h>
#include <unistd.h>
#define TOML_EXCEPTIONS 0   // Debian builds the shared library with exceptions, so the header is used alone
#define TOML_HEADER_ONLY 1
#define TOML_ASSERT(condition) static_assert(true)  // one is wrong: it stops the process where an error would follow
#include <toml++/toml.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "control/daemon/setting_value.h"

namespace corelay::daemon {
namespace {

/// What the layers are applied to.
struct Layers {
  const Schema& schema;
  void* config;
  std::vector<std::string> origins;
};

constexpr std::size_t file_bytes_max = 1u << 20;
constexpr std::string_view prefix = "CORELAY_";

std::string upper(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return out;
}

std::string own_variable(const FieldInfo& field) {
  return std::string(prefix) + upper(field.section) + "_" + upper(field.key);
}

std::size_t index_of(const Schema& schema, std::string_view name) {
  const auto fields = schema.fields;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    if (fields[i].name() == name) return i;
  }
  return fields.size();
}

template <class Name>
tl::unexpected<Error> unknown(const Schema& schema, std::string_view what, std::string_view name,
                              std::string_view origin, Name name_of) {
  std::vector<std::string> names;
  for (const auto& field : schema.fields) names.push_back(name_of(field));
  const std::string near = nearest_name(name, names);
  return fail(ErrorCode::invalid_argument, "config",
              fmt::format("unknown {} {} ({}): {}", what, name.substr(0, 128), origin,
                          near.empty() ? fmt::format("'{} config default' lists all", schema.program)
                                       : "did you mean " + near + "?"));
}

tl::unexpected<Error> unknown_key(const Schema& schema, std::string_view name, std::string_view origin) {
  return unknown(schema, "key", name, origin, [](const FieldInfo& field) { return field.name(); });
}

Expected<void> set_from_node(const FieldInfo& field, void* config, const toml::node& node,
                             std::string_view origin) {
  if (const auto* truth = node.as_boolean()) return set_bool(field, config, truth->get(), origin);
  if (const auto* integer = node.as_integer()) {
    return set_number(field, config, static_cast<double>(integer->get()), true, origin);
  }
  if (const auto* real = node.as_floating_point()) return set_number(field, config, real->get(), false, origin);
  if (const auto* text = node.as_string()) return set_string(field, config, text->get(), origin);
  if (const auto* array = node.as_array()) {
    std::vector<std::string> list;
    for (const auto& item : *array) {
      const auto* text = item.as_string();
      if (text == nullptr) {
        return fail(ErrorCode::invalid_argument, "config",
                    fmt::format("{} ({}): must be {}", field.name(), origin, allowed_text(field, config)));
      }
      list.push_back(text->get());
    }
    return set_list(field, config, std::move(list), origin);
  }
  return fail(ErrorCode::invalid_argument, "config",
              fmt::format("{} ({}): must be {}", field.name(), origin, allowed_text(field, config)));
}

Expected<void> apply_file(const ConfigSources& sources, Layers& layers) {
  if (sources.file_text.size() > file_bytes_max) {
    return fail(ErrorCode::too_large, "config", fmt::format("{}: over {} bytes", sources.file_name, file_bytes_max));
  }
  const toml::parse_result parsed = toml::parse(std::string_view(sources.file_text), sources.file_name);
  if (!parsed) {
    const auto& where = parsed.error().source().begin;
    return fail(ErrorCode::malformed, "config",
                fmt::format("{} line {}, column {}: {}", sources.file_name, where.line, where.column,
                            parsed.error().description()));
  }
  for (const auto& [section, table_node] : parsed.table()) {
    const auto at = [&](const toml::node& node) {
      return fmt::format("{} line {}", sources.file_name, node.source().begin.line);
    };
    const auto* table = table_node.as_table();
    if (table == nullptr) return unknown_key(layers.schema, section.str(), at(table_node));
    for (const auto& [key, node] : *table) {
      const std::string name = fmt::format("{}.{}", section.str(), key.str());
      const std::string origin = at(node);
      const std::size_t index = index_of(layers.schema, name);
      if (index == layers.schema.fields.size()) return unknown_key(layers.schema, name, origin);
      if (auto set = set_from_node(layers.schema.fields[index], layers.config, node, origin); !set) return set;
      layers.origins[index] = origin;
    }
  }
  return {};
}

/// True for a name below CORELAY_<SECTION>_ of ours: such a name must be one of our keys.
bool is_ours(const Schema& schema, std::string_view variable) {
  return std::any_of(schema.fields.begin(), schema.fields.end(), [&](const FieldInfo& field) {
    return variable.starts_with(std::string(prefix) + upper(field.section) + "_");
  });
}

Expected<void> apply_environment(const ConfigSources& sources, Layers& layers) {
  const auto find = [&](std::string_view name) -> const std::string* {
    for (const auto& [variable, value] : sources.environment) {
      if (variable == name && !value.empty()) return &value;
    }
    return nullptr;
  };
  const auto fields = layers.schema.fields;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    std::string name = own_variable(fields[i]);
    const std::string* value = find(name);
    for (std::string_view rest = fields[i].variable; value == nullptr && !rest.empty();) {
      name = rest.substr(0, rest.find(','));
      rest.remove_prefix(std::min(rest.size(), name.size() + 1));
      value = find(name);
    }
    if (value == nullptr) continue;
    const std::string origin = "environment " + name;
    if (auto set = set_from_text(fields[i], layers.config, *value, origin); !set) return set;
    layers.origins[i] = origin;
  }
  for (const auto& [variable, value] : sources.environment) {
    if (value.empty() || !is_ours(layers.schema, variable)) continue;
    const bool known = std::any_of(fields.begin(), fields.end(), [&, &name = variable](const FieldInfo& field) {
      return own_variable(field) == name;
    });
    if (!known) return unknown(layers.schema, "variable", variable, "environment", own_variable);
  }
  return {};
}

Expected<void> apply_flags(const ConfigSources& sources, Layers& layers) {
  for (const auto& flag : sources.flags) {
    const std::string origin = "flag " + flag.flag;
    const std::size_t index = index_of(layers.schema, flag.key);
    if (index == layers.schema.fields.size()) return unknown_key(layers.schema, flag.key, origin);
    if (auto set = set_from_text(layers.schema.fields[index], layers.config, flag.value, origin); !set) return set;
    layers.origins[index] = origin;
  }
  return {};
}

}  // namespace

Expected<std::vector<std::string>> apply_layers(const Schema& schema, void* config, const ConfigSources& sources) {
  Layers layers{schema, config, std::vector<std::string>(schema.fields.size(), "default")};
  if (!sources.file_name.empty()) {
    if (auto ok = apply_file(sources, layers); !ok) return tl::make_unexpected(ok.error());
  }
  if (auto ok = apply_environment(sources, layers); !ok) return tl::make_unexpected(ok.error());
  if (auto ok = apply_flags(sources, layers); !ok) return tl::make_unexpected(ok.error());
  return std::move(layers.origins);
}

std::string print_settings(const Schema& schema, void* config, const std::vector<std::string>& origins) {
  std::string out;
  std::string_view section;
  const auto fields = schema.fields;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    if (fields[i].section != section) {
      out += fmt::format("{}[{}]\n", section.empty() ? "" : "\n", fields[i].section);
      section = fields[i].section;
    }
    const std::string line = fmt::format("{} = {}", fields[i].key, field_text(fields[i].at(config)));
    out += fmt::format("{:<44}  # {}\n", line, origins[i]);
  }
  return out;
}

Expected<ConfigSources> read_sources(const std::string& config_file, std::vector<FlagValue> flags) {
  ConfigSources sources;
  sources.flags = std::move(flags);
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
    const std::string text(*variable);
    const auto equals = text.find('=');
    if (equals != std::string::npos) sources.environment.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  if (config_file.empty()) return sources;
  std::error_code unknown;
  if (std::filesystem::is_directory(config_file, unknown)) {
    return fail(ErrorCode::invalid_argument, "config", config_file + " cannot be read", EISDIR);
  }
  std::ifstream file(config_file, std::ios::binary);
  if (!file) return fail(ErrorCode::not_found, "config", config_file + " cannot be read", errno);
  sources.file_name = config_file;
  sources.file_text.assign(std::istreambuf_iterator<char>(file), {});
  return sources;
}

}  // namespace corelay::daemon
