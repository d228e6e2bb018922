// Links beside a TCP flow on one bottleneck with a deep queue: both keep their part, and without TCP the queue stays
// short. The bottleneck is the simulator's serializer, the links are the product's, and TCP is a window that grows by
// one segment a round trip and falls to `tcp_beta` when a segment is lost: Reno, or with 0.7 what Cubic is on short
// paths.
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "codec/rng.h"
#include "dataplane/core/link.h"
#include "sim/link_model.h"

namespace corelay::sim {
namespace {

using dataplane::Acknowledgement;
using dataplane::Link;
using dataplane::milliseconds;
using dataplane::seconds;
using dataplane::SentFrame;

constexpr std::size_t frame_bytes = 1340;
constexpr std::size_t packet_bytes = 1400;
constexpr Duration tick = dataplane::microseconds(20);

constexpr Instant at(std::int64_t s) { return Instant{} + seconds(s); }

/// A FIFO with a rate, a bound and a delay behind it.
struct Path {
  Serializer line;
  std::uint64_t queue_bytes;
  Duration delay;
  double loss = 0;  // at random, behind the queue

  /// never: dropped.
  Instant send(Instant now, Rng& rng) {
    if (line.backlog_bytes(now) + packet_bytes > queue_bytes) return dataplane::never;
    const Instant out = line.take(now, packet_bytes);
    return loss > 0 && rng.chance(loss) ? dataplane::never : out + delay;
  }
};

struct Sender {
  Link here{4096};
  Link there{4096};
  std::multimap<Instant, std::uint32_t> arriving;  // sequence
  struct Report {
    std::uint32_t highest, delay_us, number, arrival_us;
    std::vector<std::uint8_t> words;
  };
  std::multimap<Instant, Report> reporting;
  std::uint64_t delivered = 0;
};

struct Tcp {
  double window = 10;
  double threshold = 1e9;
  double beta = 0.7;
  std::uint64_t sent = 0, in_flight = 0, delivered = 0;
  Instant recovered{};  // one fall a round trip
  std::multimap<Instant, Instant> acks;  // when, sent at
  std::multimap<Instant, Instant> losses;  // when it is noticed
};

/// What each party got, and how long the queue was on average.
struct Shares {
  double links = 0;  // of the bottleneck
  double tcp = 0;
  double queue_ms = 0;
};

class World {
 public:
  World(std::size_t links, bool has_tcp, double loss = 0) : path_{Serializer(rate), rate / 20, milliseconds(1), loss} {
    for (std::size_t i = 0; i < links; ++i) {
      senders_.push_back(std::make_unique<Sender>());
      senders_.back()->here.reset(now_);
      senders_.back()->there.reset(now_);
    }
    has_tcp_ = has_tcp;
  }

  /// The links send for a second, then TCP alone until `links_from`, then both; shares are of the time after `from`.
  Shares run(Instant links_from, Instant from, Instant until) {
    Shares shares;
    std::vector<std::uint64_t> before;
    std::uint64_t tcp_before = 0;
    std::uint64_t ticks = 0;
    for (; now_ < until; now_ = now_ + tick) {
      const bool is_warm = now_ >= at(2);
      if (has_tcp_ && is_warm) step_tcp();
      for (std::size_t i = 0; i < senders_.size(); ++i)
        step(*senders_[(i + first_) % senders_.size()], !is_warm || now_ >= links_from);
      ++first_;
      if (now_ < from) {
        tcp_before = tcp_.delivered;
        before.clear();
        for (const auto& sender : senders_) before.push_back(sender->delivered);
        continue;
      }
      shares.queue_ms += static_cast<double>(path_.line.backlog_bytes(now_)) / rate * 1e3;
      ++ticks;
    }
    const double all = static_cast<double>((until - from).ns) * 1e-9 * rate / packet_bytes;
    for (std::size_t i = 0; i < senders_.size(); ++i)
      shares.links += static_cast<double>(senders_[i]->delivered - before[i]) / all;
    shares.tcp = static_cast<double>(tcp_.delivered - tcp_before) / all;
    shares.queue_ms /= static_cast<double>(ticks);
    return shares;
  }

 private:
  static constexpr std::uint64_t rate = 12'500'000;

