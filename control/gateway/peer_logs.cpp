#include "control/gateway/peer_logs.h"

#include "codec/bytes.h"

namespace corelay::gateway {
namespace {

constexpr std::size_t records_max = 131072;  // of one gateway
constexpr std::size_t gateways_max = 32;
constexpr std::size_t epoch_bytes_max = 32;
constexpr std::size_t record_bytes = 17;

}  // namespace

std::uint64_t delivery_digest(std::string_view topic, std::string_view id) noexcept {
  std::uint64_t digest = 0xcbf29ce484222325U;  // FNV-1a
  const auto take = [&](std::string_view text) {
    for (const char c : text) digest = (digest ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  };
  take(id);
  take(topic);
  return digest;
}

std::string format_records(std::string_view epoch, const std::vector<DeliveryRecord>& records) {
  std::string out(1 + epoch.size() + records.size() * record_bytes, '\0');
  auto* to = reinterpret_cast<std::uint8_t*>(out.data());
  *to++ = static_cast<std::uint8_t>(epoch.size());
  std::memcpy(to, epoch.data(), epoch.size());
  to += epoch.size();
  for (const auto& record : records) {
    store_le(to, record.offset);
    store_le(to + 8, record.digest);
    to[16] = record.level;
    to += record_bytes;
  }
  return out;
}

bool parse_records(std::string_view bytes, std::string& epoch, std::vector<DeliveryRecord>& records) {
  if (bytes.empty()) return false;
  const std::size_t epoch_bytes = static_cast<unsigned char>(bytes.front());
  if (epoch_bytes == 0 || epoch_bytes > epoch_bytes_max || bytes.size() < 1 + epoch_bytes) return false;
  epoch = bytes.substr(1, epoch_bytes);
  bytes.remove_prefix(1 + epoch_bytes);
  if (bytes.size() % record_bytes != 0) return false;
  records.clear();
  for (; !bytes.empty(); bytes.remove_prefix(record_bytes)) {
    const auto* from = reinterpret_cast<const std::uint8_t*>(bytes.data());
    records.push_back({load_le<std::uint64_t>(from), load_le<std::uint64_t>(from + 8), from[16]});
  }
  return true;
}

void PeerLogs::add(const std::string& epoch, const std::vector<DeliveryRecord>& records) {
  const auto [at, is_new] = logs_.try_emplace(epoch);
  if (is_new) {
    order_.push_back(epoch);
    if (order_.size() > gateways_max) {
      logs_.erase(order_.front());
      order_.pop_front();
    }
  }
  auto& log = at->second;
  log.insert(log.end(), records.begin(), records.end());
  while (log.size() > records_max) log.pop_front();
}

std::shared_ptr<std::unordered_set<std::uint64_t>> PeerLogs::delivered(const std::string& epoch, unsigned level,
                                                                       std::uint64_t offset) const {
  const auto at = logs_.find(epoch);
  if (at == logs_.end()) return nullptr;
  auto digests = std::make_shared<std::unordered_set<std::uint64_t>>();
  for (const auto& record : at->second) {
    if (record.offset <= offset && record.level == level) digests->insert(record.digest);
  }
  return digests;
}

}  // namespace corelay::gateway
