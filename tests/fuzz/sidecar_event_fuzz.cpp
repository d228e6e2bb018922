// Any bytes as what a node sends to the command line: a message in JSON, a trace in protobuf, gRPC's refusal of a
// request; and as the numbers a person types. Never a crash, and what is taken is shown without control characters.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "codec/bytes.h"
#include "codec/check.h"
#include "tools/corelay/sidecar_event.h"
#include "tools/corelay/text.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace corelay;
  using namespace corelay::tools;
  const std::string_view text = as_text({data, size});
  if (const auto message = parse_message(text)) {
    CHECK(message->payload.size() <= size && message->topic.size() <= size);
    const std::string shown = shown_payload(message->payload);
    CHECK(std::none_of(shown.begin(), shown.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }));
  }
  if (const auto trace = parse_trace(text)) {
    CHECK(trace->message_id.size() + trace->topic.size() + trace->reason.size() <= size);
    CHECK(trace->kind != TraceKind::other || trace->topic.empty());
  }
  static_cast<void>(over_request_limit(text));
  if (const auto time = parse_duration(text)) CHECK(time->count() >= 0);
  if (const auto bytes = parse_bytes(text)) CHECK(*bytes < 1'000'000'000'000'000);
  if (const auto number = parse_number(text)) CHECK(std::to_string(*number).size() <= size);
  return 0;
}
