#include "control/gateway/service.h"

#include <openssl/rand.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>

#include "codec/bytes.h"
#include "codec/check.h"
#include "control/gateway/arrivals.h"
#include "control/gateway/text.h"
#include "control/gateway/tracer.h"

namespace corelay::gateway {
namespace {

using std::chrono::milliseconds;

constexpr std::chrono::seconds confirm_time{1};

std::string new_epoch() {
  std::array<std::uint8_t, 4> bytes{};
  CHECK(RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) == 1);
  return to_hex(bytes);
}

HubParams hub_params(const GatewayConfig& config) {
  HubParams params;
  params.nodes = static_cast<unsigned>(config.nodes.sidecars.size());
  params.epoch = new_epoch();
  params.threshold = config.delivery.threshold;
  params.fallback = milliseconds(config.delivery.fallback_ms);
  params.order = milliseconds(config.delivery.order_ms);
  params.dedup = std::chrono::seconds(config.delivery.dedup_s);
  params.client_keep = std::chrono::seconds(config.replay.client_keep_s);
  params.dedup_messages_max = config.delivery.dedup_messages_max;
  params.message_bytes_max = config.delivery.message_bytes_max;
  params.in_flight_max = config.delivery.in_flight_max;
  params.in_flight_bytes_max = config.delivery.in_flight_bytes_max;
  params.unassigned_topics = config.delivery.unassigned_topics;
  params.log = {config.replay.messages_max, config.replay.bytes_max};
  params.total_bytes_max = config.replay.total_bytes_max;
  params.topics_max = config.replay.topics_max;
  params.topics_per_client_max = config.replay.topics_per_client_max;
  params.clients_max = config.replay.clients_max;
  return params;
}

Nodes::Settings node_settings(const GatewayConfig& config) {
  const auto& from = config.nodes;
  return {from.sidecars,
          {milliseconds(from.health_ms), milliseconds(from.timeout_ms), milliseconds(from.redial_min_ms),
           milliseconds(from.redial_max_ms)},
          milliseconds(config.delivery.publish_timeout_ms)};
}

}  // namespace

Service::Service(boost::asio::io_context& io, const GatewayConfig& config)
    : io_(io),
      config_(config),
      stats_("/"),
      tracer_(std::make_unique<Tracer>()),
      arrivals_(std::make_unique<Arrivals>(*tracer_)),
      nodes_(
          io, node_settings(config), [this](auto reports) { on_reports(std::move(reports)); },
          [this](unsigned node, const std::string& topic) { on_subscribed(node, topic); }),
      hub_(hub_params(config), nodes_) {
  hub_.set_observer(arrivals_.get());
  hub_.set_now(std::chrono::steady_clock::now());
}

Service::~Service() = default;

Expected<void> Service::start() {
  if (auto joined = join_bus(); !joined) return joined;
  nodes_.start();
  return {};
}

void Service::stop() {
  bus_.reset();
  nodes_.stop();
}

Expected<void> Service::join_bus() {
  if (config_.bus.url.empty()) return {};
  BusEvents events;
  events.subscription = [this](const BusSubscription& told) {
    hub_.set_now(std::chrono::steady_clock::now());
    if (!told.is_subscribed) {
      static_cast<void>(hub_.unsubscribe(told.client, told.topic));
    } else if (auto outcome = hub_.subscribe(told.client, told.topic, told.threshold); !outcome) {
      spdlog::warn("bus: a subscription of another gateway: {}", outcome.error().what);
    }
  };
  events.delivered = [this](const std::string& epoch, const auto& records) { peers_.add(epoch, records); };
  events.newcomer = [this] {
    if (!bus_) return;
    hub_.each_subscription([this](const std::string& client, const std::string& topic, double threshold) {
      bus_->tell({client, topic, threshold, true});
    });
  };
  auto bus = Bus::start(io_, config_.bus.url, config_.gateway.cluster_id, hub_.params().epoch, std::move(events));
  if (!bus) return tl::make_unexpected(bus.error());
  bus_ = std::move(*bus);
  hub_.set_peers(&peers_, [this](const auto& records) {
    if (bus_) bus_->tell(records);
  });
  return {};
}

void Service::on_reports(std::vector<Nodes::Report> reports) {
  const Instant now = std::chrono::steady_clock::now();
  hub_.set_now(now);
  for (const auto& report : reports) {
    const SidecarMessage& message = report.message.message;
    arrivals_->on_arrival(report.node, message, now);
    hub_.report(report.node, message.topic, message.id, message.source,
                [&] { return message.decoded(); });
  }
  hub_.flush();
}

void Service::on_subscribed(unsigned node, const std::string& topic) {
  confirmed_[topic] |= std::uint64_t{1} << node;
  answer_waiting();
}

bool Service::is_confirmed(const std::string& topic) const {
  const auto at = confirmed_.find(topic);
  const std::uint64_t has = at == confirmed_.end() ? 0 : at->second;
  return (nodes_.reachable() & ~has) == 0;
}

void Service::answer_waiting() {
  const Instant now = std::chrono::steady_clock::now();
  for (auto at = waiting_.begin(); at != waiting_.end();) {
    if (!is_confirmed(at->topic) && now < at->deadline) {
      ++at;
      continue;
    }
    const auto done = std::move(at->done);
    at = waiting_.erase(at);
    done();
  }
}

void Service::subscribe(const std::string& client, const std::string& topic, double threshold,
                        std::function<void(Expected<void>)> done) {
  hub_.set_now(std::chrono::steady_clock::now());
  auto outcome = hub_.subscribe(client, topic, threshold);
  if (!outcome) return done(std::move(outcome));
  if (bus_) bus_->tell({client, topic, threshold, true});
  when_confirmed(topic, [done = std::move(done)] { done({}); });
}

bool Service::unsubscribe(const std::string& client, const std::string& topic) {
  if (!hub_.unsubscribe(client, topic)) return false;
  if (bus_) bus_->tell({client, topic, 0, false});
  return true;
}

void Service::when_confirmed(const std::string& topic, std::function<void()> done) {
  if (is_confirmed(topic)) return done();
  waiting_.push_back({topic, std::chrono::steady_clock::now() + confirm_time, std::move(done)});
}

void Service::publish(PublishRequest request) {
  hub_.set_now(std::chrono::steady_clock::now());
  const auto done = request.done;
  if (is_draining) return done({PublishResult::no_node, "", "the gateway is stopping"});
  if (auto taken = hub_.publish(std::move(request)); !taken) {
    const Error& error = taken.error();
    const auto result = error.code == ErrorCode::not_found     ? PublishResult::not_assigned
                        : error.code == ErrorCode::too_large   ? PublishResult::too_large
                        : error.code == ErrorCode::unavailable ? PublishResult::busy
                                                               : PublishResult::refused;
    done({result, "", error.what});
  }
  hub_.flush();
}

void Service::tick() {
  const Instant now = std::chrono::steady_clock::now();
  const std::uint64_t reachable = nodes_.reachable();
  if (const std::uint64_t lost = reachable_ & ~reachable; lost != 0) {
    for (auto& [topic, nodes] : confirmed_) nodes &= ~lost;
  }
  reachable_ = reachable;
  if (confirmed_.size() > 2 * hub_.topic_count() + 64) {
    const auto topics = hub_.topics();
    for (auto at = confirmed_.begin(); at != confirmed_.end();) {
      at = std::binary_search(topics.begin(), topics.end(), at->first) ? std::next(at) : confirmed_.erase(at);
    }
  }
  hub_.set_now(now);
  nodes_.tick(now);
  hub_.tick();
  answer_waiting();
}

}  // namespace corelay::gateway
