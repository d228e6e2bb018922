// Any bytes as a peer's half of a session exchange, on either side: never a crash, and a session only with keys that
// differ by direction.
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <cstddef>
#include <cstdint>
#include <deque>

#include "codec/check.h"
#include "control/node/session.h"

namespace {

using namespace corelay;
using Read = std::function<void(Expected<std::vector<std::uint8_t>>)>;

// Gives the input, then what a good peer would say next, then the end.
class OneMessage final : public libp2p::Stream {
 public:
  OneMessage(boost::asio::io_context& io, Bytes message) : io_(io) {
    messages_.emplace_back(message.begin(), message.end());
    messages_.emplace_back();
  }
  void read_message(std::size_t bytes_max, Read done) override {
    Expected<std::vector<std::uint8_t>> result = fail(ErrorCode::closed, "stream", "ended");
    if (!messages_.empty()) {
      result = std::move(messages_.front());
      messages_.pop_front();
      if (result->size() > bytes_max) result = fail(ErrorCode::too_large, "stream", "too large");
    }
    boost::asio::post(io_, [done, result] { done(result); });
  }
  void read_some(std::size_t, Read) override {}
  Expected<void> write_message(Bytes) override { return {}; }
  Expected<void> write(Bytes) override { return {}; }
  void close_write() override {}
  void reset() override {}
  const libp2p::PeerId& peer() const noexcept override { return peer_; }
  const std::string& protocol() const noexcept override { return protocol_; }

 private:
  boost::asio::io_context& io_;
  std::deque<std::vector<std::uint8_t>> messages_;
  libp2p::PeerId peer_;
  std::string protocol_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  for (const bool is_dialer : {false, true}) {
    boost::asio::io_context io;
    node::SessionTerms terms;
    terms.cluster_id = "demo";
    terms.udp_port = 7070;
    int outcomes = 0;
    const auto exchange = std::make_shared<node::SessionExchange>(
        io, std::make_shared<OneMessage>(io, Bytes(data, size)), is_dialer, terms, 1, 0);
    exchange->start([&](const Expected<node::AgreedSession>& agreed) {
      ++outcomes;
      if (agreed) CHECK(agreed->keys.send.key != agreed->keys.receive.key && agreed->udp_port != 0);
    });
    io.run();
    CHECK(outcomes == 1);
  }
  return 0;
}
