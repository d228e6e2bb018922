// One libp2p host for the interop test: commands as lines on stdin, what happens as JSON lines on
// stdout.
//   interop_peer [--late-muxer]
// Commands: dial MULTIADDR | ping PEER | echo PEER BYTES | disconnect PEER | quit
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <cstdio>
#include <istream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "codec/rng.h"
#include "control/libp2p/host.h"

namespace corelay::libp2p {
namespace {

using nlohmann::json;

constexpr const char* echo_protocol = "/corelay/interop/echo/1";
constexpr std::size_t message_bytes_max = 16u << 20;

void print(const json& event) {
  std::puts(event.dump().c_str());
  std::fflush(stdout);
}

void print_error(const char* command, const Error& error) {
  print({{"event", "error"},
         {"command", command},
         {"code", static_cast<int>(error.code)},
         {"what", error.describe()}});
}

/// Answers each message with itself.
void echo_back(const StreamPtr& stream) {
  stream->read_message(message_bytes_max, [stream](Expected<std::vector<std::uint8_t>> message) {
    if (!message) return stream->close_write();
    if (!stream->write_message(*message)) return stream->reset();
    echo_back(stream);
  });
}

class Peer {
 public:
  explicit Peer(const HostConfig& config)
      : host_(io_, Identity::generate(), config), input_(io_, ::dup(STDIN_FILENO)) {}

  int run() {
    host_.handle(echo_protocol, echo_back);
    host_.on_connected([](const ConnectionInfo& info) {
      print({{"event", "connected"},
             {"peer", info.peer.text()},
             {"remote", info.remote.text()},
             {"is_outbound", info.is_outbound}});
    });
    host_.on_disconnected([](const PeerId& peer) {
      print({{"event", "disconnected"}, {"peer", peer.text()}});
    });
    host_.on_identified([](const PeerId& peer, const PeerIdentity& identity) {
      json addresses = json::array();
      for (const Multiaddr& address : identity.listen_addresses)
        addresses.push_back(address.text());
      print({{"event", "identified"},
             {"peer", peer.text()},
             {"agent", identity.agent_version},
             {"protocols", identity.protocols},
             {"addresses", addresses}});
    });
    const auto address = host_.listen(Multiaddr::parse("/ip4/127.0.0.1/tcp/0").value());
    if (!address) {
      print_error("listen", address.error());
      return 1;
    }
    print({{"event", "listening"},
           {"peer", host_.peer_id().text()},
           {"address", address->with_peer(host_.peer_id()).text()}});
    read_line();
    io_.run();
    return 0;
  }

 private:
  void read_line() {
    boost::asio::async_read_until(input_, lines_, '\n',
                                  [this](const boost::system::error_code& error, std::size_t) {
                                    std::string line;
                                    std::istream stream(&lines_);
                                    std::getline(stream, line);
                                    if (error || line == "quit") {
                                      host_.stop();
                                      return io_.stop();
                                    }
                                    command(line);
                                    read_line();
                                  });
  }

  void command(const std::string& line) {
    std::istringstream words(line);
    std::string verb;
    std::string target;
    words >> verb >> target;
    if (verb == "dial") return dial(target);
    const auto peer = PeerId::parse(target);
    if (!peer) return print_error(verb.c_str(), peer.error());
    std::size_t bytes = 0;
    if (verb == "ping") ping(*peer);
    if (verb == "echo" && words >> bytes) echo(*peer, bytes);
    if (verb == "disconnect") host_.disconnect(*peer);
  }

  void dial(const std::string& target) {
    const auto address = Multiaddr::parse(target);
    if (!address) return print_error("dial", address.error());
    host_.dial(*address, [](Expected<PeerId> peer) {
      if (!peer) return print_error("dial", peer.error());
      print({{"event", "dialled"}, {"peer", peer->text()}});
    });
  }

  void ping(const PeerId& peer) {
    host_.ping(peer, [](Expected<std::chrono::microseconds> time) {
      if (!time) return print_error("ping", time.error());
      print({{"event", "pinged"}, {"us", time->count()}});
    });
  }

  void echo(const PeerId& peer, std::size_t bytes) {
    host_.open_stream(peer, echo_protocol, [bytes](Expected<StreamPtr> opened) {
      if (!opened) return print_error("echo", opened.error());
      const StreamPtr stream = *opened;
      Rng rng(bytes);
      std::vector<std::uint8_t> sent(bytes);
      for (auto& byte : sent) byte = static_cast<std::uint8_t>(rng.next());
      if (const auto written = stream->write_message(sent); !written)
        return print_error("echo", written.error());
      stream->close_write();
      stream->read_message(
          message_bytes_max, [stream, sent](Expected<std::vector<std::uint8_t>> back) {
            if (!back) return print_error("echo", back.error());
            print({{"event", "echoed"}, {"bytes", back->size()}, {"is_equal", *back == sent}});
          });
    });
  }

  boost::asio::io_context io_;
  Host host_;
  boost::asio::posix::stream_descriptor input_;
  boost::asio::streambuf lines_;
};

}  // namespace
}  // namespace corelay::libp2p

int main(int argc, char** argv) {
  corelay::libp2p::HostConfig config;
  config.agent_version = "corelay/interop";
  config.offers_early_muxer = argc < 2 || std::string_view(argv[1]) != "--late-muxer";
  return corelay::libp2p::Peer(config).run();
}
