// Any bytes as a configuration, of a node and of a gateway: as a file; and each line as a variable of the environment,
// or behind a dash as a flag. Never a crash, and what is accepted prints to a file that means the same.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "codec/bytes.h"
#include "codec/check.h"
#include "control/daemon/setting_value.h"
#include "control/gateway/config.h"
#include "control/node/config.h"

namespace {

using corelay::daemon::ConfigSources;

ConfigSources as_file(std::string text) {
  ConfigSources sources;
  sources.file_name = "fuzz.toml";
  sources.file_text = std::move(text);
  return sources;
}

ConfigSources as_lines(std::string_view text) {
  ConfigSources sources;
  for (int lines = 0; !text.empty() && lines < 64; ++lines) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const std::size_t equals = line.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string name(line.substr(0, equals));
    const std::string value(line.substr(equals + 1));
    if (name.starts_with('-')) {
      sources.flags.push_back({name.substr(1), value, "--set"});
    } else {
      sources.environment.emplace_back(name, value);
    }
  }
  return sources;
}

/// `load`, `print` and `fields` are one daemon's.
template <class Load, class Print, class Fields>
void read(const ConfigSources& sources, Load load, Print print, Fields fields) {
  auto loaded = load(sources);
  if (!loaded) {
    CHECK(!loaded.error().what.empty());
    return;
  }
  auto again = load(as_file(print(*loaded)));
  CHECK(again.has_value());
  using corelay::daemon::field_text;
  for (const auto& field : fields) CHECK(field_text(field.at(&again->config)) == field_text(field.at(&loaded->config)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace corelay;
  const std::string_view text = as_text({data, size});
  for (const auto& sources : {as_file(std::string(text)), as_lines(text)}) {
    read(sources, node::load_config, node::print_config, node::config_fields());
    read(sources, gateway::load_config, gateway::print_config, gateway::config_fields());
  }
  return 0;
}
