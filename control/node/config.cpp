// The layers of the configuration, and the checks that span several keys.
#include "control/node/config.h"

#include <fmt/format.h>
#define TOML_EXCEPTIONS 0   // Debian builds the shared library with exceptions, so the header is used alone
#define TOML_HEADER_ONLY 1
#include <toml++/toml.h>

#include <algorithm>
#include <cctype>

#include "control/node/config_value.h"

namespace corelay::node {
namespace {

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

std::size_t index_of(std::string_view name) {
  const auto fields = config_fields();
  for (std::size_t i = 0; i < fields.size(); ++i) {
    if (fields[i].name() == name) return i;
  }
  return fields.size();
}

template <class Name>
tl::unexpected<Error> unknown(std::string_view what, std::string_view name, std::string_view origin, Name name_of) {
  std::vector<std::string> names;
  for (const auto& field : config_fields()) names.push_back(name_of(field));
  const std::string near = nearest_name(name, names);
  return fail(ErrorCode::invalid_argument, "config",
              fmt::format("unknown {} {} ({}): {}", what, name.substr(0, 128), origin,
                          near.empty() ? "'corelayd config default' lists all" : "did you mean " + near + "?"));
}

tl::unexpected<Error> unknown_key(std::string_view name, std::string_view origin) {
  return unknown("key", name, origin, [](const FieldInfo& field) { return field.name(); });
}

Expected<void> set_from_node(const FieldInfo& field, NodeConfig& config, const toml::node& node,
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
                    fmt::format("{} ({}): must be {}", field.name(), origin, allowed_text(field)));
      }
      list.push_back(text->get());
    }
    return set_list(field, config, std::move(list), origin);
  }
  return fail(ErrorCode::invalid_argument, "config",
              fmt::format("{} ({}): must be {}", field.name(), origin, allowed_text(field)));
}

Expected<void> apply_file(const ConfigSources& sources, LoadedConfig& loaded) {
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
    if (table == nullptr) return unknown_key(section.str(), at(table_node));
    for (const auto& [key, node] : *table) {
      const std::string name = fmt::format("{}.{}", section.str(), key.str());
      const std::string origin = at(node);
      const std::size_t index = index_of(name);
      if (index == config_fields().size()) return unknown_key(name, origin);
      if (auto set = set_from_node(config_fields()[index], loaded.config, node, origin); !set) return set;
      loaded.origins[index] = origin;
    }
  }
  return {};
}

/// True for a name below CORELAY_<SECTION>_ of ours: such a name must be one of our keys.
bool is_ours(std::string_view variable) {
  return std::any_of(config_fields().begin(), config_fields().end(), [&](const FieldInfo& field) {
    return variable.starts_with(std::string(prefix) + upper(field.section) + "_");
  });
}

Expected<void> apply_environment(const ConfigSources& sources, LoadedConfig& loaded) {
  const auto find = [&](std::string_view name) -> const std::string* {
    for (const auto& [variable, value] : sources.environment) {
      if (variable == name && !value.empty()) return &value;
    }
    return nullptr;
  };
  const auto fields = config_fields();
  for (std::size_t i = 0; i < fields.size(); ++i) {
    std::string name = own_variable(fields[i]);
    const std::string* value = find(name);
    if (value == nullptr && !fields[i].variable.empty()) {
      name = fields[i].variable;
      value = find(name);
    }
    if (value == nullptr) continue;
    const std::string origin = "environment " + name;
    if (auto set = set_from_text(fields[i], loaded.config, *value, origin); !set) return set;
    loaded.origins[i] = origin;
  }
  for (const auto& [variable, value] : sources.environment) {
    if (value.empty() || !is_ours(variable)) continue;
    const bool known = std::any_of(fields.begin(), fields.end(), [&, &name = variable](const FieldInfo& field) {
      return own_variable(field) == name;
    });
    if (!known) return unknown("variable", variable, "environment", own_variable);
  }
  return {};
}

Expected<void> apply_flags(const ConfigSources& sources, LoadedConfig& loaded) {
  for (const auto& flag : sources.flags) {
    const std::string origin = "flag " + flag.flag;
    const std::size_t index = index_of(flag.key);
    if (index == config_fields().size()) return unknown_key(flag.key, origin);
    if (auto set = set_from_text(config_fields()[index], loaded.config, flag.value, origin); !set) return set;
    loaded.origins[index] = origin;
  }
  return {};
}

Expected<void> check_degrees(std::string_view section, std::uint32_t least, std::uint32_t target, std::uint32_t most) {
  if (least <= target && target <= most) return {};
  return fail(ErrorCode::invalid_argument, "config",
              fmt::format("{0}.degree_min = {1}, {0}.degree_target = {2}, {0}.degree_max = {3}: must not fall",
                          section, least, target, most));
}

