// The queue against a sorted list: any times, many equal, pushes between pops.
#include "sim/event_queue.h"

#include <gtest/gtest.h>

#include <deque>

#include "codec/rng.h"

namespace corelay::sim {
using dataplane::Duration;
using dataplane::Instant;

namespace {

struct Numbered {
  Instant at{};
  std::uint64_t number = 0;
  friend bool operator==(const Numbered&, const Numbered&) = default;
};

TEST(EventQueue, comes_out_by_time_and_then_by_order_of_arrival) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("SEED=" + std::to_string(seed));
    Rng rng(seed);
    EventQueue<Numbered> queue;
    std::deque<Numbered> model;
    Instant now{};
    for (std::uint64_t step = 0; step < 5000; ++step) {
      if (model.empty() || rng.chance(0.55)) {
        const std::uint64_t reach = std::uint64_t{1} << rng.below(34);
        const Numbered event{now + Duration{static_cast<std::int64_t>(rng.below(reach))}, step};
        queue.push(event);
        const auto later = std::find_if(model.begin(), model.end(),
                                        [&](const Numbered& one) { return one.at > event.at; });
        model.insert(later, event);
      } else {
        const Numbered event = queue.pop();
        ASSERT_EQ(event, model.front());
        model.pop_front();
        now = event.at;
      }
      ASSERT_EQ(queue.size(), model.size());
    }
  }
}

}  // namespace
}  // namespace corelay::sim
