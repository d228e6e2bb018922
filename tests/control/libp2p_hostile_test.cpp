// What a hostile or dead peer does to a host: garbage, silence, floods, too many connections.
#include <gtest/gtest.h>

#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>

#include "codec/rng.h"
#include "control/libp2p/link.h"
#include "control/libp2p/varint.h"
#include "tests/control/libp2p_two_hosts.h"

namespace corelay::libp2p {
namespace {

using boost::asio::ip::tcp;
using boost::system::error_code;

/// A TCP client that is not a host.
struct RawClient {
  RawClient(boost::asio::io_context& io, const Multiaddr& to) : socket(io) {
    error_code error;
    socket.connect({boost::asio::ip::make_address(to.host()), *to.tcp_port()}, error);
    EXPECT_FALSE(error);
    receive();
  }
  void send(const std::vector<std::uint8_t>& bytes) {
    error_code ignored;
    boost::asio::write(socket, boost::asio::buffer(bytes), ignored);
  }
  void receive() {
    socket.async_read_some(boost::asio::buffer(buffer),
                           [this](const error_code& error, std::size_t bytes) {
                             received += bytes;
                             is_closed = static_cast<bool>(error);
                             if (on_bytes) on_bytes(Bytes(buffer).first(bytes));
                             if (!error) receive();
                           });
  }
  tcp::socket socket;
  std::array<std::uint8_t, 65536> buffer{};
  std::size_t received = 0;
  bool is_closed = false;
  std::function<void(Bytes)> on_bytes;
};

/// A peer that finishes the handshake properly and then says what a test tells it to.
struct RawPeer : LinkEvents {
  RawPeer(boost::asio::io_context& io, const Multiaddr& to)
      : client(io, to), link(identity, {Role::dialer, {}, {}, true}, *this) {
    client.on_bytes = [this](Bytes bytes) {
      if (is_mute) return;
      static_cast<void>(link.receive(bytes));
      flush();
    };
    flush();
  }
  void flush() {
    std::vector<std::uint8_t> out;
    ASSERT_TRUE(link.take_output(out, 1u << 20));
    if (!out.empty()) client.send(out);
  }
  void on_ready() override {}
  void on_stream(std::uint32_t) override {}
  void on_data(std::uint32_t, Bytes) override {}
  void on_end(std::uint32_t) override {}
  void on_reset(std::uint32_t) override { ++resets; }
  void on_pong(std::uint32_t) override { ++pongs; }
  void on_go_away(std::uint32_t code) override { go_away = code; }

