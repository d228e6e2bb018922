/// What the PacketIo backends cost by themselves: runs of 46 datagrams of 1,400 bytes in, the same bytes copied out to
/// six sockets over loopback, with no coding and no encryption, beside a hand-written loop of recvmsg() with UDP_GRO
/// and sendmsg() with UDP_SEGMENT that does the same. The first core sends and drains, the second one is measured.
/// Prints {"bench":"io","rows":[...]}; ns is CPU time of the measured thread per datagram that reached a sink.
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string_view>
#include <thread>

#include "bench/relay_peers.h"
#include "codec/check.h"
#include "dataplane/io/open_io.h"
#include "dataplane/io/socket_io.h"
#include "dataplane/io/uring_io.h"

namespace corelay::bench {
namespace {

using namespace dataplane;

constexpr std::uint16_t datagram_bytes = 1400;
constexpr std::size_t run_segments = 46;
constexpr std::size_t fanout = 6;
constexpr std::size_t message_bytes_max = 65'536;

struct Sizes {
  std::size_t rounds = 7;
  std::uint64_t datagrams_in = 46 * 1500;
};

/// One message with room for a segment size.
struct Message {
  std::vector<std::uint8_t> memory = std::vector<std::uint8_t>(message_bytes_max);
  iovec vector{};
  alignas(cmsghdr) std::array<char, 64> control{};
  msghdr header{};

  void for_receiving() {
    vector = {memory.data(), memory.size()};
    header = msghdr{};
    header.msg_iov = &vector;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
  }
  void for_sending(std::size_t bytes) {
    for_receiving();
    vector.iov_len = bytes;
    header.msg_controllen = CMSG_SPACE(sizeof(std::uint16_t));
    cmsghdr* const c = CMSG_FIRSTHDR(&header);
    c->cmsg_level = SOL_UDP;
    c->cmsg_type = UDP_SEGMENT;
    c->cmsg_len = CMSG_LEN(sizeof datagram_bytes);
    std::memcpy(CMSG_DATA(c), &datagram_bytes, sizeof datagram_bytes);
  }
};

/// The sinks and the generator, on one thread. `relay_port` tells where to send once the measured side is ready.
struct World {
  LoopbackSocket generator;
  std::vector<std::unique_ptr<LoopbackSocket>> sinks;
  World() {
    for (std::size_t i = 0; i < fanout; ++i) {
      sinks.push_back(std::make_unique<LoopbackSocket>());
      const int on = 1;
      CHECK(setsockopt(sinks[i]->fd(), SOL_UDP, UDP_GRO, &on, sizeof on) == 0);
    }
  }

