/// What other gateways have delivered, so that a client that comes from one of them goes on where it stopped: offsets
/// mean something only to the gateway that gave them out, so gateways tell each other which message each one stands
/// for. Bounded; without clocks or sockets.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace corelay::gateway {

/// A message that entered the log of a level: which one, by a digest of topic and id.
struct DeliveryRecord {
  std::uint64_t offset = 0;
  std::uint64_t digest = 0;
  std::uint8_t level = 0;
};

[[nodiscard]] std::uint64_t delivery_digest(std::string_view topic, std::string_view id) noexcept;

/// A burst of records as it travels: the epoch's length and text, then offset, digest and level of each, little-endian.
[[nodiscard]] std::string format_records(std::string_view epoch, const std::vector<DeliveryRecord>& records);
/// False for anything else.
[[nodiscard]] bool parse_records(std::string_view bytes, std::string& epoch, std::vector<DeliveryRecord>& records);

class PeerLogs {
 public:
  void add(const std::string& epoch, const std::vector<DeliveryRecord>& records);
  /// The digests of what gateway `epoch` delivered at a level up to and with `offset`; null where it is not known.
  [[nodiscard]] std::shared_ptr<std::unordered_set<std::uint64_t>> delivered(const std::string& epoch, unsigned level,
                                                                             std::uint64_t offset) const;
  [[nodiscard]] std::size_t size() const noexcept { return logs_.size(); }

 private:
  std::map<std::string, std::deque<DeliveryRecord>> logs_;
  std::deque<std::string> order_;  // of epochs, by when they were heard of first
};

}  // namespace corelay::gateway
