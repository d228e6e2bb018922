#include "sim/swarm.h"

#include <algorithm>
#include <sstream>

#include "codec/rng.h"

namespace corelay::sim {

namespace {

using dataplane::milliseconds;

Duration between(Rng& rng, Duration low, Duration high) {
  return low + Duration{static_cast<std::int64_t>(
                   rng.below(static_cast<std::uint64_t>((high - low).ns) + 1))};
}

double share(Rng& rng, double likely, double most) {
  return rng.chance(likely) ? rng.unit() * most : 0;
}

void draw_links(Scenario& scenario, Rng& rng) {
  LinkParams& link = scenario.link;
  constexpr std::uint64_t rates[] = {2'500'000, 12'500'000, 125'000'000, 0};
  link.up_bytes_per_second = rates[rng.below(4)];
  link.down_bytes_per_second = rates[rng.below(4)];
  link.up_queue_bytes = link.down_queue_bytes = 64'000u << rng.below(6);
  link.delay_min = between(rng, {}, milliseconds(10));
  link.delay_max = link.delay_min + between(rng, {}, milliseconds(80));
  link.jitter = rng.chance(0.5) ? between(rng, {}, milliseconds(10)) : Duration{};
  link.loss = share(rng, 0.7, 0.3);
  link.burst_start = share(rng, 0.3, 0.02);
  link.burst_end = 0.1 + rng.unit() * 0.5;
  link.burst_loss = 0.5 + rng.unit() * 0.5;
  link.reorder = share(rng, 0.4, 0.2);
  link.reorder_delay = between(rng, milliseconds(1), milliseconds(30));
  link.duplicate = share(rng, 0.4, 0.1);
  link.corrupt = share(rng, 0.4, 0.05);
  scenario.real_sessions = link.corrupt > 0 || rng.chance(0.5);
}

void draw_publications(Scenario& scenario, Rng& rng) {
  const std::size_t count = 3 + rng.below(20);
  bool has_empty = false;
  for (std::size_t i = 0; i < count; ++i) {
    Publication one;
    one.node = rng.below(scenario.nodes);
    one.at = Instant{} + between(rng, milliseconds(60), scenario.faults_until - Instant{});
    const double kind = rng.unit();
    if (kind < 0.05 && !has_empty) {
      one.size_bytes = 0;
      has_empty = true;
    } else if (kind < 0.5) {
      one.size_bytes = 8 + rng.below(1200);
    } else if (kind < 0.75) {
      one.size_bytes = 1000 + rng.below(15'000);
    } else if (kind < 0.93) {
      one.size_bytes = 16'000 + rng.below(112'000);
    } else {
      one.size_bytes = 128'000 + rng.below((1u << 20) - 128'000 + 1);
    }
    scenario.publications.push_back(one);
  }
  std::sort(scenario.publications.begin(), scenario.publications.end(),
            [](const Publication& a, const Publication& b) { return a.at < b.at; });
}

void draw_outages(Scenario& scenario, Rng& rng) {
  const Duration phase = scenario.faults_until - scenario.faults_from;
  if (rng.chance(0.3)) {
    Partition partition;
    partition.from = scenario.faults_from + between(rng, {}, phase / 2);
    partition.until = partition.from + between(rng, milliseconds(100), phase);
    for (std::size_t n = 0; n < scenario.nodes; ++n) partition.is_far.push_back(rng.chance(0.4));
    scenario.partitions.push_back(partition);
    scenario.connection_patience = between(rng, milliseconds(200), milliseconds(3000));
  }
  if (rng.chance(0.5) && scenario.nodes > 2) {
    const std::size_t count = 1 + rng.below(2);
    for (std::size_t i = 0; i < count; ++i) {
      Crash crash;
      crash.node = rng.below(scenario.nodes);
      crash.at = scenario.faults_from + between(rng, {}, phase);
      if (rng.chance(0.7))
        crash.restart_at = crash.at + between(rng, milliseconds(1), milliseconds(3000));
      scenario.crashes.push_back(crash);
    }
    scenario.crash_notice_max = between(rng, milliseconds(1), milliseconds(1500));
  }
}

}  // namespace

Scenario draw_scenario(std::uint64_t seed) {
  Rng rng(seed ^ 0x5ca1ab1e);
  Scenario scenario;
  scenario.seed = seed;
  scenario.nodes = 2 + rng.below(15);
  scenario.bootstraps = 1 + rng.below(2);
  scenario.mesh.degree_min = 2 + rng.below(2);
  scenario.mesh.degree_target = scenario.mesh.degree_min + rng.below(4);
  scenario.mesh.degree_max = scenario.mesh.degree_target * 2;
  constexpr std::uint16_t shards[] = {16, 32, 64, 128};
  scenario.relay.shards_target = shards[rng.below(4)];
  scenario.relay.verify_before_forward = rng.chance(0.8);
  draw_links(scenario, rng);
  draw_publications(scenario, rng);
  draw_outages(scenario, rng);
  return scenario;
}

std::string describe(const Scenario& scenario) {
  std::ostringstream text;
  const LinkParams& link = scenario.link;
  const auto ms = [](auto time) { return static_cast<double>(time.ns) / 1e6; };
  text << "SEED=" << scenario.seed << "\n  nodes " << scenario.nodes << ", bootstraps "
       << scenario.bootstraps << ", degree " << scenario.mesh.degree_min << "/"
       << scenario.mesh.degree_target << "/" << scenario.mesh.degree_max << ", shards_target "
       << scenario.relay.shards_target << ", verify_before_forward "
       << scenario.relay.verify_before_forward << ", real_sessions " << scenario.real_sessions
       << "\n  up " << link.up_bytes_per_second << " B/s, down " << link.down_bytes_per_second
       << " B/s, queues " << link.up_queue_bytes << " B, delay " << ms(link.delay_min) << ".."
       << ms(link.delay_max) << " ms, jitter " << ms(link.jitter) << " ms\n  loss " << link.loss
       << ", burst " << link.burst_start << "/" << link.burst_end << "/" << link.burst_loss
       << ", reorder " << link.reorder << " by " << ms(link.reorder_delay) << " ms, duplicate "
       << link.duplicate << ", corrupt " << link.corrupt << "\n";
  for (const Partition& one : scenario.partitions) {
    text << "  partition " << ms(one.from) << ".." << ms(one.until) << " ms, patience "
         << ms(scenario.connection_patience) << " ms, far:";
    for (std::size_t n = 0; n < one.is_far.size(); ++n) {
      if (one.is_far[n]) text << " " << n;
    }
    text << "\n";
  }
  for (const Crash& one : scenario.crashes) {
    text << "  crash of " << one.node << " at " << ms(one.at) << " ms, restart ";
    if (one.restart_at == dataplane::never) {
      text << "with the end of the faults\n";
    } else {
      text << "at " << ms(one.restart_at) << " ms\n";
    }
  }
  for (const Publication& one : scenario.publications) {
    text << "  publish " << one.size_bytes << " B by " << one.node << " at " << ms(one.at)
         << " ms\n";
  }
  return text.str();
}

}  // namespace corelay::sim