  /// Sends `datagrams_in` with a bound on what is under way; returns the datagrams that reached the sinks.
  std::uint64_t run(std::uint16_t relay_port, std::uint64_t datagrams_in) {
    constexpr std::uint64_t in_flight_max = 16 * run_segments;
    generator.connect_to(relay_port);
    Message out;
    Message in;
    std::uint64_t sent = 0;
    std::uint64_t received = 0;
    for (Instant moved = read_clock(); received < datagrams_in * fanout && read_clock() - moved < seconds(5);) {
      if (sent < datagrams_in && sent - received / fanout < in_flight_max) {
        out.for_sending(run_segments * datagram_bytes);
        if (sendmsg(generator.fd(), &out.header, 0) > 0) sent += run_segments;
      }
      for (const auto& sink : sinks) {
        in.for_receiving();
        const ssize_t got = recvmsg(sink->fd(), &in.header, 0);
        if (got <= 0) continue;
        received += static_cast<std::uint64_t>(got) / datagram_bytes;
        moved = read_clock();
      }
    }
    return received;
  }
};

/// The hand-written loop.
void relay_by_hand(const World& world, std::atomic<std::uint16_t>& port, const std::atomic<bool>& stop) {
  LoopbackSocket in;
  const int on = 1;
  CHECK(setsockopt(in.fd(), SOL_UDP, UDP_GRO, &on, sizeof on) == 0);
  std::vector<std::unique_ptr<LoopbackSocket>> out;
  for (const auto& sink : world.sinks) {
    out.push_back(std::make_unique<LoopbackSocket>());
    out.back()->connect_to(sink->port());
  }
  port = in.port();
  Message received;
  Message sending;
  while (!stop.load(std::memory_order_relaxed)) {
    received.for_receiving();
    const ssize_t got = recvmsg(in.fd(), &received.header, 0);
    if (got <= 0) continue;
    for (const auto& socket : out) {
      std::memcpy(sending.memory.data(), received.memory.data(), static_cast<std::size_t>(got));
      sending.for_sending(static_cast<std::size_t>(got));
      while (sendmsg(socket->fd(), &sending.header, 0) < 0) {
      }
    }
  }
}

void relay_by_backend(BackendChoice backend, const World& world, std::atomic<std::uint16_t>& port,
                      const std::atomic<bool>& stop) {
  IoConfig config;
  config.bind_address = "127.0.0.1";
  auto opened = open_io(backend, config);
  CHECK(opened);
  PacketIo& io = **opened;
  for (std::size_t i = 0; i < fanout; ++i) {
    io.set_destination(static_cast<PeerIndex>(i), loopback(world.sinks[i]->port()));
  }
  port = io.port();
  std::array<RxRun, 16> in;
  std::array<TxRun, fanout> out;
  while (!stop.load(std::memory_order_relaxed)) {
    const std::size_t count = io.rx_burst(in);
    for (const RxRun& run : std::span(in).first(count)) {
      for (std::size_t i = 0; i < fanout; ++i) {
        TxBuffer buffer;
        while (buffer.data == nullptr) buffer = io.tx_alloc();
        std::memcpy(buffer.data, run.data, run.bytes);
        out[i] = {buffer.data, run.bytes, static_cast<std::uint16_t>(run.segment_bytes), static_cast<PeerIndex>(i),
                  buffer.token};
      }
      for (std::size_t sent = 0; sent < fanout;) sent += io.tx_burst(std::span(out).subspan(sent));
    }
    io.release(std::span(in).first(count));
  }
}

using Relay = std::function<void(const World&, std::atomic<std::uint16_t>&, const std::atomic<bool>&)>;

/// CPU ns a datagram. The time of polls that found nothing is in it, so the generator must keep the relay busy.
double measure(const Relay& relay, std::uint64_t datagrams_in) {
  World world;
  std::atomic<std::uint16_t> port{0};
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> cpu_ns{0};
  std::thread thread([&] {
    pin_to(1);
    relay(world, port, stop);
    cpu_ns = own_thread_time().run_ns;
  });
  while (port == 0) std::this_thread::sleep_for(std::chrono::microseconds(100));
  const Instant start = read_clock();
  const std::uint64_t received = world.run(port, datagrams_in);
  static_cast<void>(start);
  stop = true;
  thread.join();
  CHECK(received * 100 >= datagrams_in * fanout * 99);
  return static_cast<double>(cpu_ns) / static_cast<double>(received);
}

struct Row {
  const char* name;
  Relay relay;
  std::vector<double> ns{};
};

int run(bool smoke) {
  Sizes sizes;
  if (smoke) sizes = {1, 46 * 10};
  pin_to(0);
  std::vector<Row> rows{{"by hand", relay_by_hand}};
  for (const BackendChoice backend : {BackendChoice::socket, BackendChoice::uring}) {
    const char* const name = backend == BackendChoice::socket ? "socket" : "uring";
    if (const auto probed = probe_uring(); backend == BackendChoice::uring && !probed) {
      std::fprintf(stderr, "io: no row for uring: %s\n", probed.error().describe().c_str());
      continue;
    }
    rows.push_back({name, [backend](const World& w, std::atomic<std::uint16_t>& p, const std::atomic<bool>& s) {
                      relay_by_backend(backend, w, p, s);
                    }});
  }
  for (std::size_t round = 0; round < sizes.rounds; ++round) {
    std::fprintf(stderr, "io: round %zu of %zu\n", round + 1, sizes.rounds);
    for (Row& row : rows) row.ns.push_back(measure(row.relay, sizes.datagrams_in));
  }
  const double reference = quantile(rows[0].ns, 0.5);
  std::printf("{\"bench\":\"io\",\"rows\":[");
  const char* comma = "";
  for (Row& row : rows) {
    const double ns = quantile(row.ns, 0.5);
    std::printf("%s\n{\"backend\":\"%s\",\"fanout\":%zu,\"payload_bytes\":%u,\"ns\":%.1f,\"pps\":%.0f,"
                "\"reference_ns\":%.1f,\"ratio\":%.3f}",
                comma, row.name, fanout, datagram_bytes, ns, 1e9 / ns, reference, reference / ns);
    comma = ",";
  }
  std::printf("\n]}\n");
  return 0;
}

}  // namespace
}  // namespace corelay::bench

/// io_bench [--smoke]
int main(int argc, char** argv) { return corelay::bench::run(argc > 1 && std::string_view(argv[1]) == "--smoke"); }
