#include "control/gateway/tracer.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "control/gateway/text.h"

namespace corelay::gateway {
namespace {

constexpr std::size_t traces_max = 8192;
constexpr std::size_t listed_max = 256;

double seconds(Instant::duration time) { return std::chrono::duration<double>(time).count(); }

double percentile(const std::vector<double>& sorted, double share) {
  if (sorted.empty()) return 0;
  const auto index = static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1) + 0.5);
  return sorted[index];
}

}  // namespace

Tracer::Trace& Tracer::trace_of(const std::string& id, const std::string& topic, Instant now) {
  if (const auto at = index_.find(id); at != index_.end()) return ring_[at->second];
  ring_.reserve(traces_max);  // ids are pointed to
  decltype(index_)::node_type node;
  if (ring_.size() < traces_max) {
    ring_.emplace_back();
  } else {
    node = index_.extract(ring_[next_].id);
  }
  Trace& trace = ring_[next_];
  trace.id = id;  // into the memory that the one before had
  trace.topic = topic;
  trace.begin = trace.last = now;
  trace.is_published = false;
  trace.nodes = trace.duplicates = 0;
  trace.bytes = 0;
  if (node.empty()) {
    index_.emplace(trace.id, next_);
  } else {
    node.key() = trace.id;
    index_.insert(std::move(node));
  }
  next_ = (next_ + 1) % traces_max;
  return trace;
}

void Tracer::on_published(const std::string& id, const std::string& topic, std::size_t bytes, Instant now) {
  Trace& trace = trace_of(id, topic, now);
  trace.is_published = true;
  trace.bytes = bytes;
}

void Tracer::on_report(const std::string& id, const std::string& topic, std::size_t bytes, bool is_duplicate,
                       Instant now) {
  Trace& trace = trace_of(id, topic, now);
  ++(is_duplicate ? trace.duplicates : trace.nodes);
  if (is_duplicate) return;
  trace.last = now;
  if (bytes != 0) trace.bytes = bytes;
}

void Tracer::reset() {
  index_.clear();
  ring_.clear();
  next_ = 0;
}

std::string Tracer::snapshot(std::chrono::seconds window, unsigned active_nodes, unsigned unhealthy_nodes,
                             Instant now) const {
  std::size_t published = 0, delivered = 0, duplicates = 0, moved = 0, ideal = 0, listed = 0;
  std::vector<double> delays;
  std::string messages;
  for (std::size_t back = 1; back <= ring_.size(); ++back) {
    const Trace& trace = ring_[(next_ + ring_.size() - back) % ring_.size()];
    if (now - trace.begin > window) break;
    const double delay = trace.nodes == 0 ? 0 : seconds(trace.last - trace.begin);
    const std::size_t bytes = trace.bytes * (trace.nodes + trace.duplicates);
    published += trace.is_published ? 1 : 0;
    delivered += trace.nodes;
    duplicates += trace.duplicates;
    moved += bytes;
    ideal += trace.bytes * active_nodes;
    if (trace.nodes != 0) delays.push_back(delay);
    if (listed++ >= listed_max) continue;
    if (!messages.empty()) messages += ',';
    messages += json_text(trace.id) + fmt::format(
                                     ":{{\"topic\":{},\"published\":{},\"delivered\":{},\"delay_sec\":{:.6f},"
                                     "\"peers_seen\":{},\"duplicates\":{},\"bytes_moved\":{}}}",
                                     json_text(trace.topic), trace.is_published ? 1 : 0, trace.nodes, delay,
                                     trace.nodes, trace.duplicates, bytes);
  }
  std::sort(delays.begin(), delays.end());
  double sum = 0;
  for (const double delay : delays) sum += delay;
  const double average = delays.empty() ? 0 : sum / static_cast<double>(delays.size());
  const double bloat = ideal == 0 ? 0 : static_cast<double>(moved) / static_cast<double>(ideal);
  const std::time_t wall = std::time(nullptr);
  return fmt::format(
      "{{\"algorithm\":\"optimum\",\"active_nodes\":{},\"unhealthy_nodes\":{},\"published_messages\":{},"
      "\"delivered_messages\":{},\"duplicate_messages\":{},\"average_delay_seconds\":{:.6f},\"p75\":{:.6f},"
      "\"p95\":{:.6f},\"total_bytes_moved\":{},\"bloat_factor\":{:.4f},\"ideal_byte_complexity\":{},"
      "\"last_updated\":\"{:%Y-%m-%dT%H:%M:%SZ}\",\"window_seconds\":{},\"messages\":{{{}}}}}",
      active_nodes, unhealthy_nodes, published, delivered, duplicates, average, percentile(delays, 0.75),
      percentile(delays, 0.95), moved, bloat, ideal, fmt::gmtime(wall), window.count(), messages);
}

}  // namespace corelay::gateway