  void step(Sender& sender, bool has_news) {
    const auto ended = [](const SentFrame&, bool) {};
    while (!sender.arriving.empty() && sender.arriving.begin()->first <= now_) {
      if (sender.there.on_received(now_, sender.arriving.begin()->second)) ++sender.delivered;
      sender.arriving.erase(sender.arriving.begin());
    }
    if (sender.there.feedback_at() <= now_) report(sender);
    while (!sender.reporting.empty() && sender.reporting.begin()->first <= now_) {
      const Sender::Report& report = sender.reporting.begin()->second;
      sender.here.on_feedback(now_,
                              {report.highest, {std::int64_t{report.delay_us} * 1000}, report.number,
                               report.arrival_us, report.words},
                              ended);
      sender.reporting.erase(sender.reporting.begin());
    }
    if (sender.here.on_timer(now_, ended)) sender.there.want_feedback(now_ + milliseconds(1));
    if (!has_news) sender.here.on_idle();
    while (has_news && sender.here.room(now_, 1) != 0) {
      SentFrame frame;
      frame.frame_bytes = frame_bytes;
      const std::uint32_t sequence = sender.here.on_sent(now_, frame);
      const Instant arrives = path_.send(now_, rng_);
      if (arrives != dataplane::never) sender.arriving.emplace(arrives, sequence);
    }
  }

  void report(Sender& sender) {
    Sender::Report report{sender.there.highest_received(),
                          static_cast<std::uint32_t>((now_ - sender.there.highest_received_at()).ns / 1000),
                          0,
                          static_cast<std::uint32_t>(sender.there.highest_received_at().ns / 1000),
                          {}};
    for (const std::uint64_t word : sender.there.ack_words()) {
      for (std::size_t byte = 0; byte < 8; ++byte)
        report.words.push_back(static_cast<std::uint8_t>(word >> 8 * byte));
    }
    report.number = sender.there.on_feedback_sent();
    sender.reporting.emplace(now_ + path_.delay, std::move(report));
  }

  void step_tcp() {
    while (!tcp_.acks.empty() && tcp_.acks.begin()->first <= now_) {
      ++tcp_.delivered;
      --tcp_.in_flight;
      tcp_.window += tcp_.window < tcp_.threshold ? 1.0 : 1.0 / tcp_.window;
      tcp_.acks.erase(tcp_.acks.begin());
    }
    while (!tcp_.losses.empty() && tcp_.losses.begin()->first <= now_) {
      --tcp_.in_flight;
      if (tcp_.losses.begin()->second >= tcp_.recovered) {
        tcp_.window = tcp_.threshold = std::max(2.0, tcp_.window * tcp_.beta);
        tcp_.recovered = now_;
      }
      tcp_.losses.erase(tcp_.losses.begin());
    }
    while (static_cast<double>(tcp_.in_flight) < tcp_.window) {
      ++tcp_.in_flight;
      const Instant arrives = path_.send(now_, rng_);
      if (arrives != dataplane::never) {
        tcp_.acks.emplace(arrives + path_.delay, now_);
      } else {
        // Those behind it tell: a round trip of the full queue.
        tcp_.losses.emplace(now_ + milliseconds(52), now_);
      }
    }
  }

  Instant now_{1'000'000'000};
  Rng rng_{1};
  Path path_;
  std::vector<std::unique_ptr<Sender>> senders_;
  std::size_t first_ = 0;
  Tcp tcp_;
  bool has_tcp_ = false;
};


Shares show(const char* what, const Shares& shares) {
  std::printf("%s: links %.3f, TCP %.3f, queue %.1f ms\n", what, shares.links, shares.tcp, shares.queue_ms);
  return shares;
}

TEST(Fairness, links_and_tcp_share_a_bottleneck) {
  for (const std::size_t links : {1u, 4u, 8u}) {
    SCOPED_TRACE(links);
    const Shares shares = show("with TCP", World(links, true).run(at(4), at(4), at(14)));
    EXPECT_GT(shares.links, 0.25);
    EXPECT_GT(shares.tcp, 0.25);
  }
}

TEST(Fairness, they_still_do_after_a_minute) {
  const Shares shares = show("after a minute", World(4, true).run(at(4), at(50), at(60)));
  EXPECT_GT(shares.links, 0.25);
  EXPECT_GT(shares.tcp, 0.25);
}

TEST(Fairness, links_alone_use_it_all_and_keep_the_queue_short) {
  for (const std::size_t links : {1u, 4u, 8u}) {
    SCOPED_TRACE(links);
    const Shares shares = show("alone", World(links, false).run(at(1), at(2), at(12)));
    EXPECT_GT(shares.links, 0.9);
    EXPECT_LT(shares.queue_ms, 20);
  }
}

TEST(Fairness, random_loss_alone_slows_nobody_down) {
  const Shares shares = show("10 % lost", World(4, false, 0.10).run(at(1), at(2), at(12)));
  EXPECT_GT(shares.links, 0.8);
}

}  // namespace
}  // namespace corelay::sim