Expected<void> check_together(const NodeConfig& config) {
  const auto invalid = [](std::string text) { return fail(ErrorCode::invalid_argument, "config", std::move(text)); };
  const auto& mesh = config.mesh;
  if (auto ok = check_degrees("mesh", mesh.degree_min, mesh.degree_target, mesh.degree_max); !ok) return ok;
  const auto& gossip = config.gossipsub;
  if (auto ok = check_degrees("gossipsub", gossip.degree_min, gossip.degree_target, gossip.degree_max); !ok) return ok;
  if (mesh.redial_min_ms > mesh.redial_max_ms) {
    return invalid(fmt::format("mesh.redial_min_ms = {}: must not be above mesh.redial_max_ms = {}",
                               mesh.redial_min_ms, mesh.redial_max_ms));
  }
  if (config.p2p.port == 0 && config.dataplane.lanes != 1) {
    return invalid("p2p.port = 0 (any free port) needs dataplane.lanes = 1");
  }
  if (config.p2p.port + config.dataplane.lanes > 65536) {
    return invalid(fmt::format("p2p.port = {} with dataplane.lanes = {}: the last lane's port would be above 65535",
                               config.p2p.port, config.dataplane.lanes));
  }
  if (config.relay.shard_mult != 0 && config.relay.shard_mult < 1) {
    return invalid(
        fmt::format("relay.shard_mult = {}: must be 0 (automatic) or from 1 to 16", config.relay.shard_mult));
  }
  if (config.node.identity_dir.empty()) return invalid("node.identity_dir is empty: name a folder for p2p.key");
  return {};
}

}  // namespace

Expected<LoadedConfig> load_config(const ConfigSources& sources) {
  LoadedConfig loaded;
  loaded.origins.assign(config_fields().size(), "default");
  if (!sources.file_name.empty()) {
    if (auto ok = apply_file(sources, loaded); !ok) return tl::make_unexpected(ok.error());
  }
  if (auto ok = apply_environment(sources, loaded); !ok) return tl::make_unexpected(ok.error());
  if (auto ok = apply_flags(sources, loaded); !ok) return tl::make_unexpected(ok.error());
  if (auto ok = check_together(loaded.config); !ok) return tl::make_unexpected(ok.error());
  return loaded;
}

std::string print_config(const LoadedConfig& loaded) {
  std::string out;
  std::string_view section;
  const auto fields = config_fields();
  for (std::size_t i = 0; i < fields.size(); ++i) {
    if (fields[i].section != section) {
      out += fmt::format("{}[{}]\n", section.empty() ? "" : "\n", fields[i].section);
      section = fields[i].section;
    }
    const std::string line = fmt::format("{} = {}", fields[i].key, field_text(fields[i], loaded.config));
    out += fmt::format("{:<44}  # {}\n", line, loaded.origins[i]);
  }
  return out;
}

dataplane::RelayParams relay_params(const NodeConfig& config) {
  const auto& relay = config.relay;
  dataplane::RelayParams params;
  params.wire.lanes = config.dataplane.lanes;
  params.wire.message_bytes_max = relay.message_bytes_max;
  params.path_mtu_bytes = relay.path_mtu_bytes;
  if (relay.shard_factor != 0) params.shards_target = relay.shard_factor;
  params.peers_max = relay.peers_max;
  params.messages_max = relay.messages_max;
  params.large_messages_max = relay.large_messages_max;
  params.cells_max = relay.cells_max;
  params.generations_max = relay.generations_max;
  params.seen_max = relay.seen_max;
  params.topics_max = relay.topics_max;
  params.messages_per_peer_max = relay.messages_per_peer_max;
  params.seen_time = dataplane::seconds(relay.seen_s);
  params.keep_time = dataplane::seconds(relay.keep_s);
  params.incomplete_time = dataplane::seconds(relay.incomplete_s);
  params.publish_hold = dataplane::milliseconds(config.publish.hold_ms);
  params.redundancy = relay.redundancy;
  params.forward_threshold = relay.threshold;
  if (relay.shard_mult != 0) params.start_mult = relay.shard_mult;
  params.verify_before_forward = relay.verify_before_forward;
  params.rate_bytes_per_second_max = relay.rate_bytes_per_second_max;
  return params;
}

dataplane::DataplaneConfig dataplane_config(const NodeConfig& config) {
  const auto& from = config.dataplane;
  dataplane::DataplaneConfig to;
  to.relay = relay_params(config);
  to.bind_address = config.p2p.address;
  to.port = config.p2p.port;
  to.backend = from.backend;
  to.idle = from.idle;
  to.spin_us = from.spin_us;
  to.pin_lcores = from.pin_lcores;
  to.command_ring_depth = from.command_ring_depth;
  to.event_ring_depth = from.event_ring_depth;
  to.socket_buffer_bytes = from.socket_buffer_bytes;
  to.test_loss = from.test_loss;
  return to;
}

}  // namespace corelay::node
