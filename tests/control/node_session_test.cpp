// Session keys against values computed by another implementation of HKDF, and exchanges over streams in memory.
#include "control/node/session.h"

#include <gtest/gtest.h>

#include <boost/asio/post.hpp>
#include <deque>
#include <numeric>

#include "proto/session.pb.h"

namespace corelay::node {
namespace {

template <std::size_t n>
std::string hex(const std::array<std::uint8_t, n>& bytes) {
  return to_hex(bytes);
}

TEST(Session, KeysAreThoseOfTheSpecification) {
  std::array<std::uint8_t, 32> shared{};
  std::iota(shared.begin(), shared.end(), std::uint8_t{0});
  const auto dialer = derive_session_keys(shared, as_bytes("dialer hello"), as_bytes("listener hello"), true, 7, 9);
  // Python's hmac and hashlib, RFC 5869 by hand.
  EXPECT_EQ(hex(dialer.send.key), "75de06a601b70db2fb80d9ccf3f0993a");
  EXPECT_EQ(hex(dialer.send.iv), "7f83f325f7d4d0615fe7c467");
  EXPECT_EQ(hex(dialer.receive.key), "93ff55c3ce6b64a5f39433f59689346f");
  EXPECT_EQ(hex(dialer.receive.iv), "1cbcf7c73debb957e50d4a05");
  EXPECT_EQ(dialer.send.key_id, 9U);
  EXPECT_EQ(dialer.receive.key_id, 7U);
  const auto listener = derive_session_keys(shared, as_bytes("dialer hello"), as_bytes("listener hello"), false, 9, 7);
  EXPECT_EQ(listener.send.key, dialer.receive.key);
  EXPECT_EQ(listener.receive.iv, dialer.send.iv);
}

TEST(Session, MeshHashCoversClusterLanesAndPathMtu) {
  EXPECT_EQ(hex(mesh_hash({}, 1400, "demo")), "62225c833a12cbd083fb283bbeda32f453b6a453d809218460a3d33a57454bcb");
  EXPECT_NE(mesh_hash({}, 1400, "demo"), mesh_hash({}, 1400, "demo2"));
  EXPECT_NE(mesh_hash({}, 1400, "demo"), mesh_hash({}, 1200, "demo"));
  dataplane::WireParams lanes;
  lanes.lanes = 2;
  EXPECT_NE(mesh_hash({}, 1400, "demo"), mesh_hash(lanes, 1400, "demo"));
  dataplane::WireParams bytes;
  bytes.message_bytes_max = 1;
  EXPECT_EQ(mesh_hash({}, 1400, "demo"), mesh_hash(bytes, 1400, "demo"));
}

TEST(Session, EndpointsOfAddresses) {
  EXPECT_EQ(hex(endpoint_of("10.1.2.3")->address), "00000000000000000000ffff0a010203");
  EXPECT_EQ(hex(endpoint_of("::1")->address), "00000000000000000000000000000001");
  EXPECT_FALSE(endpoint_of("relay.example").has_value());
  EXPECT_FALSE(endpoint_of("").has_value());
}

// One end of a stream in memory. What is written waits at the other end; callbacks run from the io_context.
class MemoryStream final : public libp2p::Stream {
 public:
  explicit MemoryStream(boost::asio::io_context& io) : io_(io) {}
  static std::pair<std::shared_ptr<MemoryStream>, std::shared_ptr<MemoryStream>> pair(boost::asio::io_context& io) {
    auto a = std::make_shared<MemoryStream>(io);
    auto b = std::make_shared<MemoryStream>(io);
    a->other_ = b;
    b->other_ = a;
    return {a, b};
  }

  void read_message(std::size_t bytes_max, std::function<void(Expected<std::vector<std::uint8_t>>)> done) override {
    bytes_max_ = bytes_max;
    reader_ = std::move(done);
    deliver();
  }
  void read_some(std::size_t, std::function<void(Expected<std::vector<std::uint8_t>>)>) override { FAIL(); }
  Expected<void> write_message(Bytes message) override {
    if (is_closed_) return fail(ErrorCode::closed, "stream", "closed");
    if (const auto other = other_.lock()) {
      other->arrived_.emplace_back(message.begin(), message.end());
      other->deliver();
    }
    return {};
  }
  Expected<void> write(Bytes) override { return fail(ErrorCode::internal, "stream", "not used"); }
  void close_write() override { end(); }
  void reset() override { end(); }
  const libp2p::PeerId& peer() const noexcept override { return peer_; }
  const std::string& protocol() const noexcept override { return protocol_; }

