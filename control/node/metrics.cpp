#include "control/node/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <sstream>
#include <vector>

#include "control/node/node.h"
#include "control/node/sidecar.h"
#include "control/daemon/version.h"

namespace corelay::node {
namespace {

using dataplane::Counter;
using Labels = std::vector<prometheus::ClientMetric::Label>;
using prometheus::MetricFamily;
using prometheus::MetricType;

class Families {
 public:
  /// One value of a metric that has no other.
  void add(MetricType type, std::string name, std::string help, double value, Labels labels = {}) {
    MetricFamily family;
    family.name = std::move(name);
    family.help = std::move(help);
    family.type = type;
    families_.push_back(std::move(family));
    add_to_last(value, std::move(labels));
  }
  void counter(std::string name, std::string help, double value, Labels labels = {}) {
    add(MetricType::Counter, std::move(name), std::move(help), value, std::move(labels));
  }
  void gauge(std::string name, std::string help, double value, Labels labels = {}) {
    add(MetricType::Gauge, std::move(name), std::move(help), value, std::move(labels));
  }
  void add_to_last(double value, Labels labels) {
    MetricFamily& family = families_.back();
    prometheus::ClientMetric metric;
    metric.label = std::move(labels);
    (family.type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
    family.metric.push_back(std::move(metric));
  }
  [[nodiscard]] std::string text() const {
    std::ostringstream out;
    prometheus::TextSerializer().Serialize(out, families_);
    return out.str();
  }

 private:
  std::vector<MetricFamily> families_;
};

std::uint64_t sum(const dataplane::Dataplane& dataplane, Counter counter) {
  std::uint64_t total = 0;
  for (std::size_t lane = 0; lane < dataplane.lcores().size(); ++lane) total += dataplane.counters(lane).value(counter);
  return total;
}

void add_lanes(Families& families, const dataplane::Dataplane& dataplane) {
  for (std::size_t i = 0; i < dataplane::counter_count; ++i) {
    const auto& info = dataplane::counter_infos[i];
    const bool is_gauge = info.name.starts_with("gauge_");
    const std::string name = "corelay_" + std::string(is_gauge ? info.name.substr(6) : info.name);
    for (std::size_t lane = 0; lane < dataplane.lcores().size(); ++lane) {
      const auto value = static_cast<double>(dataplane.counters(lane).value(static_cast<Counter>(i)));
      Labels labels{{"lane", std::to_string(lane)}};
      if (lane != 0) {
        families.add_to_last(value, std::move(labels));
      } else {
        families.add(is_gauge ? MetricType::Gauge : MetricType::Counter, name, std::string(info.help), value,
                     std::move(labels));
      }
    }
  }
}

void add_control(Families& families, const Node& node) {
  families.gauge("corelay_build_info", "Which build this is", 1,
                 {{"commit", std::string(daemon::commit_hash())}, {"version", std::string(daemon::version())}});
  families.gauge("corelay_ready", "1 when a peer has a session and the node is not leaving", node.is_ready() ? 1 : 0);
  families.gauge("corelay_peers", "Connected peers", static_cast<double>(node.peers().status().size()));
  families.gauge("corelay_sessions", "Peers with a session", static_cast<double>(node.peers().sessions()));
  families.counter("corelay_peers_refused_total", "Connections refused because cluster or mesh settings differ",
                   static_cast<double>(node.peers().refused()));
  families.counter("corelay_session_exchanges_refused_total",
                   "Exchanges of keys not answered because the peer began too many (session.exchanges_per_minute_max)",
                   static_cast<double>(node.peers().exchanges_refused()));
  const auto subscribed = node.peers().mesh().subscribed_topics();
  families.gauge("corelay_topics", "Topics with local clients", static_cast<double>(subscribed.size()));
  std::size_t mesh_peers = 0;
  for (const auto& topic : subscribed) mesh_peers += node.peers().mesh().mesh_peers(topic).size();
  families.gauge("corelay_mesh_peers", "Mesh peers, over all topics", static_cast<double>(mesh_peers));
  families.gauge("corelay_members",
                 "Members that two hops take messages to, over all topics; 0 with relay.router = mesh",
                 static_cast<double>(node.peers().members()));
  const Publisher& publisher = node.publisher();
  families.counter("corelay_publishes_accepted_total", "Publishes that reached the mesh",
                   static_cast<double>(publisher.published()));
  families.counter("corelay_publishes_refused_total", "Publishes answered with a refusal",
                   static_cast<double>(publisher.refused()));
  families.gauge("corelay_publishes_in_flight", "Publishes under way", static_cast<double>(publisher.in_flight()));
  families.counter("corelay_client_deliveries_total", "Messages given to local clients, once for each client",
                   static_cast<double>(node.deliveries().delivered()));
  families.gauge("corelay_own_deliveries_waiting", "Messages published here that wait for local clients",
                 static_cast<double>(node.deliveries().own_waiting()));
  const SidecarCounts sidecar = node.sidecar().counts();
  families.gauge("corelay_sidecar_streams", "Open sidecar streams", static_cast<double>(sidecar.streams));
  families.counter("corelay_sidecar_dropped_messages_total", "Messages dropped because their client read too slowly",
                   static_cast<double>(sidecar.dropped_messages));
  families.counter("corelay_sidecar_dropped_traces_total", "Traces dropped because their client read too slowly",
                   static_cast<double>(sidecar.dropped_traces));
  const daemon::ProcessUse use = daemon::process_use();
  families.counter("process_cpu_seconds_total", "User and system time", use.cpu_seconds);
  families.gauge("process_resident_memory_bytes", "Resident memory", static_cast<double>(use.resident_bytes));
  families.gauge("process_open_fds", "Open file descriptors", static_cast<double>(use.open_files));
}

/// The published names, with the published labels. Shards are our coded packets.
void add_published_names(Families& families, const Node& node) {
  const Labels labels{{"cluster_id", node.config().node.cluster_id}, {"protocol_type", "mump2p"}};
  const auto& dataplane = node.dataplane();
  const auto counter = [&](const char* name, const char* help, std::uint64_t value) {
    families.counter(name, help, static_cast<double>(value), labels);
  };
  const auto total = [&](Counter which) { return sum(dataplane, which); };
  families.gauge("optimum_mump2p_total_peers", "Connected peers", static_cast<double>(node.peers().status().size()),
                 labels);
  counter("optimum_mump2p_received_messages_count", "Messages received whole and verified",
          total(Counter::messages_completed_total));
  counter("optimum_mump2p_delivered_messages_count", "Messages handed to local clients",
          total(Counter::messages_delivered_total));
  counter("optimum_mump2p_delivered_messages_bytes", "Payload bytes handed to local clients",
          total(Counter::messages_delivered_bytes_total));
  counter("optimum_mump2p_dropped_queue_full_total", "Messages refused because a table was full",
          total(Counter::drop_memory_full_total));
  counter("optimum_mump2p_dropped_throttled_total", "Messages refused because the peer had too many open",
          total(Counter::drop_peer_limit_total));
  counter("optimum_mump2p_dropped_rejected_total", "Messages whose header, signature or digest did not hold",
          total(Counter::drop_header_signature_total) + total(Counter::drop_header_invalid_total) +
              total(Counter::drop_digest_total));
  counter("optimum_mump2p_shards_total", "Coded packets received", total(Counter::rx_coded_total));
  counter("optimum_mump2p_shards_unnecessary_total", "Coded packets that came after the message was complete",
          total(Counter::rx_coded_after_complete_total));
  counter("optimum_mump2p_shards_unhelpful_total", "Coded packets that were combinations of what was held",
          total(Counter::rx_coded_redundant_total));
  counter("optimum_p2p_messages_published_total", "Publishes that reached the mesh", node.publisher().published());
  counter("optimum_p2p_publish_errors_total", "Publishes answered with a refusal", node.publisher().refused());
  families.gauge("optimum_p2p_active_topics", "Topics with local clients",
                 static_cast<double>(node.peers().mesh().subscribed_topics().size()), labels);
  counter("optimum_bandwidth_total_bytes", "UDP payload bytes received and sent",
          total(Counter::rx_bytes_total) + total(Counter::tx_bytes_total));
  const SidecarCounts sidecar = node.sidecar().counts();
  counter("optimum_grpc_p2p_received_bytes_total", "Request bytes from local clients", sidecar.bytes_received);
  counter("optimum_grpc_p2p_messages_received_total", "Requests from local clients", sidecar.messages_received);
  counter("optimum_grpc_p2p_sent_bytes_total", "Response bytes to local clients", sidecar.bytes_sent);
  counter("optimum_grpc_p2p_messages_sent_total", "Responses to local clients", sidecar.messages_sent);
}

}  // namespace

std::string metrics_text(const Node& node) {
  Families families;
  add_lanes(families, node.dataplane());
  add_control(families, node);
  add_published_names(families, node);
  return families.text();
}

}  // namespace corelay::node
