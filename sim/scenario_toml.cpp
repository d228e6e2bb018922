// Scenarios from TOML. One table of fields is the parser, the check for unknown names and, with
// sim/scenario.toml, the documentation.
#include <fmt/format.h>
#define TOML_ASSERT(condition) static_assert(true)  // one is wrong: it stops the process where an error would follow
#include <toml++/toml.h>

#include <algorithm>
#include <functional>
#include <string>

#include "sim/propagation.h"

namespace corelay::sim {
namespace {

/// Edits between two words.
std::size_t edits(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

/// Thrown inside this file only.
struct Wrong {
  std::string what;
};

/// Up to 10^12, so that as milliseconds it is still a time in nanoseconds.
double real(const toml::node& node, const std::string& name) {
  constexpr double most = 1e12;
  const auto value = node.value<double>();
  if (value && *value >= 0 && *value <= most) return *value;  // a NaN is neither
  throw Wrong{fmt::format("{} must be a number, 0 to 10^12", name)};
}

std::size_t whole(const toml::node& node, const std::string& name) {
  const auto value = node.value_exact<std::int64_t>();
  if (!value || *value < 0) throw Wrong{fmt::format("{} must be a whole number, 0 or more", name)};
  return static_cast<std::size_t>(*value);
}

std::uint16_t whole_in(const toml::node& node, const std::string& name, std::uint16_t least, std::uint16_t most) {
  const std::size_t value = whole(node, name);
  if (value >= least && value <= most) return static_cast<std::uint16_t>(value);
  throw Wrong{fmt::format("{} must be {} to {}", name, least, most)};
}

double share(const toml::node& node, const std::string& name) {
  const double value = real(node, name);
  if (value > 1) throw Wrong{fmt::format("{} must be a share, 0 to 1", name)};
  return value;
}

std::string text(const toml::node& node, const std::string& name) {
  if (const auto value = node.value_exact<std::string>()) return *value;
  throw Wrong{fmt::format("{} must be text", name)};
}

bool truth(const toml::node& node, const std::string& name) {
  if (const auto value = node.value_exact<bool>()) return *value;
  throw Wrong{fmt::format("{} must be true or false", name)};
}

const toml::array& list(const toml::node& node, const std::string& name) {
  if (const toml::array* array = node.as_array()) return *array;
  throw Wrong{fmt::format("{} must be a list", name)};
}

using Take = std::function<void(PropagationScenario&, const toml::node&, const std::string&)>;
struct Field {
  std::string_view name;
  Take take;
};
using Fields = std::vector<Field>;

void take_fields(PropagationScenario& scenario, const toml::table& table, const Fields& fields,
                 const std::string& prefix);

/// A field that holds fields of its own.
Field section(std::string_view name, Fields fields) {
  return {name, [fields = std::move(fields)](PropagationScenario& s, const toml::node& node,
                                             const std::string& path) {
            const toml::table* table = node.as_table();
            if (table == nullptr) throw Wrong{fmt::format("{} must be a section", path)};
            take_fields(s, *table, fields, path + ".");
          }};
}

void take_fields(PropagationScenario& scenario, const toml::table& table, const Fields& fields,
                 const std::string& prefix) {
  for (const auto& [key, node] : table) {
    const std::string_view name = key.str();
    const auto found =
        std::find_if(fields.begin(), fields.end(), [&](const Field& field) { return field.name == name; });
    if (found == fields.end()) {
      const auto nearest =
          std::min_element(fields.begin(), fields.end(), [&](const Field& a, const Field& b) {
            return edits(a.name, name) < edits(b.name, name);
          });
      throw Wrong{fmt::format("there is no field '{}{}' (line {}); the nearest is '{}{}'", prefix,
                              name, node.source().begin.line, prefix, nearest->name)};
    }
    found->take(scenario, node, prefix + std::string(name));
  }
}

Field of(std::string_view name, double PropagationScenario::*field) {
  return {name,
          [field](auto& s, const auto& node, const auto& path) { s.*field = real(node, path); }};
}
Field share_of(std::string_view name, double PropagationScenario::*field) {
  return {name,
          [field](auto& s, const auto& node, const auto& path) { s.*field = share(node, path); }};
}
Field of(std::string_view name, std::size_t PropagationScenario::*field) {
  return {name,
          [field](auto& s, const auto& node, const auto& path) { s.*field = whole(node, path); }};
}

void take_classes(PropagationScenario& scenario, const toml::node& node, const std::string& path) {
  scenario.bandwidth.clear();
  for (const toml::node& entry : list(node, path)) {
    const toml::table* table = entry.as_table();
    if (table == nullptr) throw Wrong{fmt::format("{} must be a list of sections", path)};
    BandwidthClass one;
    for (const auto& [key, value] : *table) {
      const std::string name = path + "." + std::string(key.str());
      if (key == "share") {
        one.share = real(value, name);
      } else if (key == "up_mbps") {
        one.up_mbps = real(value, name);
      } else if (key == "down_mbps") {
        one.down_mbps = real(value, name);
      } else {
        throw Wrong{
            fmt::format("there is no field '{}'; there are share, up_mbps, down_mbps", name)};
      }
    }
    if (one.share <= 0 || one.up_mbps <= 0 || one.down_mbps <= 0)
      throw Wrong{fmt::format("{}: share, up_mbps and down_mbps must be above 0", path)};
    scenario.bandwidth.push_back(one);
  }
  if (scenario.bandwidth.empty() || scenario.bandwidth.size() > 200)
    throw Wrong{fmt::format("{} must have 1 to 200 entries", path)};
}

Fields latency_fields() {
  return {
      {"constant_ms",
       [](auto& s, const auto& node, const auto& path) {
         s.latency.min_ms = s.latency.max_ms = real(node, path);
       }},
      {"min_ms",
       [](auto& s, const auto& node, const auto& path) { s.latency.min_ms = real(node, path); }},
      {"max_ms",
       [](auto& s, const auto& node, const auto& path) { s.latency.max_ms = real(node, path); }},
      {"steps",
       [](auto& s, const auto& node, const auto& path) { s.latency.steps = whole(node, path); }},
      {"jitter_ms",
       [](auto& s, const auto& node, const auto& path) { s.latency.jitter_ms = real(node, path); }},
      {"regions",
       [](auto& s, const auto& node, const auto& path) {
         s.latency.regions.clear();
         for (const toml::node& one : list(node, path))
           s.latency.regions.push_back(text(one, path));
       }},
      {"weights",
       [](auto& s, const auto& node, const auto& path) {
         s.latency.weights.clear();
         for (const toml::node& one : list(node, path))
           s.latency.weights.push_back(real(one, path));
       }},
      {"matrix_ms",
       [](auto& s, const auto& node, const auto& path) {
         s.latency.matrix_ms.clear();
         for (const toml::node& row : list(node, path)) {
           for (const toml::node& one : list(row, path))
             s.latency.matrix_ms.push_back(real(one, path));
         }
       }},
  };
}

Fields relay_fields() {
  return {
      {"shards_target",
       [](auto& s, const auto& node, const auto& path) {
         s.relay.shards_target = whole_in(node, path, 1, 128);
       }},
      {"path_mtu_bytes",
       [](auto& s, const auto& node, const auto& path) {
         s.relay.path_mtu_bytes = whole_in(node, path, 576, 1972);
       }},
      {"redundancy",
       [](auto& s, const auto& node, const auto& path) { s.relay.redundancy = real(node, path); }},
      {"start_mult",
       [](auto& s, const auto& node, const auto& path) { s.relay.start_mult = real(node, path); }},
      {"forward_threshold",
       [](auto& s, const auto& node, const auto& path) {
         s.relay.forward_threshold = share(node, path);
       }},
      {"uplink_known",
       [](PropagationScenario& s, const toml::node& node, const std::string& path) {
         s.is_uplink_known = truth(node, path);
       }},
      {"verify_before_forward",
       [](auto& s, const auto& node, const auto& path) {
         s.relay.verify_before_forward = truth(node, path);
       }},
  };
}

void take_pollution(PropagationScenario& scenario, const toml::node& node,
                    const std::string& path) {
  const std::string kind = text(node, path);
  if (kind == "wrong-bytes") {
    scenario.pollution = Pollution::wrong_bytes;
  } else if (kind == "lies-about-rank") {
    scenario.pollution = Pollution::lies_about_rank;
  } else if (kind == "never-forwards") {
    scenario.pollution = Pollution::never_forwards;
  } else {
    throw Wrong{fmt::format("{} is 'wrong-bytes', 'lies-about-rank' or 'never-forwards', not '{}'",
                            path, kind)};
  }
}

Fields all_fields() {
  using S = PropagationScenario;
  return {
      {"name", [](auto& s, const auto& node, const auto& path) { s.name = text(node, path); }},
      {"about", [](auto& s, const auto& node, const auto& path) { s.about = text(node, path); }},
      of("nodes", &S::nodes),
      section("degree",
              {of("target", &S::degree_target),
               of("min", &S::degree_min),
               of("max", &S::degree_max),
               {"formed_by_mesh", [](auto& s, const auto& node,
                                     const auto& path) { s.is_mesh_formed = truth(node, path); }}}),
      {"bandwidth", take_classes},
      section("latency", latency_fields()),
      section(
          "loss",
          {{"random", [](auto& s, const auto& n, const auto& p) { s.loss.random = share(n, p); }},
           {"burst_start",
            [](auto& s, const auto& n, const auto& p) { s.loss.burst_start = share(n, p); }},
           {"burst_end",
            [](auto& s, const auto& n, const auto& p) { s.loss.burst_end = share(n, p); }}}),
      section("link",
              {of("queue_ms", &S::queue_ms),
               {"shaped_each", [](auto& s, const auto& node,
                                  const auto& path) { s.is_link_shaped = truth(node, path); }}}),
      section("message",
              {of("size_bytes", &S::size_bytes), of("count", &S::messages),
               of("publishers", &S::publishers), of("publisher_class", &S::publisher_class),
               of("stagger_ms", &S::stagger_ms), of("spacing_ms", &S::spacing_ms),
               of("timeout_ms", &S::timeout_ms)}),
      section("fault", {share_of("silent_share", &S::silent_share),
                        share_of("polluter_share", &S::polluter_share),
                        {"pollution", take_pollution},
                        of("evict_score", &S::evict_score),
                        {"evict_half_life_ms",
                         [](auto& s, const auto& node, const auto& path) {
                           s.evict_half_life_ms = real(node, path);
                           if (s.evict_half_life_ms <= 0)
                             throw Wrong{fmt::format("{} must be above 0", path)};
                         }},
                        share_of("churn_share", &S::churn_share),
                        of("publisher_leaves_after", &S::publisher_leaves_after)}),
      section("cpu", {of("us_per_packet", &S::cpu_us_per_packet)}),
      section("relay", relay_fields()),
  };
}

}  // namespace

Expected<PropagationScenario> parse_scenario(std::string_view toml, std::string_view where) {
  const auto wrong = [&](const std::string& what) {
    return fail(ErrorCode::invalid_argument, std::string(where), what);
  };
  try {
    const toml::table table = toml::parse(toml, where);
    PropagationScenario scenario;
    scenario.name = where;
    take_fields(scenario, table, all_fields(), "");
    const toml::table* degree = table["degree"].as_table();
    if (degree != nullptr && !degree->contains("min")) scenario.degree_min = scenario.degree_target;
    if (degree != nullptr && !degree->contains("max")) scenario.degree_max = scenario.degree_target;
    const LatencyPlan& latency = scenario.latency;
    if (latency.max_ms < latency.min_ms || latency.min_ms < 0)
      return wrong("latency: 0 <= min_ms <= max_ms does not hold");
    if (latency.weights.size() != latency.regions.size() ||
        latency.matrix_ms.size() != latency.regions.size() * latency.regions.size())
      return wrong("latency: there must be a weight for each region and a delay for each pair");
    if (latency.regions.size() > 200) return wrong("latency: there may be 200 regions");
    return scenario;
  } catch (const toml::parse_error& error) {
    return wrong(fmt::format("line {}: {}", error.source().begin.line, error.description()));
  } catch (const Wrong& error) {
    return wrong(error.what);
  }
}

}  // namespace corelay::sim