 private:
  void end() {
    is_closed_ = true;
    if (const auto other = other_.lock()) {
      other->is_ended_ = true;
      other->deliver();
    }
  }
  void deliver() {
    if (!reader_ || (arrived_.empty() && !is_ended_)) return;
    auto reader = std::move(reader_);
    reader_ = nullptr;
    if (arrived_.empty()) {
      boost::asio::post(io_, [reader] { reader(fail(ErrorCode::closed, "stream", "ended")); });
      return;
    }
    auto message = std::move(arrived_.front());
    arrived_.pop_front();
    if (message.size() > bytes_max_) {
      boost::asio::post(io_, [reader] { reader(fail(ErrorCode::too_large, "stream", "too large")); });
      return;
    }
    boost::asio::post(io_, [reader, message] { reader(message); });
  }

  boost::asio::io_context& io_;
  std::weak_ptr<MemoryStream> other_;
  std::deque<std::vector<std::uint8_t>> arrived_;
  std::function<void(Expected<std::vector<std::uint8_t>>)> reader_;
  std::size_t bytes_max_ = 0;
  bool is_closed_ = false;
  bool is_ended_ = false;
  libp2p::PeerId peer_;
  std::string protocol_;
};

SessionTerms terms_of(std::string cluster, std::uint16_t port, std::uint16_t mtu = 1400) {
  SessionTerms terms;
  terms.cluster_id = std::move(cluster);
  terms.udp_port = port;
  terms.path_mtu_bytes = mtu;
  terms.timeout = std::chrono::milliseconds(200);
  return terms;
}

struct Outcome {
  std::optional<Expected<AgreedSession>> dialer;
  std::optional<Expected<AgreedSession>> listener;
};

Outcome exchange(SessionTerms dialer_terms, SessionTerms listener_terms, std::uint32_t replaces = 0) {
  boost::asio::io_context io;
  auto [a, b] = MemoryStream::pair(io);
  Outcome outcome;
  const auto dialer = std::make_shared<SessionExchange>(io, a, true, std::move(dialer_terms), 1, replaces);
  const auto listener = std::make_shared<SessionExchange>(io, b, false, std::move(listener_terms), 2, 0);
  listener->start([&](Expected<AgreedSession> agreed) { outcome.listener = std::move(agreed); });
  dialer->start([&](Expected<AgreedSession> agreed) { outcome.dialer = std::move(agreed); });
  io.run();
  return outcome;
}

TEST(Session, BothEndsAgree) {
  const Outcome outcome = exchange(terms_of("demo", 7071), terms_of("demo", 7072), 2);
  ASSERT_TRUE(outcome.dialer->has_value());
  ASSERT_TRUE(outcome.listener->has_value());
  const AgreedSession& dialer = **outcome.dialer;
  const AgreedSession& listener = **outcome.listener;
  EXPECT_EQ(dialer.keys.send.key, listener.keys.receive.key);
  EXPECT_EQ(dialer.keys.receive.iv, listener.keys.send.iv);
  EXPECT_EQ(dialer.keys.send.key_id, 2U);
  EXPECT_EQ(listener.keys.send.key_id, 1U);
  EXPECT_EQ(dialer.udp_port, 7072);
  EXPECT_EQ(listener.udp_port, 7071);
  EXPECT_EQ(listener.replaces_key_id, 2U);
  const Outcome again = exchange(terms_of("demo", 1), terms_of("demo", 2));
  EXPECT_NE((**again.dialer).keys.send.key, dialer.keys.send.key);
}

TEST(Session, ADifferentClusterIsNamedOnBothEnds) {
  const Outcome outcome = exchange(terms_of("red", 7071), terms_of("blue", 7072));
  ASSERT_FALSE(outcome.dialer->has_value());
  ASSERT_FALSE(outcome.listener->has_value());
  EXPECT_EQ(outcome.dialer->error().code, ErrorCode::permission_denied);
  EXPECT_NE(outcome.dialer->error().what.find("\"blue\""), std::string::npos);
  EXPECT_NE(outcome.listener->error().what.find("\"red\""), std::string::npos);
}

TEST(Session, DifferentLanesAndPathMtusAreRefusedWithSettingAndBothValues) {
  auto lanes = terms_of("demo", 7071);
  lanes.wire.lanes = 2;
  const Outcome by_lanes = exchange(lanes, terms_of("demo", 7072));
  const Outcome by_mtu = exchange(terms_of("demo", 7071, 1200), terms_of("demo", 7072));
  const auto expect_named = [](const Expected<AgreedSession>& end, const std::string& theirs, const std::string& ours) {
    ASSERT_FALSE(end.has_value());
    EXPECT_EQ(end.error().code, ErrorCode::permission_denied);
    EXPECT_NE(end.error().what.find("the peer has " + theirs + ", we have " + ours), std::string::npos)
        << end.error().what;
  };
  expect_named(*by_lanes.dialer, "dataplane.lanes = 1", "dataplane.lanes = 2");
  expect_named(*by_lanes.listener, "dataplane.lanes = 2", "dataplane.lanes = 1");
  expect_named(*by_mtu.dialer, "relay.path_mtu_bytes = 1400", "relay.path_mtu_bytes = 1200");
  expect_named(*by_mtu.listener, "relay.path_mtu_bytes = 1200", "relay.path_mtu_bytes = 1400");
}

// What a listener says to a hello that some other program wrote.
Expected<AgreedSession> answer_to(const std::function<void(session::SessionHello&)>& change, bool confirm = true) {
  boost::asio::io_context io;
  auto [a, b] = MemoryStream::pair(io);
  std::optional<Expected<AgreedSession>> outcome;
  const auto listener = std::make_shared<SessionExchange>(io, b, false, terms_of("demo", 7072), 2, 0);
  listener->start([&](Expected<AgreedSession> agreed) { outcome = std::move(agreed); });
  session::SessionHello hello;
  const auto hash = mesh_hash({}, 1400, "demo");
  hello.set_wire_version(1);
  hello.set_ephemeral_key(std::string(32, '\x09'));
  hello.set_key_id(1);
  hello.set_udp_port(7071);
  hello.set_path_mtu_bytes(1400);
  hello.set_mesh_hash(hash.data(), hash.size());
  hello.set_cluster_id("demo");
  hello.set_lanes(1);
  change(hello);
  const std::string bytes = hello.SerializeAsString();
  EXPECT_TRUE(a->write_message(as_bytes(bytes)).has_value());
  if (confirm) {
    EXPECT_TRUE(a->write_message({}).has_value());
  }
  io.run();
  return *outcome;
}

TEST(Session, HostileHellosAreRefused) {
  EXPECT_TRUE(answer_to([](auto&) {}).has_value());
  const auto refused = [](const auto& change) { return answer_to(change).error().code; };
  EXPECT_EQ(refused([](auto& hello) { hello.set_wire_version(2); }), ErrorCode::permission_denied);
  EXPECT_EQ(refused([](auto& hello) { hello.set_mesh_hash("short"); }), ErrorCode::permission_denied);
  EXPECT_EQ(refused([](auto& hello) { hello.set_ephemeral_key("short"); }), ErrorCode::malformed);
  EXPECT_EQ(refused([](auto& hello) { hello.set_ephemeral_key(std::string(32, '\0')); }), ErrorCode::malformed);
  EXPECT_EQ(refused([](auto& hello) { hello.set_key_id(0); }), ErrorCode::malformed);
  EXPECT_EQ(refused([](auto& hello) { hello.set_udp_port(0); }), ErrorCode::malformed);
  EXPECT_EQ(refused([](auto& hello) { hello.set_udp_port(65536); }), ErrorCode::malformed);
  EXPECT_EQ(refused([](auto& hello) { hello.set_path_mtu_bytes(100); }), ErrorCode::permission_denied);
  EXPECT_EQ(refused([](auto& hello) { hello.set_lanes(0); }), ErrorCode::permission_denied);
  EXPECT_EQ(refused([](auto& hello) { hello.set_cluster_id(std::string(5000, 'x')); }), ErrorCode::too_large);
}

TEST(Session, WithoutTheThirdMessageNothingIsAgreed) {
  const auto outcome = answer_to([](auto&) {}, false);
  ASSERT_FALSE(outcome.has_value());
  EXPECT_EQ(outcome.error().code, ErrorCode::timed_out);
}

}  // namespace
}  // namespace corelay::node
