// The built-in scenarios.
#include <string>

#include "sim/propagation.h"

namespace corelay::sim {
namespace {

constexpr std::size_t kib = 1024;
constexpr std::size_t mib = 1024 * 1024;

PropagationScenario uniform(std::string name, std::size_t size_bytes) {
  PropagationScenario one;
  one.name = std::move(name);
  one.about = "1,000 nodes, 50 Mbit/s, 50 ms, degree 8";
  one.size_bytes = size_bytes;
  return one;
}

/// The network of the gossipsub interoperability tests of libp2p/test-plans (network_graph.py,
/// github.com/libp2p/test-plans, dual-licensed MIT and Apache-2.0): eight regions weighted by where
/// Ethereum nodes are, one-way delays between them, 20 % of the nodes at 1024 Mbit/s and 80 %
/// at 50.
PropagationScenario mixed(std::string name, std::size_t size_bytes) {
  PropagationScenario one;
  one.name = std::move(name);
  one.about = "1,000 nodes, libp2p test-plans mix, publishers at 50 Mbit/s, degree 8";
  one.size_bytes = size_bytes;
  one.bandwidth = {{0.8, 50, 50}, {0.2, 1024, 1024}};
  one.publisher_class = 0;
  one.latency.regions = {"australia", "europe",  "east_asia",    "west_asia",
                         "na_east",   "na_west", "south_africa", "south_america"};
  one.latency.weights = {290, 5599, 1059, 161, 2894, 1240, 47, 36};
  one.latency.matrix_ms = {
      2,   165, 110, 180, 150, 110, 220, 190,  // australia
      165, 2,   125, 60,  70,  110, 95,  140,  // europe
      110, 125, 4,   110, 140, 100, 175, 175,  // east_asia
      180, 60,  110, 5,   110, 150, 110, 145,  // west_asia
      150, 70,  140, 110, 2,   60,  130, 100,  // na_east
      110, 110, 100, 150, 60,  2,   160, 100,  // na_west
      220, 95,  175, 110, 130, 160, 7,   190,  // south_africa
      190, 140, 175, 145, 100, 100, 195, 7,    // south_america
  };
  return one;
}

/// The setting of vac's published charts of gossipsub v1.2 to v2.0: five steps of bandwidth and
/// delay.
PropagationScenario five_steps(std::string name, std::size_t size_bytes, double low_mbps,
                               double high_mbps) {
  PropagationScenario one;
  one.name = std::move(name);
  one.size_bytes = size_bytes;
  one.bandwidth.clear();
  for (int step = 0; step < 5; ++step) {
    const double mbps = low_mbps + (high_mbps - low_mbps) * step / 4;
    one.bandwidth.push_back({0.2, mbps, mbps});
  }
  one.publisher_class = one.bandwidth.size();  // any
  one.latency.min_ms = 40;
  one.latency.max_ms = 130;
  one.latency.steps = 5;
  return one;
}

using List = std::vector<PropagationScenario>;

struct Size {
  const char* name;
  std::size_t bytes;
};

std::string with_percent(int percent, const std::string& what) {
  return std::to_string(percent) + " % " + what;
}

/// S1 and S2: sizes and degrees without faults.
void add_clean(List& list) {
  for (const Size size : {Size{"1200B", 1200},
                          {"32KiB", 32 * kib},
                          {"128KiB", 128 * kib},
                          {"256KiB", 256 * kib},
                          {"1MiB", mib},
                          {"2.5MiB", 5 * mib / 2}}) {
    PropagationScenario one = uniform(std::string("S1-") + size.name, size.bytes);
    if (size.bytes <= 1200) one.messages = 20;  // the first ones meet neighbours of which nothing is known
    list.push_back(one);
  }
  for (const Size size : {Size{"128KiB", 128 * kib}, {"1MiB", mib}, {"2.5MiB", 5 * mib / 2}}) {
    for (const std::size_t degree : {8u, 12u, 16u}) {
      PropagationScenario one = mixed(std::string("S2-") + size.name, size.bytes);
      if (degree != 8) {
        one.name += "-d" + std::to_string(degree);
        one.about = "S2 with degree " + std::to_string(degree);
      }
      one.degree_target = one.degree_min = one.degree_max = degree;
      list.push_back(one);
    }
  }
}

/// S3: loss.
void add_lossy(List& list) {
  for (const Size size : {Size{"256KiB", 256 * kib}, {"1MiB", mib}}) {
    for (const int percent : {1, 5, 10, 20}) {
      PropagationScenario one =
          uniform(std::string("S3-") + size.name + "-loss" + std::to_string(percent), size.bytes);
      one.about = "S1 with " + std::to_string(percent) + " % random loss";
      one.loss.random = percent / 100.0;
      list.push_back(one);
    }
    PropagationScenario one = uniform(std::string("S3-") + size.name + "-burst5", size.bytes);
    one.about = "S1 with 5 % loss in bursts of 8 datagrams on average";
    one.loss.burst_end = 1.0 / 8;
    one.loss.burst_start = 0.05 / 0.95 / 8;
    list.push_back(one);
  }
}

/// S4: from a hundred nodes to ten thousand.
void add_scaling(List& list) {
  for (const std::size_t nodes : {100u, 1000u, 5000u, 10000u}) {
    PropagationScenario one = uniform("S4-" + std::to_string(nodes), mib);
    one.about = "S1, 1 MiB, with " + std::to_string(nodes) + " nodes";
    one.nodes = nodes;
    list.push_back(one);
    PropagationScenario mix = mixed("S4-mix-" + std::to_string(nodes), mib);
    mix.about = "S2, 1 MiB, with " + std::to_string(nodes) + " nodes";
    mix.nodes = nodes;
    list.push_back(mix);
  }
}

/// S5: nodes that pass nothing on, leave, or come back.
void add_unreliable(List& list) {
  for (const int percent : {10, 20, 33}) {
    PropagationScenario one = mixed("S5-silent" + std::to_string(percent), mib);
    one.about = "S2, 1 MiB; " + with_percent(percent, "of the nodes pass nothing on");
    one.silent_share = percent / 100.0;
    list.push_back(one);
  }
  PropagationScenario churn = mixed("S5-churn", mib);
  churn.about = "S2, 1 MiB; 10 % of the nodes leave and return in every 10 s";
  churn.churn_share = 0.1;
  churn.messages = 5;
  list.push_back(churn);
  PropagationScenario leaving = mixed("S5-publisher-leaves", mib);
  leaving.about = "S2, 1 MiB; the publisher is gone once it has sent 1.2 messages";
  leaving.publisher_leaves_after = 1.2;
  list.push_back(leaving);
}

/// S6: many publishers at once.
void add_concurrent(List& list) {
  for (const std::size_t publishers : {1u, 8u, 32u, 125u}) {
    PropagationScenario one = mixed("S6-" + std::to_string(publishers), 128 * kib);
    one.about = "S2, 128 KiB; " + std::to_string(publishers) + " publishers, 50 ms apart";
    one.publishers = publishers;
    list.push_back(one);
  }
}

/// S7: neighbours that lie.
void add_polluted(List& list) {
  for (const int percent : {5, 20}) {
    const std::string share = std::to_string(percent);
    PropagationScenario one = mixed("S7-polluters" + share, mib);
    one.about = "S2, 1 MiB; " + with_percent(percent, "of the nodes send wrong bytes");
    one.polluter_share = percent / 100.0;
    one.messages = 5;
    one.timeout_ms = 20'000;
    list.push_back(one);
    one.name = "S7-liars" + share;
    one.about = "S2, 1 MiB; " + with_percent(percent, "of the nodes claim to have nothing");
    one.pollution = Pollution::lies_about_rank;
    list.push_back(one);
    one.name = "S7-mute" + share;
    one.about = "S2, 1 MiB; " + with_percent(percent, "of the nodes never forward");
    one.pollution = Pollution::never_forwards;
    list.push_back(one);
  }
}

/// S8, the published setting, and S9, slow and fast links.
void add_others(List& list) {
  for (const std::size_t size : {200u, 600u, 1000u, 1400u, 1800u}) {
    PropagationScenario one = five_steps("S8-" + std::to_string(size) + "KB", size * 1000, 40, 200);
    one.about = "1,500 nodes, 40-200 Mbit/s and 40-130 ms in five steps, degree 8 (vac, 2025)";
    one.nodes = 1500;
    one.messages = 3;
    list.push_back(one);
  }
  for (const double mbps : {20.0, 200.0}) {
    PropagationScenario one = uniform("S9-" + std::to_string(static_cast<int>(mbps)) + "Mbps", mib);
    one.about = "S1, 1 MiB, all at " + std::to_string(static_cast<int>(mbps)) + " Mbit/s";
    one.bandwidth = {{1, mbps, mbps}};
    list.push_back(one);
  }
}

/// L1, L2 and L4: small enough for real nodes on one machine (`tools/bench lab`).
void add_lab(List& list) {
  PropagationScenario one = uniform("L1", 200 * kib);
  one.about = "32 nodes, 10 Mbit/s, 50 ms, degree 6, 200 KiB: the lab's";
  one.nodes = 32;
  one.degree_target = one.degree_min = one.degree_max = 6;
  one.bandwidth = {{1, 10, 10}};
  one.messages = 30;
  list.push_back(one);
  for (const int percent : {1, 5, 10}) {
    PropagationScenario lossy = one;
    lossy.name = "L4-loss" + std::to_string(percent);
    lossy.about = "L1 with " + with_percent(percent, "random loss");
    lossy.loss.random = percent / 100.0;
    list.push_back(lossy);
  }
  one.name = "L2";
  one.about = "8 nodes, 50 Mbit/s, 25 ms, degree 3 to 4, 1 MiB: the lab's";
  one.size_bytes = mib;
  one.nodes = 8;
  one.degree_target = one.degree_min = 3;
  one.degree_max = 4;
  one.bandwidth = {{1, 50, 50}};
  one.latency.min_ms = one.latency.max_ms = 25;
  list.push_back(one);
}

List build() {
  List list;
  for (const auto& add : {add_clean, add_lossy, add_scaling, add_unreliable, add_concurrent,
                          add_polluted, add_others, add_lab}) {
    add(list);
  }
  return list;
}

}  // namespace

const std::vector<PropagationScenario>& built_in_scenarios() {
  static const std::vector<PropagationScenario> list = build();
  return list;
}

}  // namespace corelay::sim
