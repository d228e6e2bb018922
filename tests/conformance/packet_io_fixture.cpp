#include "tests/conformance/packet_io_fixture.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "codec/rng.h"
#include "dataplane/io/socket_io.h"
#include "dataplane/io/uring_io.h"

namespace corelay::dataplane {

std::string name_of(const IoCase& c) {
  static constexpr std::array<const char*, 3> names{"memory", "socket", "uring"};
  return std::string(names[static_cast<std::size_t>(c.backend)]) + (c.gso ? "_gso" : "_nogso") +
         (c.gro ? "_gro" : "_nogro");
}

Datagram make_datagram(std::uint32_t peer, std::uint32_t number, std::size_t bytes) {
  Rng rng((std::uint64_t{peer} << 32) | number);
  Datagram datagram(bytes);
  for (std::uint8_t& byte : datagram) byte = static_cast<std::uint8_t>(rng.next());
  return datagram;
}

Endpoint loopback_endpoint(const PacketIo& io) {
  return {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1}, io.port()};
}

void PacketIoTest::SetUp() {
  if (GetParam().backend != Backend::uring) return;
  if (const auto probed = probe_uring(); !probed) GTEST_SKIP() << probed.error().describe();
}

IoConfig PacketIoTest::config() {
  IoConfig io;
  io.bind_address = "127.0.0.1";
  io.peers_max = 8;
  io.rx_buffers = 16;
  io.tx_buffers = 24;
  io.use_gso = GetParam().gso;
  io.use_gro = GetParam().gro;
  return io;
}

std::unique_ptr<PacketIo> PacketIoTest::open(const IoConfig& io) {
  if (GetParam().backend == Backend::memory) return network_.open(io);
  auto opened = GetParam().backend == Backend::socket ? open_socket_io(io) : open_uring_io(io);
  if (!opened) {
    ADD_FAILURE() << opened.error().describe();
    return nullptr;
  }
  return std::move(*opened);
}

void PacketIoTest::send_run(PacketIo& io, PeerIndex peer, const std::vector<Datagram>& datagrams) {
  TxBuffer buffer;
  for (int i = 0; buffer.data == nullptr && i < 100'000; ++i) buffer = io.tx_alloc();
  ASSERT_NE(buffer.data, nullptr);
  TxRun run{buffer.data, 0, static_cast<std::uint16_t>(datagrams.front().size()), peer, buffer.token};
  for (const Datagram& d : datagrams) {
    std::memcpy(buffer.data + run.bytes, d.data(), d.size());
    run.bytes += static_cast<std::uint32_t>(d.size());
  }
  ASSERT_LE(run.bytes, io.caps().bytes_max);
  std::size_t accepted = 0;
  for (int i = 0; accepted == 0 && i < 100'000; ++i) accepted = io.tx_burst({&run, 1});
  ASSERT_EQ(accepted, 1U);
}

std::vector<Datagram> PacketIoTest::receive(PacketIo& io, std::size_t count) {
  std::vector<Datagram> datagrams;
  std::array<RxRun, 8> runs;
  for (int idle = 0; datagrams.size() < count && idle < 20;) {
    const std::size_t got = io.rx_burst(runs);
    for (const RxRun& run : std::span(runs).first(got)) {
      EXPECT_GT(run.segment_bytes, 0U);
      for (std::uint32_t at = 0; at < run.bytes; at += run.segment_bytes) {
        const std::uint32_t bytes = std::min(run.segment_bytes, run.bytes - at);
        datagrams.emplace_back(run.data + at, run.data + at + bytes);
      }
    }
    io.release(std::span(runs).first(got));
    if (got != 0) {
      idle = 0;
      continue;
    }
    io.wait(milliseconds(4), false);
    ++idle;
  }
  return datagrams;
}

std::size_t count_tx_buffers(PacketIo& io) {
  std::vector<std::uint32_t> tokens;
  for (int misses = 0; misses < 1000;) {
    const TxBuffer buffer = io.tx_alloc();
    if (buffer.data == nullptr) {
      ++misses;
    } else {
      tokens.push_back(buffer.token);
    }
  }
  for (const std::uint32_t token : tokens) io.tx_free(token);
  return tokens.size();
}

}  // namespace corelay::dataplane
