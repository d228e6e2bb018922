// Known values for the libp2p tests: tests/control/vectors/libp2p.json (made with js-libp2p and
// fixed keys) and hex.
#pragma once

#include <cstdint>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace corelay::libp2p {

inline const nlohmann::json& vectors() {
  static const nlohmann::json json =
      nlohmann::json::parse(std::ifstream(std::string(CORELAY_TEST_VECTORS) + "/libp2p.json"));
  return json;
}

inline std::vector<std::uint8_t> from_hex(const std::string& text) {
  std::vector<std::uint8_t> bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    bytes.push_back(static_cast<std::uint8_t>(std::stoul(text.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

}  // namespace corelay::libp2p
