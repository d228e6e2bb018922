// The HTTP API over real sockets: documents, errors, and clients that misbehave.
#include <gtest/gtest.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <nlohmann/json.hpp>

#include "codec/rng.h"
#include "control/node/api.h"
#include "tests/control/node_world.h"

namespace corelay::node {
namespace {

using boost::asio::ip::tcp;

// Sends bytes as they are and returns all that comes back until the server closes.
std::string talk(std::uint16_t port, const std::string& bytes, bool shut_down = true) {
  boost::asio::io_context io;
  tcp::socket socket(io);
  socket.connect({boost::asio::ip::make_address("127.0.0.1"), port});
  boost::system::error_code error;
  boost::asio::write(socket, boost::asio::buffer(bytes), error);
  if (shut_down) socket.shutdown(tcp::socket::shutdown_send, error);
  std::string answer;
  boost::asio::read(socket, boost::asio::dynamic_buffer(answer), error);
  return answer;
}

std::string request(std::uint16_t port, const std::string& method, const std::string& target) {
  return talk(port, method + " " + target + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
}

std::string body_of(const std::string& answer) { return answer.substr(answer.find("\r\n\r\n") + 4); }
int status_of(const std::string& answer) { return answer.size() < 12 ? 0 : std::stoi(answer.substr(9, 3)); }

TEST(Api, DocumentsOfARunningNode) {
  TestNode first(Settings{{"api.timeout_ms", "2000"}});
  TestNode second(Settings{{"node.bootstrap_peers", first.address()}});
  const auto listener = std::make_shared<Listener>();
  second->subscribe(listener, {"demo"});
  ASSERT_TRUE(has_sessions(first, 1));
  const std::uint16_t port = first->api_port();
  const auto document = [&](const std::string& path) {
    return nlohmann::json::parse(body_of(request(port, "GET", path)));
  };

  const auto health = document("/api/v1/health");
  EXPECT_EQ(health.size(), 5U);
  EXPECT_EQ(health["status"], "ok");
  EXPECT_EQ(health["mode"], "optimum");
  for (const char* key : {"cpu_used", "disk_used", "memory_used"}) {
    const auto text = health[key].get<std::string>();
    EXPECT_EQ(text.find('.'), text.size() - 3) << key << " " << text;
  }
  const auto state = document("/api/v1/node-state");
  EXPECT_EQ(state["pub_key"], first.identity().peer_id().text());
  EXPECT_EQ(state["peers"][0], second.identity().peer_id().text());
  EXPECT_EQ(state["addresses"][0].get<std::string>() + "/p2p/" + state["pub_key"].get<std::string>(), first.address());
  EXPECT_EQ(document("/api/v1/version").size(), 2U);
  EXPECT_TRUE(eventually([&] { return document("/api/v1/topics?topic=demo&nodeinfo=true")["count"] == 1; }));
  EXPECT_EQ(document("/api/v1/topics?topic=other")["count"], 0);
  EXPECT_EQ(document("/api/v1/peers")["peers"][0]["session"], true);
  EXPECT_EQ(document("/api/v1/config")["node"]["cluster_id"], "test");
  EXPECT_TRUE(first.publish("demo", {1, 2, 3}).outcome.has_value());
  const auto snapshot = document("/api/v1/p2p-snapshot");
  EXPECT_EQ(snapshot["total_peer_count"], 1);
  EXPECT_EQ(snapshot["seen_message_hashes"].size(), 1U);
  EXPECT_EQ(body_of(request(port, "GET", "/livez")), "ok\n");
  EXPECT_EQ(status_of(request(port, "GET", "/readyz")), 200);
  const std::string metrics = body_of(request(port, "GET", "/metrics"));
  EXPECT_NE(metrics.find("corelay_messages_published_total{lane=\"0\"} 1\n"), std::string::npos);
  EXPECT_NE(metrics.find("corelay_sessions 1\n"), std::string::npos);
  EXPECT_NE(metrics.find("optimum_mump2p_total_peers{cluster_id=\"test\",protocol_type=\"mump2p\"} 1\n"),
            std::string::npos);
}

TEST(Api, ErrorsAreJson) {
  TestNode node(Settings{{"api.timeout_ms", "300"}});
  const std::uint16_t port = node->api_port();
  const auto check = [](const std::string& answer, int status) {
    EXPECT_EQ(status_of(answer), status) << answer;
    EXPECT_FALSE(nlohmann::json::parse(body_of(answer))["error"].get<std::string>().empty());
  };
  check(request(port, "GET", "/nothing"), 404);
  check(request(port, "POST", "/api/v1/health"), 405);
  EXPECT_NE(request(port, "DELETE", "/metrics").find("Allow: GET, HEAD"), std::string::npos);
  check(request(port, "GET", "/%zz"), 400);
  check(request(port, "GET", "no-slash"), 400);
  check(talk(port, "not http at all\r\n\r\n"), 400);
  check(talk(port, "GET / HTTP/1.1\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n"), 431);
  check(talk(port, "POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n"), 413);
  EXPECT_EQ(status_of(request(port, "GET", "/readyz")), 503);
  const std::string head = request(port, "HEAD", "/api/v1/version");
  EXPECT_EQ(status_of(head), 200);
  EXPECT_EQ(body_of(head), "");
}

TEST(Api, IdleAndSurplusConnectionsAreClosed) {
  TestNode node(Settings{{"api.timeout_ms", "200"}, {"api.connections_max", "2"}});
  const std::uint16_t port = node->api_port();
  EXPECT_EQ(talk(port, "GET /livez HTT", false), "");  // never finishes its request: closed by the deadline
  boost::asio::io_context io;
  std::vector<tcp::socket> open;
  for (int i = 0; i < 3; ++i) {
    open.emplace_back(io);
    open.back().connect({boost::asio::ip::make_address("127.0.0.1"), port});
  }
  std::array<char, 1> byte{};
  boost::system::error_code error;
  open.back().read_some(boost::asio::buffer(byte), error);
  EXPECT_TRUE(error);
  open.clear();
  EXPECT_TRUE(eventually([&] { return request(port, "GET", "/livez").find("ok") != std::string::npos; }));
}

}  // namespace
}  // namespace corelay::node
