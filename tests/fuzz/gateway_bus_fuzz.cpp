// Any bytes as what another gateway says on the bus: never a crash, and what is read is written back the same.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "codec/bytes.h"
#include "codec/check.h"
#include "control/gateway/bus_message.h"
#include "control/gateway/peer_logs.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace corelay;
  using namespace corelay::gateway;
  const std::string_view text = as_text({data, size});
  std::string epoch;
  std::vector<DeliveryRecord> records;
  if (parse_records(text, epoch, records)) {
    CHECK(!epoch.empty() && epoch.size() <= 32);
    CHECK(format_records(epoch, records) == text);
    PeerLogs logs;
    logs.add(epoch, records);
    const auto delivered = logs.delivered(epoch, 1, records.empty() ? 0 : records.back().offset);
    CHECK(delivered && delivered->size() <= records.size());
  }
  BusSubscription told;
  if (parse_subscription(text, epoch, told)) {
    std::string again_epoch;
    BusSubscription again;
    CHECK(parse_subscription(format_subscription(epoch, told), again_epoch, again));
    CHECK(again_epoch == epoch && again.client == told.client && again.topic == told.topic);
    CHECK(again.threshold == told.threshold && again.is_subscribed == told.is_subscribed);
  }
  return 0;
}
