/// How much one lcore relays: coded packets of 1,400 bytes in on one link as GSO runs, recoded and sealed out to six
/// neighbours over loopback, beside a loop of recvmmsg() and sendmmsg() that copies each datagram to six sockets
/// without coding or encryption. Both run on the second core; the first one plays the upstream neighbour and the
/// sinks, opens and counts every datagram that leaves, and acknowledges as a relay would. The messages are whole: their
/// decoding and hashing at the relay are in the figure. Rounds take turns in one run, with the reference before and
/// after each of ours; a rate is datagrams that arrived at the sinks per second of the measured thread's CPU time.
/// Prints {"bench":"relay","rows":[...]}, medians of the rounds; `ratio` is to the mean of the references on either
/// side.
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <thread>

#include "bench/relay_peers.h"
#include "bench/relay_world.h"
#include "codec/check.h"
#include "dataplane/io/uring_io.h"

namespace corelay::bench {
namespace {

using namespace dataplane;

constexpr std::size_t datagram_bytes = 1400;
constexpr std::size_t fanout = 6;
constexpr std::size_t generation_bytes = 128 * 1280;  // k = 128: vector form fills the datagram

struct Sizes {
  std::size_t rounds = 7;
  std::size_t messages = 44;
  std::size_t warm_up = 11;  // of them, not measured
  std::size_t message_bytes = generation_bytes * 27;  // about 4 MiB
  std::size_t reference_datagrams = 40'000;
};

/// Of one round: datagrams at the sinks and the CPU time of the thread that sent them.
struct Rate {
  std::uint64_t datagrams = 0;
  std::uint64_t cpu_ns = 0;
  std::uint64_t wall_ns = 0;
  [[nodiscard]] double per_cpu_second() const {
    return cpu_ns == 0 ? 0 : static_cast<double>(datagrams) * 1e9 / static_cast<double>(cpu_ns);
  }
  [[nodiscard]] double per_second() const {
    return wall_ns == 0 ? 0 : static_cast<double>(datagrams) * 1e9 / static_cast<double>(wall_ns);
  }
};

constexpr std::size_t burst_max = 64;

/// recvmmsg()/sendmmsg() with everything prepared once.
struct Burst {
  std::array<mmsghdr, burst_max> headers{};
  std::array<iovec, burst_max> vectors{};
  std::vector<std::uint8_t> memory = std::vector<std::uint8_t>(burst_max * 2048);
  Burst() {
    for (std::size_t i = 0; i < burst_max; ++i) {
      vectors[i] = {memory.data() + i * 2048, 2048};
      headers[i].msg_hdr.msg_iov = &vectors[i];
      headers[i].msg_hdr.msg_iovlen = 1;
    }
  }
};

/// The loop to beat: one datagram in, `fanout` out, on sockets connected to the sinks.
void relay_plainly(const LoopbackSocket& in, std::span<const std::unique_ptr<LoopbackSocket>> out,
                   std::atomic<bool>& ready, const std::atomic<bool>& stop, ThreadTime& used) {
  pin_to(1);
  Burst burst_of;
  ready = true;
  const ThreadTime before = own_thread_time();
  while (!stop.load(std::memory_order_relaxed)) {
    const int got = recvmmsg(in.fd(), burst_of.headers.data(), burst_max, MSG_DONTWAIT, nullptr);
    if (got <= 0) {
      pollfd readable{in.fd(), POLLIN, 0};
      poll(&readable, 1, 10);
      continue;
    }
    for (int i = 0; i < got; ++i) burst_of.vectors[static_cast<std::size_t>(i)].iov_len = datagram_bytes;
    for (const auto& socket : out) {
      for (int sent = 0; sent < got;) {
        const int n = sendmmsg(socket->fd(), burst_of.headers.data() + sent, static_cast<unsigned>(got - sent), 0);
        if (n > 0) sent += n;
      }
    }
    for (int i = 0; i < got; ++i) burst_of.vectors[static_cast<std::size_t>(i)].iov_len = 2048;
  }
  const ThreadTime after = own_thread_time();
  used.run_ns = after.run_ns - before.run_ns;
}

/// Sends one GSO run of `segments` datagrams.
void send_run(const LoopbackSocket& socket, const std::vector<std::uint8_t>& run) {
  iovec vector{const_cast<std::uint8_t*>(run.data()), run.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(std::uint16_t))> control{};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* const c = CMSG_FIRSTHDR(&message);
  c->cmsg_level = SOL_UDP;
  c->cmsg_type = UDP_SEGMENT;
  c->cmsg_len = CMSG_LEN(sizeof(std::uint16_t));
  const std::uint16_t segment = datagram_bytes;
  std::memcpy(CMSG_DATA(c), &segment, sizeof segment);
  static_cast<void>(sendmsg(socket.fd(), &message, 0));
}

Rate run_reference(std::uint64_t datagrams_in) {
  constexpr std::size_t run_segments = 46;
  constexpr std::uint64_t in_flight_max = 2048;
  LoopbackSocket relay_in;
  LoopbackSocket generator;
  generator.connect_to(relay_in.port());
  std::vector<std::unique_ptr<LoopbackSocket>> out;
  std::vector<std::unique_ptr<LoopbackSocket>> sinks;
  for (std::size_t i = 0; i < fanout; ++i) {
    out.push_back(std::make_unique<LoopbackSocket>());
    sinks.push_back(std::make_unique<LoopbackSocket>());
    out[i]->connect_to(sinks[i]->port());
  }
  std::atomic<bool> ready{false};
  std::atomic<bool> stop{false};
  ThreadTime used;
  std::thread relay([&] { relay_plainly(relay_in, out, ready, stop, used); });
  while (!ready) std::this_thread::sleep_for(std::chrono::microseconds(100));
  const Instant start = read_clock();
  const std::vector<std::uint8_t> run(run_segments * datagram_bytes, 5);
  Burst burst_of;
  Rate rate;
  std::uint64_t sent = 0;
  Instant progress = start;
  while (rate.datagrams < datagrams_in * fanout && read_clock() - progress < seconds(5)) {
    while (sent < datagrams_in && sent - rate.datagrams / fanout < in_flight_max) {
      send_run(generator, run);
      sent += run_segments;
    }
    for (const auto& sink : sinks) {
      const int got = recvmmsg(sink->fd(), burst_of.headers.data(), burst_max, MSG_DONTWAIT, nullptr);
      if (got <= 0) continue;
      rate.datagrams += static_cast<std::uint64_t>(got);
      progress = read_clock();
    }
  }
  rate.wall_ns = static_cast<std::uint64_t>((read_clock() - start).ns);
  stop = true;
  relay.join();
  rate.cpu_ns = used.run_ns;
  return rate;
}

Rate run_relay(BackendChoice backend, std::string& name, const RelayParams& params, std::size_t warm_up,
               const std::vector<UpstreamMessage>& messages) {
  DataplaneConfig config;
  config.relay = params;
  config.bind_address = "127.0.0.1";
  config.port = 0;
  config.backend = backend;
  config.idle = IdleMode::polite;
  config.spin_us = 5;
  auto relay = Dataplane::start(config, nullptr);
  CHECK(relay);
  name = (*relay)->lcores()[0].backend;
  World world(**relay, fanout);
  // Until the relay's memory has been in use once and finished messages make room for new ones.
  static_cast<void>(world.run(std::span(messages).first(warm_up)));
  const ThreadTime before = thread_time("lcore-0");
  const Instant start = read_clock();
  Rate rate;
  rate.datagrams = world.run(std::span(messages).subspan(warm_up));
  const ThreadTime after = thread_time("lcore-0");
  rate.wall_ns = static_cast<std::uint64_t>((read_clock() - start).ns);
  rate.cpu_ns = after.run_ns - before.run_ns;
  const Counters& counters = (*relay)->counters(0);
  const auto value = [&](Counter c) { return static_cast<double>(counters.value(c)); };
  std::fprintf(stderr,
               "relay: %s: in %.0f, out %.0f (%.1f a run, each for %.1f), recoded %.0f%%, cycles busy %.0f%%, dropped "
               "%.0f\n",
               name.c_str(), value(Counter::rx_coded_total), static_cast<double>(rate.datagrams),
               value(Counter::tx_datagrams_total) / std::max(1.0, value(Counter::tx_runs_total)),
               value(Counter::tx_coded_total) / std::max(1.0, value(Counter::tx_coded_made_total)),
               100 * value(Counter::tx_recoded_total) / std::max(1.0, value(Counter::tx_coded_total)),
               100 * value(Counter::cycles_busy_total) / std::max(1.0, value(Counter::cycles_total)),
               value(Counter::drop_tx_full_total) + value(Counter::drop_tx_error_total));
  return rate;
}

struct Row {
  BackendChoice backend;
  std::string name{};
  std::vector<double> ours{};
  std::vector<double> ours_wall{};
  std::vector<double> ratio{};
};

int run(std::size_t rounds, bool smoke) {
  Sizes sizes;
  if (smoke) sizes = {1, 2, 1, generation_bytes * 2, 1'000};
  if (rounds != 0) sizes.rounds = rounds;
  RelayParams params;
  params.peers_max = 8;
  params.cells_max = 32'768;  // ten messages: memory goes round as it does in a relay that runs for long
  pin_to(0);
  std::fprintf(stderr, "relay: preparing %zu messages of %zu bytes\n", sizes.messages, sizes.message_bytes);
  const std::vector<UpstreamMessage> messages = prepare_upstream(sizes.messages, sizes.message_bytes, params);
  CHECK(messages[0].frame_bytes + datagram_overhead_bytes == datagram_bytes);
  std::vector<Row> rows{{BackendChoice::socket}};
  if (const auto probed = dataplane::probe_uring()) {
    rows.push_back({BackendChoice::uring});
  } else {
    std::fprintf(stderr, "relay: no row for uring: %s\n", probed.error().describe().c_str());
  }
  std::vector<double> reference;
  const auto measure_reference = [&] {
    const double rate = run_reference(sizes.reference_datagrams).per_cpu_second();
    CHECK(rate != 0);
    reference.push_back(rate);
    return rate;
  };
  for (std::size_t round = 0; round < sizes.rounds; ++round) {
    double before = measure_reference();
    for (Row& row : rows) {
      const Rate ours = run_relay(row.backend, row.name, params, sizes.warm_up, messages);
      const double after = measure_reference();  // a shared machine's speed drifts within seconds
      row.ours.push_back(ours.per_cpu_second());
      row.ours_wall.push_back(ours.per_second());
      row.ratio.push_back(2 * ours.per_cpu_second() / (before + after));
      std::fprintf(stderr, "relay: round %zu: ours %.0f, reference before %.0f, after %.0f, ratio %.2f\n", round + 1,
                   row.ours.back(), before, after, row.ratio.back());
      before = after;
    }
  }
  std::printf("{\"bench\":\"relay\",\"rows\":[");
  const char* comma = "";
  for (Row& row : rows) {
    std::printf("%s\n{\"backend\":\"%s\",\"fanout\":%zu,\"payload_bytes\":%zu,\"ours_pps\":%.0f,\"reference_pps\":%.0f,"
                "\"ratio\":%.3f,\"ours_wall_pps\":%.0f,\"rounds\":%zu}",
                comma, row.name.c_str(), fanout, datagram_bytes, quantile(row.ours, 0.5), quantile(reference, 0.5),
                quantile(row.ratio, 0.5), quantile(row.ours_wall, 0.5), sizes.rounds);
    comma = ",";
  }
  std::printf("\n]}\n");
  return 0;
}

}  // namespace
}  // namespace corelay::bench

/// relay_bench [--smoke] [ROUNDS]
int main(int argc, char** argv) {
  bool smoke = false;
  std::size_t rounds = 0;
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--smoke") {
      smoke = true;
    } else {
      rounds = std::strtoull(argv[i], nullptr, 10);
    }
  }
  return corelay::bench::run(rounds, smoke);
}
