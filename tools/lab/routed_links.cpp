#include "tools/lab/routed_links.h"

#include <utility>

#include "codec/check.h"

namespace corelay::lab {

RoutedLinks::RoutedLinks(const sim::PropagationScenario& scenario, std::uint64_t seed, Deliver deliver)
    : scenario_(scenario),
      loss_(scenario.loss),
      topology_(scenario_, seed),
      network_(scenario_, topology_, seed),
      deliver_(std::move(deliver)),
      sent_(scenario.nodes) {}

void RoutedLinks::set_lossy(bool is_lossy) noexcept { scenario_.loss = is_lossy ? loss_ : sim::LossPlan{}; }

void RoutedLinks::plan(Instant at, Packet packet) { steps_.push({at, planned_++, packets_.put(std::move(packet))}); }

void RoutedLinks::submit(Instant now, NodeId from, NodeId to, Bytes packet, bool is_tcp) {
  CHECK(from < sent_.size() && to < sent_.size() && from != to);
  network_.advance(now);
  const std::uint64_t before = network_.bytes_sent[from];
  Instant arrives{};
  const bool is_passing = network_.send(from, to, packet.size(), arrives);
  Sent& sent = sent_[from];
  if (const std::uint64_t bytes = network_.bytes_sent[from] - before; bytes != 0) {  // else the queue was full
    sent.bytes += bytes;
    ++sent.packets;
    if (is_tcp) sent.tcp_bytes += bytes;
  }
  if (is_passing) plan(arrives, {from, to, false, {packet.begin(), packet.end()}});
}

void RoutedLinks::advance(Instant now) {
  while (!steps_.empty() && steps_.top().at <= now) {
    const Step step = steps_.top();
    steps_.pop();
    network_.advance(step.at);
    Packet packet = packets_.take(step.packet);
    if (packet.is_through) {
      deliver_(packet.to, packet.bytes, step.at);
      continue;
    }
    Instant through{};
    if (!network_.receive(packet.from, packet.to, packet.bytes.size(), through)) continue;
    packet.is_through = true;
    plan(through, std::move(packet));
  }
}

}  // namespace corelay::lab
