/// What one relay adds to a single message of 1,200 bytes: the time from its sending by one neighbour to its arrival at
/// another, both played by one spinning thread, beside a bare UDP echo that spins on the relay's core. Rounds of all
/// cases take turns in one run. Prints {"bench":"hop","rows":[...]}.
///
/// The path MTU is 1,472 bytes here (an Ethernet frame), so that 1,200 bytes of payload and the signed header travel in
/// one datagram. The echo moves datagrams of the same size.
#include <sys/socket.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "bench/relay_peers.h"
#include "codec/check.h"
#include "dataplane/core/frame.h"
#include "dataplane/core/header.h"

namespace corelay::bench {
namespace {

using namespace dataplane;

constexpr std::size_t payload_bytes = 1200;
constexpr std::uint16_t mtu_bytes = 1472;
constexpr PeerIndex upstream = 0;
constexpr PeerIndex downstream = 1;
constexpr Duration give_up = seconds(2);

struct Sizes {
  std::size_t rounds = 9;
  std::size_t pings = 400;
  std::size_t warm_up = 50;
};

struct Case {
  const char* name;
  IdleMode idle;
  bool verify_first;
  Duration gap;  // between an answer and the next message
  std::vector<double> relay_us{};
  std::vector<double> echo_us{};
  double idle_cpu_share = 0;
};

RelayParams relay_params(bool verify_first) {
  RelayParams params;
  params.path_mtu_bytes = mtu_bytes;
  params.peers_max = 8;
  params.verify_before_forward = verify_first;
  return params;
}

void pause_until(Instant until) noexcept {
  while (read_clock() < until) {
  }
}

/// Both neighbours of the relay. Each message is sealed before its time starts.
class Neighbours {
 public:
  explicit Neighbours(Dataplane& relay) : relay_(relay), sessions_(0, 2) {
    in_.connect_to(relay.lcores()[0].port);
    out_.connect_to(relay.lcores()[0].port);
    const Instant now = read_clock();
    for (const PeerIndex peer : {upstream, downstream}) {
      const SessionEnds ends = make_session(100 + peer);
      const LoopbackSocket& socket = peer == upstream ? in_ : out_;
      CHECK(relay.command_all(PeerUp{peer, loopback(socket.port()), ends.there, mtu_bytes}));
      sessions_.install(now, peer, ends.here);
    }
    RouteSet route;
    route.topic = topic_hash(bench_topic);
    route.count = 1;
    route.next_hops[0] = downstream;
    CHECK(relay.command_all(route));
    pause_until(read_clock() + milliseconds(20));
  }

  /// Sends `message` in at one side; microseconds until it is out at the other, negative when it never was.
  double ping(const PreparedMessage& message) {
    const std::size_t bytes = seal(message);
    const Instant sent = read_clock();
    CHECK(send(in_.fd(), datagram_.data(), bytes, 0) == static_cast<ssize_t>(bytes));
    for (;;) {
      const ssize_t got = recv(out_.fd(), answer_.data(), answer_.size(), 0);
      const Instant now = read_clock();
      if (got > 0 && take(static_cast<std::size_t>(got), message, now)) {
        acknowledge(now);
        return static_cast<double>((now - sent).ns) / 1000.0;
      }
      if (now - sent > give_up) return -1;
    }
  }

  /// Takes what the relay said to the sender since, so that nothing piles up.
  void drain() {
    while (recv(in_.fd(), answer_.data(), answer_.size(), 0) > 0) {
    }
    relay_.poll_events(64, [](std::size_t, const Event&) {});
  }

 private:
  std::size_t seal(const PreparedMessage& message) {
    SingleFrame single;
    single.sequence = ++sequence_;
    single.tag = message.tag;
    std::array<std::uint8_t, dataplane::short_header_bytes_max> header;
    single.header = {header.data(), dataplane::shorten_header(message.encoded_header, header.data())};
    single.payload = message.payload;
    const std::size_t bytes = write_single(single, frame_.data());
    return sessions_.seal(upstream, {frame_.data(), bytes}, datagram_.data());
  }

  /// True when the datagram is the single frame of `message`, whole.
  bool take(std::size_t bytes, const PreparedMessage& message, Instant now) {
    const Opened opened = sessions_.open(now, {answer_.data(), bytes});
    CHECK(opened.outcome == Open::opened);
    const auto single = parse_single(opened.frame);
    if (!single) return false;
    received_.note(single->sequence, now);
    return single->tag == message.tag && single->payload.size() == message.payload.size() &&
           std::memcmp(single->payload.data(), message.payload.data(), message.payload.size()) == 0;
  }

  void acknowledge(Instant now) {
    FeedbackWriter writer(frame_.data(), 1000);
    writer.begin(received_.highest(), received_.delay_us(now), received_.next_number(), received_.highest_us(),
                 received_.words());
    const std::size_t bytes = sessions_.seal(downstream, {frame_.data(), writer.size()}, datagram_.data());
    CHECK(send(out_.fd(), datagram_.data(), bytes, 0) == static_cast<ssize_t>(bytes));
  }

