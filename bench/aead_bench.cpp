// What sealing and opening one datagram costs through the session table, per AEAD backend and frame size: nanoseconds,
// best of the rounds, backends interleaved within each round. A burst of 64 frames is sealed into 64 buffers and opened
// from them, as an lcore does, so the figures are for warm caches.
//
//   aead_bench [--rounds N | --smoke]
// JSON on stdout: {"bench":"aead","rows":[{"backend","bytes","seal_ns","open_ns"}]}
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "codec/check.h"
#include "codec/rng.h"
#include "dataplane/core/session_table.h"

namespace {

using namespace corelay;
using namespace corelay::dataplane;

constexpr std::size_t burst = 64;
constexpr std::size_t repeats = 32;
constexpr std::array<std::size_t, 3> frame_sizes{64, 576, 1376};

double now_ns() {
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<double>(std::chrono::duration_cast<std::chrono::nanoseconds>(since).count());
}

struct Row {
  AeadBackend backend;
  std::size_t bytes;
  double seal_ns = 1e9;
  double open_ns = 1e9;
};

/// Both ends of one session, and the memory of a burst.
struct Pair {
  explicit Pair(AeadBackend backend)
      : from(0, 1, backend), to(0, 1, backend), frames(burst * 2048), datagrams(burst * 2048) {
    Rng rng(1);
    SessionKeys keys;
    keys.send = {7, {1, 2, 3}, {4, 5, 6}};
    keys.receive = {8, {7, 8, 9}, {1, 1, 1}};
    from.install({}, 0, keys);
    std::swap(keys.send, keys.receive);
    to.install({}, 0, keys);
    for (std::uint8_t& byte : frames) byte = static_cast<std::uint8_t>(rng.next());
  }

  void measure(Row& row) {
    double seal_ns = 0;
    double open_ns = 0;
    for (std::size_t repeat = 0; repeat != repeats; ++repeat) {
      const double start = now_ns();
      for (std::size_t i = 0; i != burst; ++i) {
        CHECK(from.seal(0, {&frames[i * 2048], row.bytes}, &datagrams[i * 2048]) ==
              row.bytes + datagram_overhead_bytes);
      }
      const double middle = now_ns();
      for (std::size_t i = 0; i != burst; ++i) {
        CHECK(to.open({}, {&datagrams[i * 2048], row.bytes + datagram_overhead_bytes}).outcome == Open::opened);
      }
      seal_ns += middle - start;
      open_ns += now_ns() - middle;
    }
    row.seal_ns = std::min(row.seal_ns, seal_ns / (burst * repeats));
    row.open_ns = std::min(row.open_ns, open_ns / (burst * repeats));
  }

  SessionTable from;
  SessionTable to;
  std::vector<std::uint8_t> frames;
  std::vector<std::uint8_t> datagrams;
};

int rounds_from(int argc, char** argv) {
  if (argc == 3 && std::string_view(argv[1]) == "--rounds") return std::max(std::atoi(argv[2]), 1);
  return argc == 2 && std::string_view(argv[1]) == "--smoke" ? 1 : 15;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<AeadBackend> backends{AeadBackend::openssl};
  if (probe_aead_backend() == AeadBackend::ipsec_mb) backends.insert(backends.begin(), AeadBackend::ipsec_mb);
  std::vector<std::unique_ptr<Pair>> pairs;
  for (const AeadBackend backend : backends) pairs.push_back(std::make_unique<Pair>(backend));
  std::vector<Row> rows;
  for (const std::size_t bytes : frame_sizes) {
    for (const AeadBackend backend : backends) rows.push_back({backend, bytes});
  }
  const int rounds = rounds_from(argc, argv);
  for (int round = 0; round != rounds; ++round) {
    for (std::size_t i = 0; i != rows.size(); ++i) pairs[i % pairs.size()]->measure(rows[i]);
  }
  std::printf("{\"bench\":\"aead\",\"rows\":[");
  for (std::size_t i = 0; i != rows.size(); ++i) {
    std::printf("%s{\"backend\":\"%s\",\"bytes\":%zu,\"seal_ns\":%.1f,\"open_ns\":%.1f}", i == 0 ? "" : ",",
                std::string(aead_backend_name(rows[i].backend)).c_str(), rows[i].bytes, rows[i].seal_ns,
                rows[i].open_ns);
  }
  std::printf("]}\n");
}
