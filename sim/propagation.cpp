// A propagation run from start to end: publishes as the scenario says, makes nodes leave and come
// back, and sums up.
#include "sim/propagation.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>

#include "codec/check.h"
#include "sim/routers.h"

namespace corelay::sim {
namespace {

constexpr Duration start_up =
    dataplane::milliseconds(300);  // sessions and routes, before the first
constexpr double never_ms = std::numeric_limits<double>::quiet_NaN();

Duration of_ms(double ms) { return {static_cast<std::int64_t>(ms * 1e6)}; }
double to_ms(Duration time) { return static_cast<double>(time.ns) * 1e-6; }

/// The least value that `share` of all do not exceed; `sorted` holds those that are known.
double quantile(const std::vector<double>& sorted, std::size_t all, double share) {
  const auto at = static_cast<std::size_t>(std::ceil(share * static_cast<double>(all) - 1e-9));
  if (all == 0) return never_ms;
  const std::size_t index = at == 0 ? 0 : at - 1;
  return index < sorted.size() ? sorted[index] : never_ms;
}

double median(std::vector<double> values) {
  for (double& value : values) {
    if (std::isnan(value)) value = std::numeric_limits<double>::infinity();
  }
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  if (n == 0) return never_ms;
  const double middle = n % 2 != 0 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
  return std::isinf(middle) ? never_ms : middle;
}

/// One run. Its calls are made from inside the event loop.
class Run {
 public:
  Run(const PropagationScenario& scenario, RouterMaker make, std::uint64_t seed,
      const ProgressCall& progress)
      : scenario_(scenario),
        topology_(scenario, seed),
        net_(scenario, topology_, seed),
        progress_(progress) {
    draw_publishers();
    router_ = make(net_);
    if (scenario.publisher_leaves_after > 0) {
      net_.on_bytes = [this](NodeId n) { watch_publisher(n); };
    }
  }

  PropagationResult run() {
    net_.call_at(net_.now() + start_up, [this] { start_round(); });
    plan_churn();
    Event event;
    while (net_.next(event)) {
      router_->on_event(event);
      if ((net_.events() & 0xffff) == 0) report();
    }
    return sum_up();
  }

 private:
  void draw_publishers();
  void start_round();
  void publish(std::uint32_t message);
  void check_round();
  void end_round();
  void plan_churn();
  void watch_publisher(NodeId n);
  void report() const;
  PropagationResult sum_up();
  void add_times(PropagationResult& result) const;
  void add_bytes(PropagationResult& result) const;

