#include "control/gateway/arrivals.h"

#include <fmt/format.h>

#include <algorithm>

#include "control/gateway/text.h"

namespace corelay::gateway {
namespace {

// Wrapped payloads (hub.h) begin with some bytes of ours; base64 stands in groups of four.
constexpr std::size_t looked_at = ((Arrivals::preview_bytes_max + 32) / 3 + 1) * 4;

std::size_t decoded_bytes(std::string_view base64) {
  std::size_t padding = 0;
  while (padding < 2 && padding < base64.size() && base64[base64.size() - 1 - padding] == '=') ++padding;
  return (base64.size() - padding) * 3 / 4;
}

/// The longest beginning that holds whole characters only; the whole where it is not UTF-8.
std::string_view whole_characters(std::string_view text) {
  for (std::size_t cut = 0; cut < 4 && cut <= text.size(); ++cut) {
    if (is_utf8(text.substr(0, text.size() - cut))) return text.substr(0, text.size() - cut);
  }
  return text;
}

bool is_shown(std::string_view text) {
  return is_utf8(text) && std::none_of(text.begin(), text.end(), [](char c) {
           const auto byte = static_cast<unsigned char>(c);
           return (byte < 0x20 && c != '\n' && c != '\r' && c != '\t') || byte == 0x7f;
         });
}

}  // namespace

Arrivals::Entry& Arrivals::entry_of(const std::string& topic, const std::string& id, Instant now) {
  const auto [at, is_new] = entries_.try_emplace({topic, id});
  if (is_new) {
    at->second.began = now;
    at->second.began_ms = std::chrono::duration_cast<std::chrono::milliseconds>(
                              std::chrono::system_clock::now().time_since_epoch())
                              .count();
    order_.push_back(at->first);
    if (order_.size() > messages_max) {
      entries_.erase(order_.front());
      order_.pop_front();
    }
  }
  at->second.change = ++change_;
  return at->second;
}

void Arrivals::on_published(const std::string& id, const std::string& topic, std::size_t bytes, Instant now) {
  if (is_watched(now)) {
    Entry& entry = entry_of(topic, id, now);
    entry.is_published_here = true;
    if (!entry.is_known) entry.bytes = bytes;
  }
  next_.on_published(id, topic, bytes, now);
}

void Arrivals::on_report(const std::string& id, const std::string& topic, std::size_t bytes, bool is_duplicate,
                         Instant now) {
  next_.on_report(id, topic, bytes, is_duplicate, now);
}

void Arrivals::on_arrival(unsigned node, const SidecarMessage& message, Instant now) {
  if (!is_watched(now)) return;
  Entry& entry = entry_of(message.topic, message.id, now);
  const std::uint64_t bit = std::uint64_t{1} << (node & 63U);
  if ((entry.nodes & bit) != 0) return;
  entry.nodes |= bit;
  entry.arrivals.push_back({node, now});
  if (std::exchange(entry.is_known, true)) return;
  const auto head = message.decoded(looked_at);
  if (!head) return;
  const std::string_view inner = unwrap_payload(*head);
  entry.bytes = (message.is_base64 ? decoded_bytes(message.payload) : message.payload.size()) -
                (head->size() - inner.size());
  const std::string_view shown = inner.size() < entry.bytes || inner.size() > preview_bytes_max
                                     ? whole_characters(inner.substr(0, preview_bytes_max))
                                     : inner;
  entry.has_preview = is_shown(shown);
  if (entry.has_preview) entry.preview = std::string(shown) + (shown.size() < entry.bytes ? "…" : "");
}

std::string Arrivals::changes_json(std::uint64_t after, std::string_view epoch, Instant now) {
  if (!is_watched(now)) {  // what is left is from long ago
    entries_.clear();
    order_.clear();
  }
  has_watcher_ = true;
  watched_at_ = now;
  std::string list;
  for (const Key& key : order_) {
    const Entry& entry = entries_.at(key);
    if (entry.change <= after) continue;
    std::string arrivals;
    for (const Arrival& arrival : entry.arrivals) {
      arrivals += fmt::format("{}{{\"node\":{},\"ms\":{:.3f}}}", arrivals.empty() ? "" : ",", arrival.node,
                              std::chrono::duration<double, std::milli>(arrival.at - entry.began).count());
    }
    list += fmt::format(
        "{}{{\"message_id\":{},\"topic\":{},\"bytes\":{},\"preview\":{},\"began_ms\":{},\"published_here\":{},"
        "\"arrivals\":[{}]}}",
        list.empty() ? "" : ",", json_text(key.second), json_text(key.first), entry.bytes,
        entry.has_preview ? json_text(entry.preview) : "null", entry.began_ms, entry.is_published_here, arrivals);
  }
  return fmt::format("{{\"epoch\":{},\"next\":{},\"messages\":[{}]}}", json_text(epoch), change_, list);
}

}  // namespace corelay::gateway
