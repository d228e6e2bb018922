// Any bytes as what a node's sidecar sends: never a crash, and views stay inside the input.
#include <cstddef>
#include <cstdint>
#include <string>

#include "codec/check.h"
#include "control/daemon/proto_fields.h"
#include "control/gateway/hub.h"
#include "control/gateway/sidecar_message.h"
#include "control/gateway/text.h"

namespace {

void look(std::string_view text, const std::optional<corelay::gateway::SidecarMessage>& message) {
  using namespace corelay::gateway;
  if (message) {
    CHECK(!message->topic.empty() && !message->id.empty());
    CHECK(message->payload.empty() || (message->payload.data() >= text.data() &&
                                       message->payload.data() + message->payload.size() <= text.data() + text.size()));
    if (const auto payload = message->decoded()) {
      CHECK(unwrap_payload(*payload).size() <= payload->size());
    }
  }
}

void look(std::string_view text) {
  look(text, corelay::gateway::parse_message(text));
  look(text, corelay::gateway::parse_delivery(text));
  static_cast<void>(corelay::gateway::parse_publish_answer(text));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  look(bytes);
  if (const auto response = corelay::gateway::parse_response(bytes)) look(response->data);
  corelay::daemon::ProtoFields burst(bytes);
  while (const auto field = burst.next()) look(field->bytes);
  return 0;
}
