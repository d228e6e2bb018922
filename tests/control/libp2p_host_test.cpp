// Hosts over loopback: dialling, streams, flow control, identify, ping.
#include "control/libp2p/host.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "codec/rng.h"
#include "tests/control/libp2p_two_hosts.h"

namespace corelay::libp2p {
namespace {

std::vector<std::uint8_t> random_bytes(std::size_t count, std::uint64_t seed) {
  Rng rng(seed);
  std::vector<std::uint8_t> bytes(count);
  for (auto& byte : bytes) byte = static_cast<std::uint8_t>(rng.next());
  return bytes;
}

TEST_F(HostTest, DialsAndTellsBothSidesOnce) {
  const auto a = make_host();
  const auto b = make_host();
  const auto peer = dial(*a, b->full_address());
  ASSERT_TRUE(peer) << peer.error().describe();
  EXPECT_EQ(*peer, b->id());
  ASSERT_TRUE(run_until([&] {
    return b->connected.size() == 1 && a->identified.size() == 1 && b->identified.size() == 1;
  }));
  ASSERT_EQ(a->connected.size(), 1u);
  EXPECT_EQ(a->connected[0].peer, b->id());
  EXPECT_TRUE(a->connected[0].is_outbound);
  EXPECT_EQ(a->connected[0].remote, b->address);
  EXPECT_EQ(b->connected[0].peer, a->id());
  EXPECT_FALSE(b->connected[0].is_outbound);
  EXPECT_TRUE(b->connected[0].remote.text().starts_with("/ip4/127.0.0.1/tcp/"));
  EXPECT_EQ(a->host.connections().size(), 1u);

  EXPECT_EQ(dial(*a, b->full_address()).value(), b->id()) << "reuses the connection";
  EXPECT_EQ(a->host.connections().size(), 1u);

  a->host.disconnect(b->id());
  ASSERT_TRUE(
      run_until([&] { return a->disconnected.size() == 1 && b->disconnected.size() == 1; }));
  EXPECT_EQ(a->disconnected[0], b->id());
  EXPECT_EQ(b->disconnected[0], a->id());
  EXPECT_TRUE(a->host.connections().empty());
}

TEST_F(HostTest, IdentifyTellsAgentProtocolsAndAddresses) {
  HostConfig config = quick_config();
  config.agent_version = "corelay/test";
  const auto a = make_host();
  const auto b = make_host(config);
  b->host.handle("/x/1", [](const StreamPtr&) {});
  ASSERT_TRUE(dial(*a, b->full_address()));
  ASSERT_TRUE(run_until([&] { return a->identified.size() == 1; }));
  const PeerIdentity& told = a->identified[0];
  EXPECT_EQ(told.agent_version, "corelay/test");
  EXPECT_EQ(told.protocol_version, "ipfs/0.1.0");
  EXPECT_EQ(told.listen_addresses, std::vector<Multiaddr>{b->address});
  const std::vector<std::string> expected{"/ipfs/id/1.0.0", "/ipfs/id/push/1.0.0",
                                          "/ipfs/ping/1.0.0", "/x/1"};
  EXPECT_EQ(told.protocols, expected);

  // A change is pushed to peers that are connected.
  ASSERT_TRUE(run_until([&] { return b->identified.size() == 1; }));
  const auto announced = Multiaddr::parse("/dns4/relay.example/tcp/7070").value();
  b->host.handle("/y/1", [](const StreamPtr&) {});
  b->host.set_announced({announced});
  ASSERT_TRUE(run_until([&] { return a->identified.size() == 2; }));
  EXPECT_NE(std::ranges::find(a->identified[1].protocols, "/y/1"),
            a->identified[1].protocols.end());
  EXPECT_EQ(a->identified[1].listen_addresses, std::vector<Multiaddr>{announced});
  EXPECT_EQ(a->identified[1].agent_version, "corelay/test");
}

TEST_F(HostTest, PingsBothWays) {
  const auto a = make_host();
  const auto b = make_host();
  ASSERT_TRUE(dial(*a, b->full_address()));
  ASSERT_TRUE(run_until([&] { return b->connected.size() == 1; }));
  int answers = 0;
  const auto count = [&](Expected<std::chrono::microseconds> time) {
    ASSERT_TRUE(time) << time.error().describe();
    EXPECT_GE(time->count(), 0);
    ++answers;
  };
  a->host.ping(b->id(), count);
  b->host.ping(a->id(), count);
  ASSERT_TRUE(run_until([&] { return answers == 2; }));
  std::optional<Error> error;
  a->host.ping(Identity::generate().peer_id(), [&](auto time) { error = time.error(); });
  ASSERT_TRUE(run_until([&] { return error.has_value(); }));
  EXPECT_EQ(error->code, ErrorCode::not_found);
}

TEST_F(HostTest, ResolvesNames) {
  const auto a = make_host();
  const auto b = make_host();
  const std::string port = std::to_string(*b->address.tcp_port());
  EXPECT_TRUE(
      dial(*a, Multiaddr::parse("/dns4/localhost/tcp/" + port + "/p2p/" + b->id().text()).value()));
  const auto unknown = dial(*a, Multiaddr::parse("/dns/no-such-host.invalid/tcp/1").value());
  EXPECT_EQ(unknown.error().code, ErrorCode::unavailable);
}

TEST_F(HostTest, RefusesWhatCannotBeDialled) {
  const auto a = make_host();
  const auto b = make_host();
  const PeerId stranger = Identity::generate().peer_id();
  const auto wrong = dial(*a, b->address.with_peer(stranger));
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, ErrorCode::unauthenticated) << wrong.error().describe();
  EXPECT_TRUE(a->connected.empty());
  EXPECT_EQ(dial(*a, a->full_address()).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(dial(*a, a->address).error().code, ErrorCode::unauthenticated)
      << "ourselves, found out by the handshake";
  EXPECT_EQ(dial(*a, Multiaddr::parse("/ip4/127.0.0.1/udp/1/quic-v1").value()).error().code,
            ErrorCode::invalid_argument);
  const auto b_address = b->address;
  b->host.stop();
  EXPECT_EQ(dial(*a, b_address).error().code, ErrorCode::unavailable);
  run_for(std::chrono::milliseconds(50));
  EXPECT_TRUE(a->connected.empty());
  EXPECT_TRUE(a->host.connections().empty());
}

TEST_F(HostTest, ListenErrorsAreTyped) {
  const auto a = make_host();
  const auto b = make_host();
  EXPECT_EQ(b->host.listen(a->address).error().code, ErrorCode::already_exists);
  EXPECT_EQ(b->host.listen(Multiaddr::parse("/dns4/localhost/tcp/1").value()).error().code,
            ErrorCode::invalid_argument);
  EXPECT_EQ(b->host.listen(Multiaddr::parse("/ip4/127.0.0.1").value()).error().code,
            ErrorCode::invalid_argument);
  EXPECT_TRUE(b->host.listen(Multiaddr::parse("/ip6/::1/tcp/0").value()));
  EXPECT_EQ(b->host.listen_addresses().size(), 2u);
}

TEST_F(HostTest, OpensOnlyWhatThePeerServes) {
  const auto a = make_host();
  const auto b = make_host();
  serve_echo(b->host, "/echo/1");
  EXPECT_EQ(open(*a, b->id(), "/echo/1").error().code, ErrorCode::not_found) << "no connection";
  ASSERT_TRUE(dial(*a, b->full_address()));
  const auto unknown = open(*a, b->id(), "/other/1");
  EXPECT_EQ(unknown.error().code, ErrorCode::not_found);
  EXPECT_NE(unknown.error().what.find("/other/1"), std::string::npos);
  const auto stream = open(*a, b->id(), "/echo/1");
  ASSERT_TRUE(stream);
  EXPECT_EQ((*stream)->protocol(), "/echo/1");
  EXPECT_EQ((*stream)->peer(), b->id());
}

TEST_F(HostTest, EchoesMessagesOfAllSizes) {
  const auto a = make_host();
  const auto b = make_host();
  serve_echo(b->host, "/echo/1");
  ASSERT_TRUE(dial(*a, b->full_address()));
  const auto stream = open(*a, b->id(), "/echo/1").value();
  for (const std::size_t size :
       {0u, 1u, 127u, 128u, 65518u, 65519u, 65520u, 262143u, 262144u, 262145u, 1u << 20}) {
    const auto sent = random_bytes(size, size);
    ASSERT_TRUE(stream->write_message(sent));
    const auto back = read(stream, 2u << 20, true);
    ASSERT_TRUE(back) << size << ": " << back.error().describe();
    EXPECT_EQ(*back, sent) << size;
  }
  stream->close_write();
  EXPECT_EQ(read(stream, 10, true).error().code, ErrorCode::closed);
}

TEST_F(HostTest, HalfCloseLetsTheOtherSideFinish) {
  const auto a = make_host();
  const auto b = make_host();
  std::string heard;
  b->host.handle("/half/1", [&](StreamPtr stream) {
    stream->read_message(100, [&, stream](Expected<std::vector<std::uint8_t>> message) {
      ASSERT_TRUE(message);
      stream->read_some(100,
                        [&, stream, first = *message](Expected<std::vector<std::uint8_t>> end) {
                          EXPECT_EQ(end.error().code, ErrorCode::closed);
                          heard = as_text(first);
                          EXPECT_TRUE(stream->write_message(as_bytes("after your end")));
                          stream->close_write();
                        });
    });
  });
  ASSERT_TRUE(dial(*a, b->full_address()));
  const auto stream = open(*a, b->id(), "/half/1").value();
  ASSERT_TRUE(stream->write_message(as_bytes("hello")));
  stream->close_write();
  EXPECT_EQ(stream->write(as_bytes("x")).error().code, ErrorCode::closed);
  const auto answer = read(stream, 100, true);
  ASSERT_TRUE(answer) << answer.error().describe();
  EXPECT_EQ(as_text(*answer), "after your end");
  EXPECT_EQ(heard, "hello");
  EXPECT_EQ(read(stream, 100, true).error().code, ErrorCode::closed);
}

TEST_F(HostTest, DroppingAfterCloseStillDelivers) {
  const auto a = make_host();
  const auto b = make_host();
  const auto bulk = random_bytes(700 * 1024, 5);
  std::vector<std::uint8_t> got;
  bool has_ended = false;
  b->host.handle("/once/1", [&](StreamPtr stream) {
    stream->read_message(1u << 20, [&, stream](Expected<std::vector<std::uint8_t>> message) {
      if (message) got = *message;
      has_ended = true;
    });
  });
  ASSERT_TRUE(dial(*a, b->full_address()));
  {
    const auto stream = open(*a, b->id(), "/once/1").value();
    ASSERT_TRUE(stream->write_message(bulk));
    stream->close_write();
  }
  ASSERT_TRUE(run_until([&] { return has_ended; }));
  EXPECT_EQ(got, bulk);
}

TEST_F(HostTest, DroppingAnOpenStreamResetsIt) {
  const auto a = make_host();
  const auto b = make_host();
  std::optional<Error> error;
  b->host.handle("/hold/1", [&](StreamPtr stream) {
    stream->read_some(
        10, [&, stream](Expected<std::vector<std::uint8_t>> bytes) { error = bytes.error(); });
  });
  ASSERT_TRUE(dial(*a, b->full_address()));
  ASSERT_TRUE(open(*a, b->id(), "/hold/1"));  // the pointer goes at once
  ASSERT_TRUE(run_until([&] { return error.has_value(); }));
  EXPECT_EQ(error->code, ErrorCode::closed);
  EXPECT_NE(error->what.find("reset"), std::string::npos);
}

TEST_F(HostTest, MessagesOverTheLimitAndCutOffOnesAreErrors) {
  const auto a = make_host();
  const auto b = make_host();
  std::vector<StreamPtr> held;
  b->host.handle("/hold/1", [&](StreamPtr stream) { held.push_back(std::move(stream)); });
  ASSERT_TRUE(dial(*a, b->full_address()));
  const auto stream = open(*a, b->id(), "/hold/1").value();
  ASSERT_TRUE(run_until([&] { return held.size() == 1; }));
  ASSERT_TRUE(stream->write_message(std::vector<std::uint8_t>(101)));
  EXPECT_EQ(read(held[0], 100, true).error().code, ErrorCode::too_large);

  const auto other = open(*a, b->id(), "/hold/1").value();
  ASSERT_TRUE(run_until([&] { return held.size() == 2; }));
  ASSERT_TRUE(other->write(std::vector<std::uint8_t>{9, 1, 2}));
  other->close_write();
  EXPECT_EQ(read(held[1], 100, true).error().code, ErrorCode::malformed);

  const auto third = open(*a, b->id(), "/hold/1").value();
  ASSERT_TRUE(run_until([&] { return held.size() == 3; }));
  ASSERT_TRUE(third->write(std::vector<std::uint8_t>(10, 0xff)));
  EXPECT_EQ(read(held[2], 100, true).error().code, ErrorCode::malformed);
}

TEST_F(HostTest, AReaderThatDoesNotReadStopsItsSenderAndNobodyElse) {
  const auto a = make_host();
  const auto b = make_host();
  std::vector<StreamPtr> held;
  b->host.handle("/hold/1", [&](StreamPtr stream) { held.push_back(std::move(stream)); });
  serve_echo(b->host, "/echo/1");
  ASSERT_TRUE(dial(*a, b->full_address()));
  const auto stuck = open(*a, b->id(), "/hold/1").value();
  ASSERT_TRUE(run_until([&] { return held.size() == 1; }));
  const auto bulk = random_bytes(1u << 20, 3);
  ASSERT_TRUE(stuck->write(bulk));

  // Others pass meanwhile, ping too.
  const auto stream = open(*a, b->id(), "/echo/1").value();
  ASSERT_TRUE(stream->write_message(as_bytes("beside")));
  EXPECT_EQ(as_text(read(stream, 100, true).value()), "beside");
  bool has_pong = false;
  a->host.ping(b->id(),
               [&](Expected<std::chrono::microseconds> time) { has_pong = time.has_value(); });
  ASSERT_TRUE(run_until([&] { return has_pong; }));
  run_for(std::chrono::milliseconds(100));

  // A window has come through, less what agreeing on the protocol took of it; the rest follows as
  // it is read.
  std::vector<std::uint8_t> got;
  bool first = true;
  while (got.size() < bulk.size()) {
    const auto part = read(held[0], 4u << 20, false);
    ASSERT_TRUE(part);
    if (first) {
      EXPECT_LE(part->size(), 256u * 1024);
      EXPECT_GT(part->size(), 255u * 1024);
    }
    first = false;
    got.insert(got.end(), part->begin(), part->end());
  }
  EXPECT_EQ(got, bulk);
}

TEST_F(HostTest, TheSendQueueIsBounded) {
  HostConfig config = quick_config();
  config.send_queue_bytes_max = 1u << 20;
  const auto a = make_host(config);
  const auto b = make_host();
  std::vector<StreamPtr> held;
  b->host.handle("/hold/1", [&](StreamPtr stream) { held.push_back(std::move(stream)); });
  ASSERT_TRUE(dial(*a, b->full_address()));
  const auto stream = open(*a, b->id(), "/hold/1").value();
  EXPECT_EQ(stream->write(std::vector<std::uint8_t>((1u << 20) + 1)).error().code,
            ErrorCode::too_large);
  const std::vector<std::uint8_t> part(100 * 1024);
  int accepted = 0;
  Expected<void> outcome;
  while (accepted < 1000 && (outcome = stream->write(part))) {
    ++accepted;
    run_for(std::chrono::milliseconds(1));
  }
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, ErrorCode::unavailable);
  EXPECT_LE(accepted, 13);  // the queue and one window
  EXPECT_GE(accepted, 10);
}

TEST_F(HostTest, ManyStreamsAtOnceAndTheLimitOnThem) {
  HostConfig config = quick_config();
  config.streams_per_connection_max = 100;
  const auto a = make_host();
  const auto b = make_host(config);
  std::vector<StreamPtr> held;
  b->host.handle("/hold/1", [&](StreamPtr stream) { held.push_back(std::move(stream)); });
  serve_echo(b->host, "/echo/1");
  ASSERT_TRUE(dial(*a, b->full_address()));
  ASSERT_TRUE(run_until([&] { return a->identified.size() == 1 && b->identified.size() == 1; }));
  std::vector<StreamPtr> open_streams;
  int refused = 0;
  for (int i = 0; i < 150; ++i) {
    a->host.open_stream(b->id(), "/hold/1", [&](Expected<StreamPtr> stream) {
      if (stream) {
        open_streams.push_back(*stream);
      } else {
        EXPECT_EQ(stream.error().code, ErrorCode::closed);
        ++refused;
      }
    });
  }
  ASSERT_TRUE(
      run_until([&] { return open_streams.size() + static_cast<std::size_t>(refused) == 150; }));
  EXPECT_EQ(open_streams.size(), 100u);
  EXPECT_EQ(refused, 50);
  open_streams.clear();
  held.clear();
  int answered = 0;
  for (std::size_t i = 0; i < 60; ++i) {
    a->host.open_stream(b->id(), "/echo/1", [&, i](Expected<StreamPtr> opened) {
      ASSERT_TRUE(opened) << opened.error().describe();
      const StreamPtr stream = *opened;
      const auto sent = random_bytes(1000 * i, i);
      ASSERT_TRUE(stream->write_message(sent));
      stream->close_write();
      stream->read_message(1u << 20, [&, stream, sent](Expected<std::vector<std::uint8_t>> back) {
        ASSERT_TRUE(back);
        EXPECT_EQ(*back, sent);
        ++answered;
      });
    });
  }
  ASSERT_TRUE(run_until([&] { return answered == 60; }));
}

TEST_F(HostTest, UnreadBytesOfAConnectionAreBounded) {
  HostConfig config = quick_config();
  config.unread_bytes_max = 600 * 1024;
  const auto a = make_host();
  const auto b = make_host(config);
  std::vector<StreamPtr> held;
  b->host.handle("/hold/1", [&](StreamPtr stream) { held.push_back(std::move(stream)); });
  ASSERT_TRUE(dial(*a, b->full_address()));
  std::vector<StreamPtr> streams;
  int resets = 0;
  for (int i = 0; i < 4; ++i) {
    streams.push_back(open(*a, b->id(), "/hold/1").value());
    ASSERT_TRUE(streams.back()->write(std::vector<std::uint8_t>(250 * 1024)));
    streams.back()->read_some(
        1, [&](Expected<std::vector<std::uint8_t>> bytes) { resets += bytes ? 0 : 1; });
  }
  ASSERT_TRUE(run_until([&] { return resets == 2; }));
  run_for(std::chrono::milliseconds(50));
  EXPECT_EQ(resets, 2);
  EXPECT_EQ(a->host.connections().size(), 1u) << "only streams are reset";
}

TEST_F(HostTest, CrossedDialsEndInOneConnection) {
  const auto a = make_host();
  const auto b = make_host();
  serve_echo(a->host, "/echo/1");
  serve_echo(b->host, "/echo/1");
  int dialled = 0;
  const auto count = [&](Expected<PeerId> peer) { dialled += peer ? 1 : 0; };
  a->host.dial(b->full_address(), count);
  b->host.dial(a->full_address(), count);
  ASSERT_TRUE(run_until([&] { return dialled == 2; }));
  // Streams work at once, whichever connection each side prefers so far.
  for (TestHost* from : {a.get(), b.get()}) {
    const auto stream = open(*from, from == a.get() ? b->id() : a->id(), "/echo/1");
    ASSERT_TRUE(stream) << stream.error().describe();
    ASSERT_TRUE((*stream)->write_message(as_bytes("crossed")));
    EXPECT_EQ(as_text(read(*stream, 100, true).value()), "crossed");
  }
  ASSERT_TRUE(run_until(
      [&] { return a->host.connections().size() == 1 && b->host.connections().size() == 1; }));
  const bool a_is_smaller = a->id() < b->id();
  EXPECT_EQ(a->host.connections()[0].is_outbound, a_is_smaller);
  EXPECT_EQ(b->host.connections()[0].is_outbound, !a_is_smaller);
  EXPECT_EQ(a->connected.size(), 1u);
  EXPECT_EQ(b->connected.size(), 1u);
  EXPECT_TRUE(a->disconnected.empty() && b->disconnected.empty());
}

TEST_F(HostTest, CallbacksMayStopTheHost) {
  const auto a = make_host();
  for (int which = 0; which < 4; ++which) {
    const auto b = make_host();
    std::string note = "kept through the call";
    bool has_stopped = false;
    const auto stop = [&, note] {
      b->host.stop();
      has_stopped = note == "kept through the call";
    };
    if (which == 0) b->host.on_connected([stop](const ConnectionInfo&) { stop(); });
    if (which == 1) b->host.on_identified([stop](const PeerId&, const PeerIdentity&) { stop(); });
    if (which == 2) b->host.handle("/stop/1", [stop](const StreamPtr&) { stop(); });
    if (which == 3) b->host.on_disconnected([stop](const PeerId&) { stop(); });
    ASSERT_TRUE(dial(*a, b->full_address()));
    if (which == 2) a->host.open_stream(b->id(), "/stop/1", [](const Expected<StreamPtr>&) {});
    if (which == 3) a->host.disconnect(b->id());
    ASSERT_TRUE(run_until([&] { return has_stopped; })) << which;
    ASSERT_TRUE(run_until([&] { return a->host.connections().empty(); })) << which;
  }
}

TEST_F(HostTest, StopEndsEverythingAndCallsNobody) {
  const auto a = make_host();
  auto b = make_host();
  std::vector<StreamPtr> held;
  b->host.handle("/hold/1", [&](StreamPtr stream) { held.push_back(std::move(stream)); });
  ASSERT_TRUE(dial(*a, b->full_address()));
  const auto stream = open(*a, b->id(), "/hold/1").value();
  ASSERT_TRUE(run_until([&] { return held.size() == 1 && b->identified.size() == 1; }));
  int late = 0;
  held[0]->read_some(1, [&](auto) { ++late; });
  b->host.dial(a->full_address(), [&](auto) { ++late; });
  b->host.ping(a->id(), [&](auto) { ++late; });
  b->host.on_disconnected([&](const PeerId&) { ++late; });
  b->host.stop();
  EXPECT_EQ(held[0]->write(as_bytes("x")).error().code, ErrorCode::closed);
  ASSERT_TRUE(run_until([&] { return a->disconnected.size() == 1; })) << "the peer learns at once";
  run_for(std::chrono::milliseconds(50));
  EXPECT_EQ(late, 0);
  b.reset();
  held.clear();
  EXPECT_EQ(stream->write(as_bytes("x")).error().code, ErrorCode::closed);
}

}  // namespace
}  // namespace corelay::libp2p