  Dataplane& relay_;
  LoopbackSocket in_;
  LoopbackSocket out_;
  SessionTable sessions_;
  ReceivedLink received_;
  std::uint32_t sequence_ = 0;
  std::array<std::uint8_t, 2048> frame_{};
  std::array<std::uint8_t, 2048> datagram_{};
  std::array<std::uint8_t, 2048> answer_{};
};

/// Thread CPU time of the lcore while nothing happens, as a share of the time that passes.
double measure_idle(Duration length) {
  const ThreadTime before = thread_time("lcore-0");
  std::this_thread::sleep_for(std::chrono::nanoseconds(length.ns));
  const ThreadTime after = thread_time("lcore-0");
  return static_cast<double>(after.run_ns - before.run_ns) / static_cast<double>(length.ns);
}

void run_relay(Case& c, BackendChoice backend, const Sizes& sizes,
               std::span<const std::unique_ptr<PreparedMessage>> messages) {
  DataplaneConfig config;
  config.relay = relay_params(c.verify_first);
  config.bind_address = "127.0.0.1";
  config.port = 0;
  config.idle = c.idle;
  config.backend = backend;
  auto relay = Dataplane::start(config, nullptr);
  CHECK(relay);
  Neighbours neighbours(**relay);
  std::size_t lost = 0;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const double us = neighbours.ping(*messages[i]);
    if (us < 0) {
      ++lost;
    } else if (i >= sizes.warm_up) {
      c.relay_us.push_back(us);
    }
    neighbours.drain();
    pause_until(read_clock() + c.gap);
  }
  CHECK(lost * 10 < messages.size());
  c.idle_cpu_share = measure_idle(milliseconds(100));
}

void run_echo(Case& c, const Sizes& sizes, std::size_t bytes) {
  std::atomic<bool> stop{false};
  std::atomic<bool> ready{false};
  LoopbackSocket here;
  LoopbackSocket there;
  here.connect_to(there.port());
  there.connect_to(here.port());
  std::thread echo([&] {
    pin_to(1);
    std::array<std::uint8_t, 2048> buffer{};
    ready = true;
    while (!stop.load(std::memory_order_relaxed)) {
      const ssize_t got = recv(there.fd(), buffer.data(), buffer.size(), 0);
      if (got > 0) static_cast<void>(send(there.fd(), buffer.data(), static_cast<std::size_t>(got), 0));
    }
  });
  while (!ready) std::this_thread::sleep_for(std::chrono::microseconds(100));
  std::vector<std::uint8_t> datagram(bytes, 7);
  std::array<std::uint8_t, 2048> answer{};
  for (std::size_t i = 0; i < sizes.pings + sizes.warm_up; ++i) {
    const Instant sent = read_clock();
    CHECK(send(here.fd(), datagram.data(), bytes, 0) == static_cast<ssize_t>(bytes));
    Instant now = sent;
    while (recv(here.fd(), answer.data(), answer.size(), 0) <= 0 && now - sent < give_up) now = read_clock();
    now = read_clock();
    if (i >= sizes.warm_up) c.echo_us.push_back(static_cast<double>((now - sent).ns) / 1000.0);
    pause_until(now + c.gap);
  }
  stop = true;
  echo.join();
}

void print_rows(std::vector<Case>& cases) {
  std::printf("{\"bench\":\"hop\",\"rows\":[");
  const char* comma = "";
  for (Case& c : cases) {
    const double p50 = quantile(c.relay_us, 0.5);
    const double reference = quantile(c.echo_us, 0.5);
    std::printf("%s\n{\"mode\":\"%s\",\"verify\":\"%s\",\"p50_us\":%.2f,\"p99_us\":%.2f,\"reference_p50_us\":%.2f,"
                "\"reference_p99_us\":%.2f,\"ratio\":%.3f,\"idle_cpu_share\":%.3f,\"messages\":%zu}",
                comma, c.name, c.verify_first ? "before forward" : "after forward", p50, quantile(c.relay_us, 0.99),
                reference, quantile(c.echo_us, 0.99), p50 / reference, c.idle_cpu_share, c.relay_us.size());
    comma = ",";
  }
  std::printf("\n]}\n");
}

int run(bool smoke, BackendChoice backend) {
  const Sizes sizes = smoke ? Sizes{1, 8, 2} : Sizes{};
  std::vector<Case> cases{{"spin", IdleMode::spin, false, microseconds(200)},
                          {"spin", IdleMode::spin, true, microseconds(200)},
                          {"polite", IdleMode::polite, false, microseconds(500)},
                          {"polite", IdleMode::polite, true, microseconds(500)}};
  pin_to(0);
  const auto messages = make_messages(sizes.pings + sizes.warm_up, payload_bytes, 1, relay_params(true));
  const std::size_t datagram_bytes = frame_prefix_bytes + messages[0]->encoded_header.size() + payload_bytes +
                                     datagram_overhead_bytes;
  CHECK(messages[0]->header.k == 1 && datagram_bytes <= mtu_bytes);
  for (std::size_t round = 0; round < sizes.rounds; ++round) {
    std::fprintf(stderr, "hop: round %zu of %zu\n", round + 1, sizes.rounds);
    for (Case& c : cases) {
      run_echo(c, sizes, datagram_bytes);
      run_relay(c, backend, sizes, messages);
    }
  }
  print_rows(cases);
  return 0;
}

}  // namespace
}  // namespace corelay::bench

/// hop_bench [--smoke] [--backend socket|uring]
int main(int argc, char** argv) {
  using corelay::dataplane::BackendChoice;
  bool smoke = false;
  BackendChoice backend = BackendChoice::automatic;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--smoke") smoke = true;
    if (argument == "socket") backend = BackendChoice::socket;
    if (argument == "uring") backend = BackendChoice::uring;
  }
  return corelay::bench::run(smoke, backend);
}
