#include "control/gateway/metrics.h"

#include <fmt/format.h>

#include <bit>

#include "control/daemon/version.h"
#include "control/gateway/text.h"

namespace corelay::gateway {
namespace {

/// Prometheus's text format, one family after the other.
class Page {
 public:
  void family(std::string_view type, std::string_view name, std::string_view help) {
    name_ = name;
    text_ += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
  }
  void value(double number, std::string_view labels = {}) {
    text_ +=
        labels.empty() ? fmt::format("{} {}\n", name_, number) : fmt::format("{}{{{}}} {}\n", name_, labels, number);
  }
  template <class Number>
  void counter(std::string_view name, std::string_view help, Number number) {
    family("counter", name, help);
    value(static_cast<double>(number));
  }
  template <class Number>
  void gauge(std::string_view name, std::string_view help, Number number) {
    family("gauge", name, help);
    value(static_cast<double>(number));
  }
  std::string take() { return std::move(text_); }

 private:
  std::string name_;
  std::string text_;
};

void add_hub(Page& page, Hub& hub) {
  const HubCounts& counts = hub.counts();
  page.counter("corelay_gateway_publishes_total", "Publishes that a node took", counts.published);
  page.counter("corelay_gateway_publishes_deduplicated_total", "Publishes of bytes that were there already",
               counts.deduplicated);
  page.counter("corelay_gateway_publish_failures_total", "Publishes that no node took", counts.publish_failures);
  page.gauge("corelay_gateway_publishes_in_flight", "Publishes under way", hub.in_flight());
  page.counter("corelay_gateway_reports_total", "Messages that nodes reported, once for each node", counts.reports);
  page.counter("corelay_gateway_reports_duplicate_total", "Messages that a node reported twice",
               counts.duplicate_reports);
  page.counter("corelay_gateway_messages_received_total", "Different messages that nodes reported", counts.received);
  page.counter("corelay_gateway_messages_received_bytes_total", "Their payload bytes", counts.received_bytes);
  page.counter("corelay_gateway_deliveries_total", "Messages handed to clients, once for each", counts.delivered);
  page.counter("fallback_deliveries_total", "Messages delivered below their threshold because nodes were unreachable",
               counts.fallback_deliveries);
  page.counter("corelay_gateway_lagged_messages_total", "Messages that left the window before a client read them",
               counts.lagged);
  page.counter("corelay_gateway_replay_evicted_total", "Messages that left the replay window", counts.evicted);
  page.gauge("corelay_gateway_replay_bytes", "Bytes in all replay windows", hub.log_bytes());
  page.gauge("corelay_gateway_topics", "Topics with subscribers", hub.topic_count());
  page.gauge("corelay_gateway_clients", "Clients that have subscribed", hub.client_count());
}

void add_connections(Page& page, const ConnectionTotals& totals) {
  page.gauge("corelay_gateway_connections", "Open TCP connections of the HTTP API", totals.connections);
  page.gauge("corelay_gateway_event_streams", "Open event streams", totals.event_streams);
  page.gauge("optimum_proxy_ws_clients_active", "Open WebSockets", totals.websockets);
  page.counter("corelay_gateway_connections_accepted_total", "TCP connections taken", totals.accepted);
  page.counter("corelay_gateway_connections_refused_total", "TCP connections over a bound", totals.refused);
  page.counter("corelay_gateway_requests_total", "HTTP requests", totals.requests);
  page.counter("corelay_gateway_timeouts_total", "Connections closed for being slow or silent", totals.timeouts);
  page.counter("corelay_gateway_sent_bytes_total", "Bytes written to HTTP clients", totals.sent_bytes);
  page.counter("corelay_gateway_writes_total", "Write calls to HTTP clients", totals.writes);
  page.gauge("corelay_gateway_request_bytes", "Bytes of requests that are not whole yet", totals.held_bytes);
}

void add_nodes(Page& page, const Nodes& nodes) {
  page.gauge("nodes_active_total", "Nodes that can be reached", std::popcount(nodes.reachable()));
  page.gauge("optimum_proxy_p2p_connections", "Nodes that can be reached", std::popcount(nodes.reachable()));
  page.family("counter", "node_received_messages_total", "Messages that a node reported");
  for (unsigned node = 0; node < nodes.links().size(); ++node) {
    page.value(static_cast<double>(nodes.messages_from(node)), "node=" + json_text(nodes.links()[node]->address()));
  }
}

}  // namespace

std::string metrics_text(Service& service) {
  Page page;
  page.family("gauge", "corelay_build_info", "Which build this is");
  page.value(1, fmt::format("commit=\"{}\",version=\"{}\"", daemon::commit_hash(), daemon::version()));
  page.gauge("corelay_gateway_ready", "1 when a node can be reached and the gateway is not leaving",
             service.nodes().reachable() != 0 && !service.is_draining ? 1 : 0);
  page.gauge("corelay_gateway_bus_connected", "1 when the gateway is on the bus", service.is_on_bus() ? 1 : 0);
  add_hub(page, service.hub());
  add_connections(page, service.totals());
  add_nodes(page, service.nodes());
  const daemon::ProcessUse use = daemon::process_use();
  page.counter("process_cpu_seconds_total", "User and system time", use.cpu_seconds);
  page.gauge("process_resident_memory_bytes", "Resident memory", use.resident_bytes);
  page.gauge("process_open_fds", "Open file descriptors", use.open_files);
  return page.take();
}

}  // namespace corelay::gateway
