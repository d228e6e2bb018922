// Any bytes as a configuration file: never a crash, and what is accepted prints to a file that means the same.
#include <cstddef>
#include <cstdint>
#include <string>

#include "codec/check.h"
#include "control/node/config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace corelay::node;
  ConfigSources sources;
  sources.file_name = "fuzz.toml";
  sources.file_text.assign(reinterpret_cast<const char*>(data), size);
  const auto loaded = load_config(sources);
  if (!loaded) return 0;
  sources.file_text = print_config(*loaded);
  const auto again = load_config(sources);
  CHECK(again.has_value());
  for (const auto& field : config_fields()) {
    CHECK(field_text(field, again->config) == field_text(field, loaded->config));
  }
  return 0;
}
