// Any bytes as the frames of a WebSocket client: never a crash, bounded, and the same whole or byte by byte.
#include <cstddef>
#include <cstdint>
#include <string>

#include "codec/check.h"
#include "control/gateway/api_input.h"
#include "control/gateway/text.h"
#include "control/gateway/ws_frame.h"

using namespace corelay::gateway;

namespace {

constexpr std::size_t bytes_max = 1000;

std::string read(std::string_view bytes, std::size_t part) {
  WsParser parser(bytes_max);
  std::string seen;
  for (std::size_t at = 0; at < bytes.size(); at += part) {
    std::string_view rest = bytes.substr(at, part);
    for (;;) {
      const auto outcome = parser.feed(rest);
      CHECK(parser.held_bytes() <= bytes_max);
      if (outcome == WsParser::Outcome::need_more) break;
      if (outcome == WsParser::Outcome::error)
        return seen + "error " + std::to_string(static_cast<int>(parser.error_code()));
      CHECK(parser.payload().size() <= bytes_max);
      CHECK(parser.opcode() != WsOpcode::text || is_utf8(parser.payload()));
      seen += std::to_string(static_cast<int>(parser.opcode())) + parser.payload() + "\n";
      if (parser.opcode() == WsOpcode::text) static_cast<void>(parse_input(parser.payload()));
    }
  }
  return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  CHECK(read(bytes, bytes.size() + 1) == read(bytes, 1));
  return 0;
}
