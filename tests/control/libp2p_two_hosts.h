// Hosts in one process over loopback, driven by one io_context, with a wait that fails instead of
// hanging.
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/libp2p/host.h"

namespace corelay::libp2p {

// Sanitizers slow handshakes down; tests of the timeouts themselves set their own.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
inline constexpr int slowdown = 5;
#else
inline constexpr int slowdown = 1;
#endif

inline HostConfig quick_config() {
  HostConfig config;
  config.dial_timeout = slowdown * std::chrono::milliseconds(3000);
  config.negotiate_timeout = slowdown * std::chrono::milliseconds(3000);
  return config;
}

/// One host and what its callbacks saw.
struct TestHost {
  TestHost(boost::asio::io_context& io, const HostConfig& config)
      : host(io, Identity::generate(), config) {
    address = host.listen(Multiaddr::parse("/ip4/127.0.0.1/tcp/0").value()).value();
    host.on_connected([this](const ConnectionInfo& info) { connected.push_back(info); });
    host.on_disconnected([this](const PeerId& peer) { disconnected.push_back(peer); });
    host.on_identified(
        [this](const PeerId&, const PeerIdentity& identity) { identified.push_back(identity); });
  }
  [[nodiscard]] const PeerId& id() const { return host.peer_id(); }
  [[nodiscard]] Multiaddr full_address() const { return address.with_peer(host.peer_id()); }

  std::vector<ConnectionInfo> connected;
  std::vector<PeerId> disconnected;
  std::vector<PeerIdentity> identified;
  Multiaddr address;
  Host host;  // last: its callbacks use the rest
};

class HostTest : public ::testing::Test {
 protected:
  /// Runs the loop until `is_done` or the limit.
  [[nodiscard]] bool run_until(const std::function<bool()>& is_done,
                               std::chrono::seconds limit = slowdown * std::chrono::seconds(20)) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!is_done()) {
      if (std::chrono::steady_clock::now() > end) return false;
      io.restart();
      io.run_one_for(std::chrono::milliseconds(20));
    }
    return true;
  }
  void run_for(std::chrono::milliseconds time) {
    io.restart();
    io.run_for(time);
  }

  std::unique_ptr<TestHost> make_host(const HostConfig& config = quick_config()) {
    return std::make_unique<TestHost>(io, config);
  }

  Expected<PeerId> dial(TestHost& from, const Multiaddr& to) {
    std::optional<Expected<PeerId>> outcome;
    from.host.dial(to, [&](Expected<PeerId> peer) { outcome = std::move(peer); });
    EXPECT_FALSE(outcome) << "called back inside dial";
    EXPECT_TRUE(run_until([&] { return outcome.has_value(); }));
    return outcome.value_or(Expected<PeerId>(fail(ErrorCode::internal, "test", "no answer")));
  }

  Expected<StreamPtr> open(TestHost& from, const PeerId& peer, std::string_view protocol) {
    std::optional<Expected<StreamPtr>> outcome;
    from.host.open_stream(peer, protocol,
                          [&](Expected<StreamPtr> stream) { outcome = std::move(stream); });
    EXPECT_FALSE(outcome) << "called back inside open_stream";
    EXPECT_TRUE(run_until([&] { return outcome.has_value(); }));
    return outcome.value_or(Expected<StreamPtr>(fail(ErrorCode::internal, "test", "no answer")));
  }

  Expected<std::vector<std::uint8_t>> read(const StreamPtr& stream, std::size_t bytes_max,
                                           bool is_message) {
    std::optional<Expected<std::vector<std::uint8_t>>> outcome;
    const auto done = [&](Expected<std::vector<std::uint8_t>> bytes) {
      outcome = std::move(bytes);
    };
    if (is_message) {
      stream->read_message(bytes_max, done);
    } else {
      stream->read_some(bytes_max, done);
    }
    EXPECT_TRUE(run_until([&] { return outcome.has_value(); }));
    return outcome.value_or(
        Expected<std::vector<std::uint8_t>>(fail(ErrorCode::internal, "test", "no answer")));
  }

  boost::asio::io_context io;
};

/// Serves `protocol`: answers each message with itself, then closes as the peer does.
inline void serve_echo(Host& host, const std::string& protocol, std::size_t bytes_max = 2u << 20) {
  host.handle(protocol, [bytes_max](StreamPtr stream) {
    const auto step = std::make_shared<std::function<void()>>();
    *step = [stream, bytes_max, weak = std::weak_ptr<std::function<void()>>(step)] {
      stream->read_message(
          bytes_max, [stream, step = weak.lock()](Expected<std::vector<std::uint8_t>> message) {
            if (!message) return stream->close_write();
            EXPECT_TRUE(stream->write_message(*message));
            (*step)();
          });
    };
    (*step)();
  });
}

}  // namespace corelay::libp2p