  Identity identity = Identity::generate();
  RawClient client;
  Link link;
  int resets = 0;
  int pongs = 0;
  std::optional<std::uint32_t> go_away;
  bool is_mute = false;
};

TEST_F(HostTest, GarbageIsCutOffAndNothingElseHappens) {
  HostConfig config = quick_config();
  config.dial_timeout = std::chrono::milliseconds(1000);
  const auto a = make_host(config);
  const auto b = make_host();
  Rng rng(1);
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 20; ++i) {
    clients.push_back(std::make_unique<RawClient>(io, a->address));
    std::vector<std::uint8_t> bytes(1 + rng.below(3000));
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(rng.next());
    if (i % 2 == 1) {  // garbage behind a good beginning
      const std::string good = "\x13/multistream/1.0.0\n\x07/noise\n";
      bytes.insert(bytes.begin(), good.begin(), good.end());
    }
    if (i % 2 == 0) bytes[0] = 0x05;
    clients.back()->send(bytes);
  }
  ASSERT_TRUE(run_until([&] {
    return std::ranges::count_if(clients, [](const auto& client) { return client->is_closed; }) >=
           10;
  }));
  EXPECT_TRUE(a->connected.empty());
  EXPECT_TRUE(dial(*b, a->full_address())) << "the host still serves";
  ASSERT_TRUE(run_until([&] {
    return std::ranges::all_of(clients, [](const auto& client) { return client->is_closed; });
  })) << "records cut short end by the time limit";
}

TEST_F(HostTest, SlowHandshakesEndByTheTimeLimit) {
  HostConfig config = quick_config();
  config.dial_timeout = std::chrono::milliseconds(300);
  const auto a = make_host(config);
  RawClient silent(io, a->address);
  RawClient dripping(io, a->address);
  const std::string good = "\x13/multistream/1.0.0\n\x07/noise\n";
  boost::asio::steady_timer timer(io);
  std::size_t at = 0;
  std::function<void()> drip = [&] {
    timer.expires_after(std::chrono::milliseconds(20));
    timer.async_wait([&](const error_code& error) {
      if (error || dripping.is_closed) return;
      if (at < good.size()) dripping.send({static_cast<std::uint8_t>(good[at++])});
      drip();
    });
  };
  drip();
  ASSERT_TRUE(
      run_until([&] { return silent.is_closed && dripping.is_closed; }, std::chrono::seconds(5)));
  timer.cancel();
  EXPECT_TRUE(a->connected.empty());
}

TEST_F(HostTest, ADialToAMuteListenerTimesOut) {
  HostConfig config = quick_config();
  config.dial_timeout = std::chrono::milliseconds(300);
  const auto a = make_host(config);
  tcp::acceptor mute(io, tcp::endpoint(boost::asio::ip::make_address("127.0.0.1"), 0));
  const auto outcome = dial(*a, Multiaddr::tcp("127.0.0.1", mute.local_endpoint().port()).value());
  EXPECT_EQ(outcome.error().code, ErrorCode::timed_out) << outcome.error().describe();
  EXPECT_TRUE(a->host.connections().empty());
}

TEST_F(HostTest, AMutePeerIsDroppedByKeepalive) {
  HostConfig config = quick_config();
  config.keepalive_interval = std::chrono::milliseconds(100);
  const auto a = make_host(config);
  RawPeer peer(io, a->address);
  ASSERT_TRUE(run_until([&] { return a->connected.size() == 1; }));
  run_for(std::chrono::milliseconds(600));
  EXPECT_TRUE(a->disconnected.empty()) << "it answers";
  peer.is_mute = true;
  ASSERT_TRUE(run_until([&] { return a->disconnected.size() == 1; }));
  EXPECT_EQ(a->disconnected[0], peer.identity.peer_id());
}

TEST_F(HostTest, ConnectionsAreLimited) {
  HostConfig config = quick_config();
  config.connections_per_address_max = 3;
  const auto a = make_host(config);
  std::vector<std::unique_ptr<RawPeer>> peers;
  for (int i = 0; i < 5; ++i) peers.push_back(std::make_unique<RawPeer>(io, a->address));
  ASSERT_TRUE(run_until([&] {
    return a->connected.size() == 3 && std::ranges::count_if(peers, [](const auto& peer) {
                                         return peer->client.is_closed;
                                       }) == 2;
  }));

  config = quick_config();
  config.connections_max = 1;
  const auto b = make_host(config);
  const auto c = make_host();
  const auto d = make_host();
  ASSERT_TRUE(dial(*b, c->full_address()));
  EXPECT_EQ(dial(*b, d->full_address()).error().code, ErrorCode::unavailable);
  EXPECT_EQ(dial(*d, b->full_address()).error().code, ErrorCode::closed);
}

TEST_F(HostTest, ManyConnectionsOfOnePeerAreCutBack) {
  const auto a = make_host();
  std::vector<std::unique_ptr<RawPeer>> peers;
  for (int i = 0; i < 8; ++i) {
    peers.push_back(std::make_unique<RawPeer>(io, a->address));
    RawPeer& peer = *peers.back();
    if (i > 0) {  // the same identity again
      peer.identity = peers[0]->identity;
    }
    ASSERT_TRUE(run_until([&] { return peer.link.is_ready() || peer.client.is_closed; }));
  }
  ASSERT_TRUE(run_until([&] { return a->host.connections().size() <= 4; }));
  EXPECT_EQ(a->connected.size(), 1u);
  EXPECT_TRUE(a->disconnected.empty());
}

TEST_F(HostTest, YamuxViolationsEndTheConnection) {
  const auto a = make_host();
  std::vector<StreamPtr> held;
  a->host.handle("/hold/1", [&](StreamPtr stream) { held.push_back(std::move(stream)); });
  RawPeer peer(io, a->address);
  ASSERT_TRUE(run_until([&] { return a->connected.size() == 1; }));
  // Data beyond the window: 256 KiB are allowed before the host has read anything.
  const std::uint32_t id = peer.link.session().open().value();
  peer.link.session().write(id, Negotiation::dial({"/hold/1"}).take_output());
  peer.flush();
  ASSERT_TRUE(run_until([&] { return held.size() == 1; }));
  peer.link.session().write(id, std::vector<std::uint8_t>(300 * 1024));
  // The session itself would stop at the window; a peer that grants itself a larger one does not.
  struct Ignore : YamuxEvents {
    void on_stream(std::uint32_t) override {}
    void on_data(std::uint32_t, Bytes) override {}
    void on_end(std::uint32_t) override {}
    void on_reset(std::uint32_t) override {}
    void on_pong(std::uint32_t) override {}
    void on_go_away(std::uint32_t) override {}
  } ignore;
  std::vector<std::uint8_t> grant{0, 1,    0, 0, 0, 0, 0, static_cast<std::uint8_t>(id),
                                  0, 0x10, 0, 0};
  ASSERT_TRUE(peer.link.session().receive(grant, ignore));
  peer.flush();
  ASSERT_TRUE(run_until([&] { return a->disconnected.size() == 1; }));
  ASSERT_TRUE(run_until([&] { return peer.client.is_closed; }));
  EXPECT_EQ(peer.go_away, 1u) << "told why";
}

TEST_F(HostTest, APingFloodIsAnsweredAndOneWithoutReadingIsHeldBack) {
  const auto a = make_host();
  RawPeer peer(io, a->address);
  ASSERT_TRUE(run_until([&] { return a->connected.size() == 1; }));
  for (std::uint32_t i = 0; i < 20000; ++i) peer.link.session().ping(i);
  peer.flush();
  ASSERT_TRUE(run_until([&] { return peer.pongs == 20000; }));

  // Now the peer stops reading. The kernel's buffers fill, then the host must stop reading too.
  constexpr std::size_t kernel_bytes_max = 24u << 20;
  RawPeer greedy(io, a->address);
  ASSERT_TRUE(run_until([&] { return a->connected.size() == 2; }));
  run_for(std::chrono::milliseconds(50));
  error_code error;
  greedy.client.on_bytes = nullptr;
  greedy.client.socket.cancel(error);
  greedy.client.socket.non_blocking(true, error);
  std::size_t accepted = 0;
  for (int refused = 0; refused < 20 && accepted < 2 * kernel_bytes_max;) {
    for (std::uint32_t i = 0; i < 20000; ++i) greedy.link.session().ping(i);
    std::vector<std::uint8_t> out;
    ASSERT_TRUE(greedy.link.take_output(out, 1u << 20));
    for (std::size_t at = 0; at < out.size() && refused < 20;) {
      const std::size_t put = greedy.client.socket.write_some(
          boost::asio::buffer(out.data() + at, out.size() - at), error);
      at += put;
      accepted += put;
      if (put == 0) ++refused;
      run_for(std::chrono::milliseconds(put == 0 ? 20 : 1));
    }
  }
  EXPECT_LT(accepted, kernel_bytes_max);
}

TEST_F(HostTest, StreamsThatNeverAgreeOnAProtocolEnd) {
  HostConfig config = quick_config();
  config.negotiate_timeout = std::chrono::milliseconds(200);
  const auto a = make_host(config);
  RawPeer peer(io, a->address);
  ASSERT_TRUE(run_until([&] { return a->connected.size() == 1; }));
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(peer.link.session().open());
  peer.flush();
  ASSERT_TRUE(run_until([&] { return peer.resets == 11; }))
      << "and the host's own identify, which was not answered";
  EXPECT_TRUE(a->disconnected.empty());
}

}  // namespace
}  // namespace corelay::libp2p