  const PropagationScenario& scenario_;
  const Topology topology_;
  Network net_;
  const ProgressCall& progress_;
  std::unique_ptr<Router> router_;
  std::uint32_t next_message_ = 0;
  std::uint32_t round_end_ = 0;  // messages before it have been published, or will be this round
  Instant round_until_{};
  std::vector<std::uint64_t> sent_before_;  // by each publisher when its message began
  std::vector<std::vector<bool>> closed_;   // who was owed each message in the end
  bool is_over_ = false;
};

void Run::draw_publishers() {
  Rng rng(net_.rng.next());
  std::vector<NodeId> able;
  for (NodeId n = 0; n < scenario_.nodes; ++n) {
    const bool is_class = scenario_.publisher_class >= scenario_.bandwidth.size() ||
                          topology_.class_of(n) == scenario_.publisher_class;
    if (topology_.is_honest(n) && is_class) able.push_back(n);
  }
  CHECK(!able.empty());
  net_.messages.resize(scenario_.messages * scenario_.publishers);
  sent_before_.assign(net_.messages.size(), 0);
  for (std::size_t m = 0; m < net_.messages.size(); ++m) {
    // Each publisher once before any comes again.
    const std::size_t at = m % able.size();
    std::swap(able[at], able[at + rng.below(able.size() - at)]);
    net_.messages[m].publisher = able[at];
    net_.messages[m].published = dataplane::never;
  }
}

void Run::start_round() {
  round_end_ = next_message_ + static_cast<std::uint32_t>(scenario_.publishers);
  const Instant last =
      net_.now() + of_ms(scenario_.stagger_ms * static_cast<double>(scenario_.publishers - 1));
  round_until_ = last + of_ms(scenario_.timeout_ms);
  for (std::size_t i = 0; i < scenario_.publishers; ++i) {
    const std::uint32_t message = next_message_ + static_cast<std::uint32_t>(i);
    net_.call_at(net_.now() + of_ms(scenario_.stagger_ms * static_cast<double>(i)),
                 [this, message] { publish(message); });
  }
  next_message_ = round_end_;
  net_.call_at(last + dataplane::milliseconds(5), [this] { check_round(); });
}

void Run::publish(std::uint32_t message) {
  const NodeId publisher = net_.messages[message].publisher;
  if (!net_.is_up(publisher)) {
    net_.set_up(publisher, true);
    router_->on_node_up(publisher);
  }
  sent_before_[message] = net_.bytes_sent[publisher];
  net_.published(message);
  router_->publish(message);
}

/// Every few milliseconds: is the round over?
void Run::check_round() {
  if ((net_.missing != 0 || !router_->is_quiet()) && net_.now() < round_until_) {
    net_.call_at(net_.now() + dataplane::milliseconds(5), [this] { check_round(); });
    return;
  }
  // What is under way still is part of the cost.
  net_.call_at(net_.now() + of_ms(scenario_.spacing_ms), [this] { end_round(); });
}

void Run::end_round() {
  for (std::uint32_t m = round_end_ - static_cast<std::uint32_t>(scenario_.publishers);
       m < round_end_; ++m) {
    Spread& message = net_.messages[m];
    message.publisher_bytes =
        static_cast<double>(net_.bytes_sent[message.publisher] - sent_before_[m]);
    net_.missing -= message.missing;  // those that never came are given up
    message.missing = 0;
    for (NodeId n = 0; n < scenario_.nodes; ++n) {
      // A node that leaves later was owed this one all the same.
      if (!net_.is_up(n)) message.is_owed[n] = false;
    }
    closed_.push_back(message.is_owed);
  }
  if (next_message_ < net_.messages.size()) return start_round();
  is_over_ = true;
  net_.end();
}

void Run::plan_churn() {
  if (scenario_.churn_share <= 0) return;
  // Each ten seconds the share leaves at random times, and each comes back within a second or two.
  const auto leavers =
      static_cast<std::size_t>(scenario_.churn_share * static_cast<double>(scenario_.nodes));
  for (std::size_t i = 0; i < leavers; ++i) {
    const auto at = net_.now() + of_ms(net_.rng.unit() * 1e4);
    const auto n = static_cast<NodeId>(net_.rng.below(scenario_.nodes));
    const auto away = of_ms(500 + net_.rng.unit() * 1500);
    net_.call_at(at, [this, n, away] {
      const bool is_publishing =
          std::any_of(net_.messages.begin(), net_.messages.end(), [&](const Spread& message) {
            return message.publisher == n && message.published != dataplane::never &&
                   message.missing != 0;
          });
      if (!net_.is_up(n) || is_publishing) return;
      net_.set_up(n, false);
      router_->on_node_down(n);
      net_.call_at(net_.now() + away, [this, n] {
        if (net_.is_up(n)) return;
        net_.set_up(n, true);
        router_->on_node_up(n);
      });
    });
  }
  net_.call_at(net_.now() + dataplane::seconds(10), [this] {
    if (!is_over_) plan_churn();
  });
}

/// A publisher that has sent its share goes away for good, between two events.
void Run::watch_publisher(NodeId n) {
  for (std::uint32_t m = 0; m < next_message_; ++m) {
    const Spread& message = net_.messages[m];
    if (message.publisher != n || message.published == dataplane::never) continue;
    const auto sent = static_cast<double>(net_.bytes_sent[n] - sent_before_[m]);
    const double limit =
        scenario_.publisher_leaves_after * static_cast<double>(scenario_.size_bytes);
    if (sent < limit || !net_.is_up(n) || m + 1 != next_message_) continue;
    net_.call_at(net_.now(), [this, n] {
      if (!net_.is_up(n)) return;
      net_.set_up(n, false);
      router_->on_node_down(n);
    });
  }
}

void Run::report() const {
  if (!progress_) return;
  const double all =
      static_cast<double>(net_.messages.size()) * static_cast<double>(scenario_.nodes - 1);
  progress_(
      {static_cast<double>(net_.arrived) / all, to_ms(net_.now() - Instant{}), net_.events()});
}

void Run::add_times(PropagationResult& result) const {
  std::vector<double> t50, t95, t99, t100, b50, b99, b100;
  double owed_all = 0, had_all = 0, had_4lb = 0;
  for (std::size_t m = 0; m < net_.messages.size(); ++m) {
    const Spread& message = net_.messages[m];
    const Bound bound =
        topology_.bound(message.publisher, static_cast<double>(scenario_.size_bytes), false);
    std::vector<double> times, bounds;
    std::size_t owed = 0;
    for (NodeId n = 0; n < scenario_.nodes; ++n) {
      if (!closed_[m][n]) continue;
      ++owed;
      bounds.push_back(bound.ms[n]);
      if (message.delivered[n] != dataplane::never)
        times.push_back(to_ms(message.delivered[n] - message.published));
    }
    std::sort(times.begin(), times.end());
    std::sort(bounds.begin(), bounds.end());
    t50.push_back(quantile(times, owed, 0.5));
    t95.push_back(quantile(times, owed, 0.95));
    t99.push_back(quantile(times, owed, 0.99));
    t100.push_back(quantile(times, owed, 1));
    b50.push_back(quantile(bounds, owed, 0.5));
    b99.push_back(quantile(bounds, owed, 0.99));
    b100.push_back(quantile(bounds, owed, 1));
    owed_all += static_cast<double>(owed);
    had_all += static_cast<double>(times.size());
    had_4lb += static_cast<double>(std::upper_bound(times.begin(), times.end(), 4 * b99.back()) -
                                   times.begin());
    if (m == 0) result.times_ms = times;
  }
  result.t50_ms = median(t50);
  result.t95_ms = median(t95);
  result.t99_ms = median(t99);
  result.t99s_ms = t99;
  result.t100_ms = median(t100);
  result.lb50_ms = median(b50);
  result.lb99_ms = median(b99);
  result.lb100_ms = median(b100);
  result.ratio_lb99 = result.t99_ms / result.lb99_ms;
  result.coverage = owed_all == 0 ? 0 : had_all / owed_all;
  result.coverage_4lb = owed_all == 0 ? 0 : had_4lb / owed_all;
}

void Run::add_bytes(PropagationResult& result) const {
  const double each =
      static_cast<double>(scenario_.size_bytes) * static_cast<double>(net_.messages.size());
  std::vector<double> sent;
  for (const std::uint64_t bytes : net_.bytes_sent)
    sent.push_back(static_cast<double>(bytes) / each);
  const double sum = std::accumulate(sent.begin(), sent.end(), 0.0);
  std::sort(sent.begin(), sent.end());
  result.sent_mean = sum / static_cast<double>(sent.size());
  result.sent_p99 = quantile(sent, sent.size(), 0.99);
  result.sent_max = sent.back();
  std::vector<double> own;
  for (const Spread& message : net_.messages)
    own.push_back(message.publisher_bytes / static_cast<double>(scenario_.size_bytes));
  result.sent_publisher = median(own);
  const Account& account = net_.account;
  const double all = account.useful + account.dependent + account.after_full + account.header +
                     account.control + account.lost;
  const double whole = all > 0 ? all : 1;
  const auto onto_uplinks = static_cast<double>(
      std::accumulate(net_.bytes_sent.begin(), net_.bytes_sent.end(), std::uint64_t{0}));
  result.accounted = onto_uplinks > 0 ? all / onto_uplinks : 0;
  result.useful = account.useful / whole;
  result.dependent = account.dependent / whole;
  result.after_full = account.after_full / whole;
  result.header = account.header / whole;
  result.control = account.control / whole;
  result.lost = account.lost / whole;
}

PropagationResult Run::sum_up() {
  PropagationResult result;
  result.nodes = scenario_.nodes;
  result.size_bytes = scenario_.size_bytes;
  // The queue may run dry before the last round is closed by the clock.
  while (closed_.size() < net_.messages.size())
    closed_.push_back(std::vector<bool>(scenario_.nodes, false));
  router_->finish(result);
  add_times(result);
  add_bytes(result);
  result.event_hash = net_.hash();
  result.events = net_.events();
  result.packets = net_.packets;
  result.drops_up = net_.drops_up;
  result.drops_down = net_.drops_down;
  for (const Spread& message : net_.messages) result.publishers.push_back(message.publisher);
  return result;
}

Expected<bool> admit(const PropagationScenario& scenario) {
  const auto wrong = [&](const std::string& what) {
    return fail(ErrorCode::invalid_argument, "scenario " + scenario.name, what);
  };
  if (scenario.nodes < 2 || scenario.nodes > 200'000) return wrong("nodes must be 2 to 200,000");
  if (scenario.degree_target < 1 || scenario.degree_target >= scenario.nodes)
    return wrong("degree.target must be at least 1 and below nodes");
  if (scenario.degree_min > scenario.degree_target || scenario.degree_max < scenario.degree_target)
    return wrong("degree.min <= degree.target <= degree.max does not hold");
  if (scenario.size_bytes == 0 || scenario.size_bytes > (16u << 20))
    return wrong("message.size_bytes must be 1 to 16 MiB");
  if (scenario.messages == 0 || scenario.publishers == 0)
    return wrong("there must be a message and a publisher");
  if (scenario.silent_share + scenario.polluter_share >= 1)
    return wrong("somebody must be neither silent nor a polluter");
  return true;
}

}  // namespace

std::vector<RouterInfo> routers() {
  std::vector<RouterInfo> list;
  for (const RouterEntry& entry : router_entries()) list.push_back({entry.name, entry.about, entry.is_direct});
  return list;
}

Expected<PropagationResult> run_propagation(const PropagationScenario& scenario,
                                            std::string_view router, std::uint64_t seed,
                                            const ProgressCall& progress) {
  if (const auto fit = admit(scenario); !fit) return tl::make_unexpected(fit.error());
  for (const RouterEntry& entry : router_entries()) {
    if (entry.name != router) continue;
    Run run(scenario, entry.make, seed, progress);
    PropagationResult result = run.run();
    result.scenario = scenario.name;
    result.router = router;
    result.seed = seed;
    return result;
  }
  return fail(ErrorCode::not_found, "router", "there is no router '" + std::string(router) + "'");
}

}  // namespace corelay::sim
