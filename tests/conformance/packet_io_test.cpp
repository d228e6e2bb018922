/// What every backend owes the lcore, whatever the system below it can do.
#include <chrono>
#include <cstring>
#include <map>
#include <thread>

#include "dataplane/io/loss_io.h"
#include "dataplane/io/open_io.h"
#include "tests/conformance/packet_io_fixture.h"

namespace corelay::dataplane {
namespace {

std::vector<Datagram> make_run(std::uint32_t peer, std::uint32_t first, std::size_t count, std::size_t bytes,
                               std::size_t last_bytes) {
  std::vector<Datagram> run;
  for (std::size_t i = 0; i < count; ++i) {
    run.push_back(make_datagram(peer, first + static_cast<std::uint32_t>(i), i + 1 == count ? last_bytes : bytes));
  }
  return run;
}

TEST_P(PacketIoTest, SaysWhatItIs) {
  const auto io = open();
  ASSERT_NE(io, nullptr);
  EXPECT_FALSE(io->caps().name.empty());
  EXPECT_NE(io->port(), 0);
  EXPECT_LE(io->caps().bytes_max, run_bytes_max);
  EXPECT_GE(io->caps().segments_max, 1);
  EXPECT_TRUE(GetParam().gso || !io->caps().gso);
  EXPECT_TRUE(GetParam().gro || !io->caps().gro);
}

TEST_P(PacketIoTest, GivesEachPeerItsBytesInOrder) {
  const auto sender = open();
  ASSERT_NE(sender, nullptr);
  std::map<PeerIndex, std::unique_ptr<PacketIo>> peers;
  for (const PeerIndex peer : {PeerIndex{1}, PeerIndex{4}, PeerIndex{7}}) {
    peers[peer] = open();
    ASSERT_NE(peers[peer], nullptr);
    sender->set_destination(peer, loopback_endpoint(*peers[peer]));
  }
  // Sizes from a byte to the largest, single datagrams and full runs, short last ones.
  const std::vector<std::vector<std::size_t>> shapes{
      {1, 1, 1}, {1, 1200, 1200}, {5, 1400, 1400}, {8, 1400, 33}, {46, 1400, 1400}, {64, 64, 1}, {2, 1972, 1971}};
  for (std::size_t s = 0; s < shapes.size(); ++s) {
    std::map<PeerIndex, std::vector<Datagram>> expected;
    for (const auto& [peer, io] : peers) {
      expected[peer] = make_run(peer, static_cast<std::uint32_t>(s * 100), shapes[s][0], shapes[s][1], shapes[s][2]);
      send_run(*sender, peer, expected[peer]);
    }
    for (const auto& [peer, io] : peers) {
      EXPECT_EQ(receive(*io, expected[peer].size()), expected[peer]) << "shape " << s << " peer " << peer;
    }
  }
  EXPECT_EQ(sender->stats().tx_errors, 0U);
  EXPECT_EQ(sender->stats().tx_datagrams, 3U * (1 + 1 + 5 + 8 + 46 + 64 + 2));
}

TEST_P(PacketIoTest, CountsWhatPasses) {
  const auto sender = open();
  const auto receiver = open();
  ASSERT_TRUE(sender != nullptr && receiver != nullptr);
  sender->set_destination(0, loopback_endpoint(*receiver));
  const auto run = make_run(0, 0, 10, 1000, 500);
  send_run(*sender, 0, run);
  ASSERT_EQ(receive(*receiver, 10), run);
  EXPECT_EQ(sender->stats().tx_runs, 1U);
  EXPECT_EQ(sender->stats().tx_datagrams, 10U);
  EXPECT_EQ(sender->stats().tx_bytes, 9'500U);
  EXPECT_EQ(receiver->stats().rx_datagrams, 10U);
  EXPECT_EQ(receiver->stats().rx_bytes, 9'500U);
}

TEST_P(PacketIoTest, KeepsRunsWholeWhereBothEndsTakeThem) {
  const auto sender = open();
  const auto receiver = open();
  ASSERT_TRUE(sender != nullptr && receiver != nullptr);
  sender->set_destination(0, loopback_endpoint(*receiver));
  send_run(*sender, 0, make_run(0, 0, 20, 1400, 700));
  std::array<RxRun, 32> runs;
  std::size_t datagrams = 0;
  std::size_t count = 0;
  for (int idle = 0; datagrams < 20 && idle < 20;) {
    const std::size_t got = receiver->rx_burst(runs);
    for (const RxRun& run : std::span(runs).first(got)) {
      datagrams += segment_count(run.bytes, run.segment_bytes);
      EXPECT_EQ(run.segment_bytes, std::min(run.bytes, 1400U));
      EXPECT_EQ(run.from, loopback_endpoint(*sender));
    }
    count += got;
    receiver->release(std::span(runs).first(got));
    if (got == 0) {
      receiver->wait(milliseconds(10), false);
      ++idle;
    }
  }
  EXPECT_EQ(datagrams, 20U);
  if (sender->caps().gso && receiver->caps().gro) {
    EXPECT_EQ(count, 1U);
  } else if (!receiver->caps().gro) {
    EXPECT_EQ(count, 20U);
  }
}

TEST_P(PacketIoTest, NeverBlocksWhenNothingIsThere) {
  const auto io = open();
  ASSERT_NE(io, nullptr);
  std::array<RxRun, 4> runs;
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(io->rx_burst(runs), 0U);
  EXPECT_EQ(io->rx_burst({}), 0U);
  EXPECT_EQ(io->tx_burst({}), 0U);
  io->wait(Duration{0}, false);
  io->wait(Duration{-5}, true);
}

TEST_P(PacketIoTest, HandsNothingOverTwiceWhenTheBurstIsSmall) {
  const auto sender = open();
  const auto receiver = open();
  ASSERT_TRUE(sender != nullptr && receiver != nullptr);
  sender->set_destination(0, loopback_endpoint(*receiver));
  std::vector<Datagram> expected;
  for (std::uint32_t i = 0; i < 6; ++i) {
    expected.push_back(make_datagram(0, i, 100 + i));  // of different sizes: each a run
    send_run(*sender, 0, {expected.back()});
  }
  std::vector<Datagram> got;
  RxRun run;
  for (int idle = 0; got.size() < 6 && idle < 20;) {
    if (receiver->rx_burst({&run, 1}) == 1) {
      for (std::uint32_t at = 0; at < run.bytes; at += run.segment_bytes) {
        got.emplace_back(run.data + at, run.data + at + std::min(run.segment_bytes, run.bytes - at));
      }
      receiver->release({&run, 1});
    } else {
      receiver->wait(milliseconds(10), false);
      ++idle;
    }
  }
  EXPECT_EQ(got, expected);
}

TEST_P(PacketIoTest, CountsRunsToNobodyAndFreesThem) {
  const auto io = open();
  ASSERT_NE(io, nullptr);
  send_run(*io, 3, make_run(3, 0, 4, 500, 500));
  send_run(*io, 200, make_run(3, 0, 2, 500, 500));  // over peers_max
  io->set_destination(3, loopback_endpoint(*io));
  io->clear_destination(3);
  send_run(*io, 3, make_run(3, 0, 1, 500, 500));
  EXPECT_EQ(io->stats().tx_errors, 7U);
  EXPECT_EQ(io->stats().tx_datagrams, 0U);
  EXPECT_EQ(count_tx_buffers(*io), config().tx_buffers);
}

TEST_P(PacketIoTest, KeepsTheOrderOfAcceptedRunsAroundUnreachableOnes) {
  const auto sender = open();
  const auto receiver = open();
  ASSERT_TRUE(sender != nullptr && receiver != nullptr);
  sender->set_destination(1, loopback_endpoint(*receiver));
  std::array<TxRun, 3> runs;
  const std::array<PeerIndex, 3> to{1, 5, 1};
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const TxBuffer buffer = sender->tx_alloc();
    ASSERT_NE(buffer.data, nullptr);
    const Datagram d = make_datagram(1, static_cast<std::uint32_t>(i), 300);
    std::memcpy(buffer.data, d.data(), d.size());
    runs[i] = {buffer.data, 300, 300, to[i], buffer.token};
  }
  EXPECT_EQ(sender->tx_burst(runs), 3U);
  EXPECT_EQ(receive(*receiver, 2), (std::vector<Datagram>{make_datagram(1, 0, 300), make_datagram(1, 2, 300)}));
  EXPECT_EQ(sender->stats().tx_errors, 1U);
}

TEST_P(PacketIoTest, ReleaseReturnsEveryBuffer) {
  const auto sender = open();
  const auto receiver = open();
  ASSERT_TRUE(sender != nullptr && receiver != nullptr);
  sender->set_destination(0, loopback_endpoint(*receiver));
  // Many times more runs than there are buffers on either side.
  for (std::uint32_t i = 0; i < 400; ++i) {
    const auto run = make_run(0, i * 8, 8, 1400, 1400);
    send_run(*sender, 0, run);
    ASSERT_EQ(receive(*receiver, 8), run) << i;
  }
  EXPECT_EQ(receiver->stats().rx_starved, 0U);
  EXPECT_EQ(count_tx_buffers(*sender), config().tx_buffers);
}

/// More of them than a backend lets the system fill at once. Where the system keeps little for a socket, the last ones
/// are lost, but none between.
TEST_P(PacketIoTest, TakesManyLongRunsThatWaited) {
  constexpr std::size_t datagrams = 46;
  const auto sender = open();
  const auto receiver = open();
  ASSERT_TRUE(sender != nullptr && receiver != nullptr);
  if (!sender->caps().gso || !receiver->caps().gro) GTEST_SKIP() << "one datagram a run";
  sender->set_destination(0, loopback_endpoint(*receiver));
  for (std::uint32_t round = 0; round < 4; ++round) {
    std::vector<Datagram> expected;
    for (std::uint32_t i = 0; i < 12; ++i) {
      const auto run = make_run(0, (round * 12 + i) * datagrams, datagrams, 1400, 1400);
      send_run(*sender, 0, run);
      expected.insert(expected.end(), run.begin(), run.end());
    }
    const auto got = receive(*receiver, expected.size());
    EXPECT_GE(got.size(), 4 * datagrams) << round;
    expected.resize(got.size());
    EXPECT_EQ(got, expected) << round;
  }
  EXPECT_EQ(receiver->stats().rx_starved, 0U);
}

TEST_P(PacketIoTest, SurvivesAReceiverThatHoldsEveryBuffer) {
  const auto sender = open();
  const auto receiver = open();
  ASSERT_TRUE(sender != nullptr && receiver != nullptr);
  sender->set_destination(0, loopback_endpoint(*receiver));
  for (std::uint32_t i = 0; i < 600; ++i) send_run(*sender, 0, {make_datagram(0, i, 100)});
  std::vector<RxRun> held;
  RxRun run;
  for (int idle = 0; idle < 50;) {
    if (receiver->rx_burst({&run, 1}) == 1) {
      held.push_back(run);
    } else {
      ++idle;
    }
  }
  EXPECT_GE(held.size(), config().rx_buffers);
  EXPECT_GE(receiver->stats().rx_starved, 1U);
  receiver->release(held);
  static_cast<void>(receive(*receiver, 600));  // what the system kept meanwhile
  const auto fresh = make_run(0, 9000, 3, 800, 800);
  send_run(*sender, 0, fresh);
  EXPECT_EQ(receive(*receiver, 3), fresh);
}

TEST_P(PacketIoTest, TakesAPrefixWhenTheSystemIsFull) {
  const auto sender = open();
  const auto receiver = open();
  ASSERT_TRUE(sender != nullptr && receiver != nullptr);
  sender->set_destination(0, loopback_endpoint(*receiver));
  network_.set_flowing(false);  // the systems below the other backends take what fits their buffers
  std::size_t sent = 0;
  std::size_t refused = 0;
  for (std::uint32_t i = 0; i < 200 && refused == 0; ++i) {
    const TxBuffer buffer = sender->tx_alloc();
    if (buffer.data == nullptr) break;
    const Datagram d = make_datagram(0, i, 1400);
    std::memcpy(buffer.data, d.data(), d.size());
    TxRun run{buffer.data, 1400, 1400, 0, buffer.token};
    if (sender->tx_burst({&run, 1}) == 1) {
      ++sent;
    } else {
      ++refused;
      EXPECT_EQ(run.bytes, 1400U);  // still ours, whole
      sender->tx_free(buffer.token);
    }
  }
  if (GetParam().backend == Backend::memory) {
    EXPECT_EQ(sent, 16U);
    EXPECT_EQ(refused, 1U);
    EXPECT_EQ(sender->stats().tx_would_block, 1U);
  }
  network_.set_flowing(true);
  const auto got = receive(*receiver, sent);
  ASSERT_LE(got.size(), sent);
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_EQ(got[i], make_datagram(0, static_cast<std::uint32_t>(i), 1400));
  EXPECT_EQ(count_tx_buffers(*sender), config().tx_buffers);
}

TEST_P(SystemIoTest, DropsWhatIsLongerThanABuffer) {
  const auto sender = open();
  const auto receiver = open();
  ASSERT_TRUE(sender != nullptr && receiver != nullptr);
  sender->set_destination(0, loopback_endpoint(*receiver));
  const Datagram large = make_datagram(0, 1, 9000);
  send_run(*sender, 0, {large});
  const Datagram small = make_datagram(0, 2, 100);
  send_run(*sender, 0, {small});
  const auto got = receive(*receiver, 2);
  if (receiver->stats().rx_truncated == 1) {
    EXPECT_EQ(got, std::vector<Datagram>{small});
  } else {  // buffers for runs hold it; the session layer above refuses it
    EXPECT_EQ(got, (std::vector<Datagram>{large, small}));
  }
}

TEST_P(PacketIoTest, CanBeClosedWhileSendsAreUnderWay) {
  for (int round = 0; round < 20; ++round) {
    auto sender = open();
    auto receiver = open();
    ASSERT_TRUE(sender != nullptr && receiver != nullptr);
    sender->set_destination(0, loopback_endpoint(*receiver));
    for (std::uint32_t i = 0; i < 16; ++i) send_run(*sender, 0, make_run(0, i * 40, 40, 1400, 1400));
    if (round % 2 == 0) std::swap(sender, receiver);
    sender.reset();
    receiver.reset();
  }
}

TEST_P(PacketIoTest, FreesItsPortWhenClosed) {
  IoConfig io = config();
  for (int round = 0; round < 5; ++round) {
    auto first = open(io);
    ASSERT_NE(first, nullptr);
    io.port = first->port();
  }
}

TEST_P(SystemIoTest, WaitEndsWithADatagram) {
  const auto sender = open();
  const auto receiver = open();
  ASSERT_TRUE(sender != nullptr && receiver != nullptr);
  sender->set_destination(0, loopback_endpoint(*receiver));
  for (std::uint32_t i = 0; i < 3; ++i) {
    std::array<RxRun, 2> runs;
    send_run(*sender, 0, {make_datagram(0, i, 700)});
    std::size_t got = 0;
    for (int tries = 0; got == 0 && tries < 10; ++tries) {
      receiver->wait(seconds(5), false);
      got = receiver->rx_burst(runs);
    }
    ASSERT_EQ(got, 1U);
    receiver->release(std::span(runs).first(1));
  }
}

TEST_P(SystemIoTest, WaitEndsWithAWakeFromAnotherThread) {
  const auto io = open();
  ASSERT_NE(io, nullptr);
  io->wake();
  io->wait(seconds(60), false);  // returns at once, or this test runs into its time limit
  for (int round = 0; round < 3; ++round) {
    std::thread other([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      io->wake();
    });
    io->wait(seconds(60), false);
    std::array<RxRun, 1> runs;
    EXPECT_EQ(io->rx_burst(runs), 0U);
    other.join();
  }
}

TEST_P(PacketIoTest, LossDecoratorLosesItsShareAndNothingElse) {
  const auto sender = open();
  auto inner = open();
  ASSERT_TRUE(sender != nullptr && inner != nullptr);
  sender->set_destination(0, loopback_endpoint(*inner));
  LossIo lossy(std::move(inner), 0.2, 7);
  std::size_t got = 0;
  constexpr std::uint32_t runs = 500;
  for (std::uint32_t i = 0; i < runs; ++i) {
    const auto run = make_run(0, i * 10, 10, 600, 300);
    send_run(*sender, 0, run);
    std::size_t next = 0;
    const std::uint64_t all = (i + 1) * std::uint64_t{10};
    std::array<RxRun, 16> bursts;
    for (int polls = 0; lossy.stats().rx_datagrams < all && polls < 100'000; ++polls) {
      const std::size_t count = lossy.rx_burst(bursts);
      for (const RxRun& part : std::span(bursts).first(count)) {
        for (std::uint32_t at = 0; at < part.bytes; at += part.segment_bytes, ++got, ++next) {
          const Datagram d(part.data + at, part.data + at + std::min(part.segment_bytes, part.bytes - at));
          while (next < run.size() && run[next] != d) ++next;  // a subset of the run, in order
          ASSERT_LT(next, run.size());
        }
      }
      lossy.release(std::span(bursts).first(count));
    }
  }
  EXPECT_EQ(got + lossy.lost(), runs * 10U);
  // 5,000 draws at 0.2: six standard deviations are 170.
  EXPECT_NEAR(static_cast<double>(lossy.lost()), 1000.0, 170.0);
}

std::string case_name(const testing::TestParamInfo<IoCase>& tested) { return name_of(tested.param); }

constexpr auto system_cases = {
    IoCase{Backend::socket, true, true}, IoCase{Backend::socket, true, false}, IoCase{Backend::socket, false, true},
    IoCase{Backend::socket, false, false}, IoCase{Backend::uring, true, true}, IoCase{Backend::uring, true, false},
    IoCase{Backend::uring, false, true}, IoCase{Backend::uring, false, false}};

INSTANTIATE_TEST_SUITE_P(Memory, PacketIoTest,
                         testing::Values(IoCase{Backend::memory, true, true}, IoCase{Backend::memory, true, false}),
                         case_name);
INSTANTIATE_TEST_SUITE_P(System, PacketIoTest, testing::ValuesIn(system_cases), case_name);
INSTANTIATE_TEST_SUITE_P(System, SystemIoTest, testing::ValuesIn(system_cases), case_name);

TEST(OpenIo, AutomaticFindsSomethingThatWorks) {
  IoConfig io;
  io.bind_address = "127.0.0.1";
  const auto opened = open_io(BackendChoice::automatic, io);
  ASSERT_TRUE(opened) << opened.error().describe();
  EXPECT_FALSE((*opened)->caps().name.empty());
}

TEST(OpenIo, NamesWhatIsWrong) {
  IoConfig io;
  io.bind_address = "localhost";
  const auto not_an_address = open_io(BackendChoice::socket, io);
  ASSERT_FALSE(not_an_address);
  EXPECT_EQ(not_an_address.error().code, ErrorCode::invalid_argument);
  io.bind_address = "127.0.0.1";
  const auto first = open_io(BackendChoice::socket, io);
  ASSERT_TRUE(first);
  io.port = (*first)->port();
  const auto taken = open_io(BackendChoice::automatic, io);
  ASSERT_FALSE(taken);
  EXPECT_NE(taken.error().describe().find(std::to_string(io.port)), std::string::npos);
}

TEST(OpenIo, Ipv6TakesIpv4Too) {
  IoConfig io;
  io.bind_address = "::";
  auto six = open_io(BackendChoice::socket, io);
  if (!six) GTEST_SKIP() << six.error().describe();
  io.bind_address = "127.0.0.1";
  auto four = open_io(BackendChoice::socket, io);
  ASSERT_TRUE(four);
  (*four)->set_destination(0, loopback_endpoint(**six));
  const TxBuffer buffer = (*four)->tx_alloc();
  std::memset(buffer.data, 5, 50);
  TxRun out{buffer.data, 50, 50, 0, buffer.token};
  ASSERT_EQ((*four)->tx_burst({&out, 1}), 1U);
  std::array<RxRun, 1> in;
  (*six)->wait(seconds(5), false);
  ASSERT_EQ((*six)->rx_burst(in), 1U);
  EXPECT_EQ(in[0].from, loopback_endpoint(**four));
  (*six)->release(in);
}

}  // namespace
}  // namespace corelay::dataplane
