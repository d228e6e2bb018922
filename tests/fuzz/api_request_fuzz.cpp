// Any bytes as an HTTP request target and as a list of topics: never a crash, and what is accepted is within its rules.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "codec/check.h"
#include "control/daemon/http_request.h"
#include "control/node/topic_list.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace corelay::node;
  const std::string text(reinterpret_cast<const char*>(data), size);
  if (const auto request = corelay::daemon::parse_target("GET", text)) {
    CHECK(!request->path.empty() && request->path.front() == '/');
    CHECK(std::none_of(request->path.begin(), request->path.end(), [](unsigned char c) { return c < 0x20; }));
  }
  for (const auto& topic : parse_topic_list(text)) CHECK(topic.size() <= text.size());
  return 0;
}
