// What the command line reads of gateways, issuers, token files and people, on bytes alone.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>

#include "tools/corelay/gateway_client.h"
#include "tools/corelay/completion.h"
#include "tools/corelay/digest.h"
#include "tools/corelay/gateway_frame.h"
#include "tools/corelay/load_payload.h"
#include "tools/corelay/message_sink.h"
#include "tools/corelay/metrics_page.h"
#include "tools/corelay/oauth_reply.h"
#include "tools/corelay/subscribe_gateway.h"
#include "tools/corelay/token_file.h"
#include "tools/corelay/url.h"
#include "tools/corelay/webhook_template.h"

namespace corelay::tools {
namespace {

using Json = nlohmann::json;

TEST(Url, PartsAndDefaults) {
  const auto plain = parse_url("http://localhost:8081");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->origin(), "http://localhost:8081");
  EXPECT_EQ(plain->target, "/");
  const auto whole = parse_url("https://[::1]/a/b?x=1#part");
  ASSERT_TRUE(whole);
  EXPECT_TRUE(whole->is_tls);
  EXPECT_EQ(whole->host, "::1");
  EXPECT_EQ(whole->authority(), "[::1]:443");
  EXPECT_EQ(whole->target, "/a/b?x=1");
  EXPECT_EQ(parse_url("example.org?x")->target, "/?x");
  EXPECT_EQ(parse_url("localhost:9091")->port, "9091");
}

TEST(Url, WhatIsWrongIsSaid) {
  for (const auto& [text, why] : {std::pair{"ftp://x", "http:// or https://"},
                                  {"http://", "no host"},
                                  {"http://x:0", "port"},
                                  {"http://x:65536", "port"},
                                  {"http://x:", "port"},
                                  {"http://[::1", "']'"},
                                  {"http://[::1]x", "port"},
                                  {"http://u@x", "user name"},
                                  {"http://x/ y", "space"},
                                  {"http://[x]", "brackets"},
                                  {"http://a\"b", "character"},
                                  {"", "no host"}}) {
    const auto url = parse_url(text);
    ASSERT_FALSE(url) << text;
    EXPECT_NE(url.error().what.find(why), std::string::npos) << url.error().what;
  }
  EXPECT_EQ(url_encoded("a/b c~é"), "a%2Fb%20c~%C3%A9");
}

TEST(Tokens, RoundTrip) {
  Tokens tokens{"abc.def.ghi", "r\"1\\", 1795282200, "https://issuer/", "app", "gateway"};
  const auto back = parse_tokens(format_tokens(tokens));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->token, tokens.token);
  EXPECT_EQ(back->refresh_token, tokens.refresh_token);
  EXPECT_EQ(back->expires_at, tokens.expires_at);
  EXPECT_EQ(back->issuer, tokens.issuer);
  EXPECT_EQ(back->app, tokens.app);
  EXPECT_EQ(back->audience, tokens.audience);
}

TEST(Tokens, OtherHandsWriteThemToo) {
  const auto tokens = parse_tokens("---\n# mine\n  token: 'it''s.a.token'  \r\nrefresh_token: abc # note\nother: 1\n");
  ASSERT_TRUE(tokens);
  EXPECT_EQ(tokens->token, "it's.a.token");
  EXPECT_EQ(tokens->refresh_token, "abc");
  for (const auto& [text, why] : {std::pair{"token: \"a", "line 1: a quote"},
                                  {"\ntoken", "line 2: 'key: value'"},
                                  {"issuer: x", "no token"},
                                  {"token: a\nexpires_at: soon", "line 2: expires_at"},
                                  {"token: \"a\\nb\"", "character"}}) {
    const auto wrong = parse_tokens(text);
    ASSERT_FALSE(wrong) << text;
    EXPECT_NE(wrong.error().what.find(why), std::string::npos) << wrong.error().what;
  }
}

TEST(Tokens, Times) {
  EXPECT_EQ(parse_time("1970-01-01T00:00:00Z"), 0);
  EXPECT_EQ(parse_time("2026-11-21T17:30:00Z"), 1795282200);
  EXPECT_EQ(parse_time("2026-11-21T23:00:00.123456+05:30"), 1795282200);
  EXPECT_EQ(parse_time("2026-11-21T16:30:00-01:00"), 1795282200);
  EXPECT_EQ(format_time(1795282200), "2026-11-21T17:30:00Z");
  for (const char* wrong : {"", "2026", "2026-02-29T00:00:00Z", "2026-11-21T17:30:00", "2026-11-21T24:30:00Z",
                            "2026-11-21T17:30:00.Z", "2026-11-21T17:30:00Zx", "2026-11-21T17:30:00+5:30"})
    EXPECT_FALSE(parse_time(wrong)) << wrong;
}

std::string token_of(const std::string& claims) { return "h." + base64(claims) + ".s"; }

TEST(Claims, LimitsAsNumbersAndWords) {
  const auto claims = parse_claims(token_of(
      R"({"sub":"auth0|1","is_active":"true","max_publish_per_hour":1000,)"
      R"("daily_quota":"5368709120","exp":1795282200})"));
  ASSERT_TRUE(claims);
  EXPECT_EQ(claims->client_id, "auth0|1");
  EXPECT_TRUE(claims->is_active);
  EXPECT_EQ(claims->publishes_per_hour, 1000u);
  EXPECT_EQ(claims->bytes_per_day, 5368709120u);
  EXPECT_EQ(claims->expires_at, 1795282200);
  EXPECT_FALSE(parse_claims(token_of(R"({"is_active":false})"))->is_active);
  EXPECT_EQ(parse_claims(token_of(R"({"client_id":"c","sub":"s"})"))->client_id, "c");
  for (const char* wrong : {"", "a.b", "a.b.c", "h.W10=.s"}) EXPECT_FALSE(parse_claims(wrong)) << wrong;
}

TEST(Webhook, FieldsAreEscaped) {
  const auto schema = WebhookTemplate::parse(R"({"a":"<{{.Message}}>","b":["{{ .Topic }}{{.MessageID}}"]})");
  ASSERT_TRUE(schema);
  const Json body = Json::parse(schema->fill({"\"}\n\\\xff", "", "t", "", "i"}));
  EXPECT_EQ(body["a"], "<\"}\n\\\xef\xbf\xbd>");
  EXPECT_EQ(body["b"][0], "ti");
  EXPECT_EQ(WebhookTemplate::parse("{}")->fill({}), "{}");
}

TEST(Webhook, OnlyTemplatesThatAlwaysGiveJson) {
  for (const char* wrong : {"", "{{.Message}}", R"({"a":{{.Message}}})", R"({"a":"{{.Message}"})",
                            R"({"a":"{{Message}}"})", R"({"a":"{{.message}}"})", R"({"a":"\{{.Timestamp}}"})",
                            R"({"a":"\u000{{.ClientID}}"})", R"({"a":"{{.Topic}}")"})
    EXPECT_FALSE(WebhookTemplate::parse(wrong)) << wrong;
}

TEST(Webhook, ContentTypes) {
  EXPECT_EQ(content_type_of("{}"), "application/json");
  EXPECT_EQ(content_type_of("hello"), "text/plain; charset=utf-8");
  EXPECT_EQ(content_type_of(std::string_view("\0\1", 2)), "application/octet-stream");
}

TEST(GatewayFrames, MessagesAndNotices) {
  const auto frame =
      parse_gateway_frame(R"({"type":"message","topic":"t","message":"aGk=","message_id":"ab","offset":"e1-7"})");
  ASSERT_TRUE(frame);
  const auto& message = std::get<GatewayMessage>(*frame);
  EXPECT_EQ(message.message.payload, "hi");
  EXPECT_EQ(message.offset, "e1-7");
  EXPECT_EQ(std::get<GatewayMessage>(*parse_gateway_frame(R"({"Topic":"t","Message":"aGk="})")).message.topic, "t");
  const auto lagged = parse_gateway_frame(R"({"type":"lagged","topic":"t","count":5,"offset":"a&b=c"})");
  EXPECT_EQ(std::get<GatewayLagged>(*lagged).count, 5u);
  EXPECT_EQ(std::get<GatewayLagged>(*lagged).offset, "");  // no gateway gives such a one
  EXPECT_EQ(std::get<GatewayNotice>(*parse_gateway_frame(R"({"type":"error","error":"no"})")).text, "no");
  EXPECT_FALSE(parse_gateway_frame("[]"));
  EXPECT_FALSE(parse_gateway_frame(R"({"type":"message","message":"!"})"));
}

TEST(GatewayFrames, ErrorsInOneLine) {
  EXPECT_EQ(error_text("{\"error\":\"missing topic\"}\n"), "missing topic");
  EXPECT_EQ(error_text("topic not assigned\n"), "topic not assigned");
  EXPECT_EQ(error_text(R"({"error":"x","error_description":"why"})"), "why");
  EXPECT_EQ(error_text("<html>\n<b>"), "<html> <b>");
  EXPECT_EQ(error_text("a\x1b[31m"), "(bytes that are no text)");
  EXPECT_LT(error_text(std::string(100'000, 'x')).size(), 310u);
}

TEST(IssuerReplies, Discovery) {
  const auto found =
      parse_discovery(R"({"device_authorization_endpoint":"https://i/d","token_endpoint":"https://i/t"})");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->device, "https://i/d");
  EXPECT_EQ(found->revoke, "");
  EXPECT_FALSE(parse_discovery(R"({"token_endpoint":"https://i/t"})"));
  EXPECT_FALSE(parse_discovery("<html>"));
}

TEST(IssuerReplies, NothingFromOutsideReachesTheTerminalRaw) {
  const char* const grant = R"({"device_code":"d","user_code":"A\u001b[2J","verification_uri":"https://i/"})";
  EXPECT_FALSE(parse_device_grant(grant));
  const auto good = parse_device_grant(
      R"({"device_code":"d","user_code":"A","verification_uri":"https://i/","expires_in":1e300,"interval":0})");
  ASSERT_TRUE(good);
  EXPECT_EQ(good->interval_s, 1);
  EXPECT_GT(good->expires_in_s, 0);
}

TEST(IssuerReplies, TokensOrTheReason) {
  EXPECT_EQ(parse_token_reply(R"({"error":"slow_down"})")->error, "slow_down");
  const auto reply = parse_token_reply(R"({"access_token":"a","refresh_token":"r","expires_in":3600})");
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->access_token, "a");
  EXPECT_EQ(reply->expires_in_s, 3600);
  EXPECT_FALSE(parse_token_reply("{}"));
}

TEST(Metrics, TotalsAndLanes) {
  const auto page = MetricsPage::parse(
      "# HELP a x\na{lane=\"0\"} 1\na{lane=\"1\"} 2.5\nb 3\nbad\nc{x=\"}\"} 4\nd NaN\ndrop_x{lane=\"0\"} 1e3\n");
  EXPECT_EQ(page.total("a"), 3.5);
  EXPECT_EQ(page.of_lane("a", 1), 2.5);
  EXPECT_EQ(page.of_lane("a", 2), 0);
  EXPECT_EQ(page.lanes(), 2u);
  EXPECT_EQ(page.total("c"), 4);
  EXPECT_FALSE(page.has("d"));
  EXPECT_EQ(page.beginning_with("drop_"), (std::map<std::string, double>{{"drop_x", 1000}}));
  EXPECT_TRUE(MetricsPage::parse("drop_\x1b[31mx 5\n").beginning_with("drop_").empty());
}

TEST(Load, PayloadsTellWhoAndWhen) {
  const std::string payload = load_payload({"r1", 3, 42, 1795282200123456789}, 100);
  EXPECT_EQ(payload.size(), 100u);
  const auto stamp = parse_load(payload);
  ASSERT_TRUE(stamp);
  EXPECT_EQ(stamp->run, "r1");
  EXPECT_EQ(stamp->publisher, 3u);
  EXPECT_EQ(stamp->number, 42u);
  EXPECT_EQ(stamp->sent_ns, 1795282200123456789);
  EXPECT_TRUE(parse_load(load_payload({"r", 0, 0, 1}, 1)));
  for (const char* other :
       {"", "hello", "corelay-load ", "corelay-load r x 1 1 ", "corelay-load r 1 1 99999999999999999999 "})
    EXPECT_FALSE(parse_load(other)) << other;
}

TEST(Persisted, OneLineIsOneMessage) {
  EXPECT_EQ(persisted_line("T", "hello"), "[T] hello\n");
  EXPECT_EQ(persisted_line("T", "two\nlines"), "[T] \"two\\nlines\"\n");
  EXPECT_EQ(persisted_line("T", std::string_view("\0", 1)), "[T] base64:AA==\n");
}

TEST(Recent, OnlyWhatComesAgainAfterAReconnect) {
  RecentMessages recent(2);
  EXPECT_TRUE(recent.is_new("a"));
  EXPECT_TRUE(recent.is_new("a"));  // the same bytes anew
  EXPECT_TRUE(recent.is_new("b"));
  EXPECT_TRUE(recent.is_new("c"));
  recent.on_reconnect();
  EXPECT_FALSE(recent.is_new("c"));
  EXPECT_TRUE(recent.is_new("c"));
  EXPECT_TRUE(recent.is_new("a"));  // too long ago to be known
  recent.on_reconnect();
  recent.settle();
  EXPECT_TRUE(recent.is_new("c"));
}

TEST(Completion, QuotesAndShells) {
  const CompletionVerb program{
      "corelay", "", {{"--output", "it's", true, false, {"json"}}}, {{"node", "a node's", {}, {}}}};
  for (const char* shell : {"bash", "zsh", "fish"}) ASSERT_TRUE(completion_script(shell, program)) << shell;
  EXPECT_NE(completion_script("fish", program)->find("-d 'it'\\''s'"), std::string::npos);
  EXPECT_FALSE(completion_script("tcsh", program));
}

/// A folder of ours as CORELAY_DIR; both are as before when the test ends, however it does.
class GatewayPortsTest : public ::testing::Test {
 protected:
  GatewayPortsTest() {
    std::string made = (std::filesystem::temp_directory_path() / "corelay-ports-XXXXXX").string();
    folder = mkdtemp(made.data());
    if (const char* named = std::getenv("CORELAY_DIR")) before_ = named;
    setenv("CORELAY_DIR", folder.c_str(), 1);
  }
  ~GatewayPortsTest() override {
    if (before_)
      setenv("CORELAY_DIR", before_->c_str(), 1);
    else
      unsetenv("CORELAY_DIR");
    std::error_code ignored;
    std::filesystem::remove_all(folder, ignored);
  }
  std::string folder;

 private:
  std::optional<std::string> before_;
};

TEST_F(GatewayPortsTest, GrpcFollowsHttpUnlessItIsGiven) {
  const auto port = [](const char* text, std::uint16_t given) {
    GatewayOptions options;
    options.grpc_port = given;
    const auto urls = parse_service_urls({text});
    const auto grpc = grpc_url(urls.value().front(), options);
    return grpc ? grpc->port : grpc.error().describe();
  };
  EXPECT_EQ(port("http://localhost:8081", 0), "50051");
  EXPECT_EQ(port("http://localhost:8083", 0), "50053");
  EXPECT_EQ(port("http://localhost:8080", 0), "50051");
  EXPECT_EQ(port("https://relay.example", 0), "50051");
  EXPECT_EQ(port("localhost:50052", 0), "50052");
  EXPECT_EQ(port("http://localhost:8082", 7000), "7000");
  EXPECT_EQ(port("http://localhost:9000", 7000), "7000");
  EXPECT_EQ(port("http://localhost:9000", 0),
            "--service-url: 'http://localhost:9000' does not tell which port the gateway's gRPC has");
  const Json gateway{{"number", 1}, {"pid", 1}, {"start_ticks", 1}, {"port", 9000}, {"grpc_port", 9100}};
  std::ofstream(folder + "/fleet.json") << Json{{"nodes", Json::array()}, {"gateways", {gateway}}};
  EXPECT_EQ(port("http://localhost:9000", 0), "9100");
  EXPECT_EQ(port("http://localhost:9100", 0), "9100");
  EXPECT_NE(port("http://relay.example:9000", 0), "9100");  // another machine's
}

TEST_F(GatewayPortsTest, ThePortIsAsTheCommandBegan) {
  const Json gateway{{"number", 1}, {"pid", 1}, {"start_ticks", 1}, {"port", 9000}, {"grpc_port", 9100}};
  std::ofstream(folder + "/fleet.json") << Json{{"nodes", Json::array()}, {"gateways", {gateway}}};
  const Console console;
  GatewayOptions options;
  options.service_urls = {"http://localhost:9000", "https://localhost:8082/base"};
  options.is_grpc = true;
  auto access = Access::open({});
  ASSERT_TRUE(access);
  auto services = service_urls_of(console, options);
  ASSERT_TRUE(services);
  GatewayClient client(console, *services, *access, options.timeout);
  std::filesystem::remove(folder + "/fleet.json");
  EXPECT_EQ(client.url().authority(), "localhost:9000");
  EXPECT_EQ(client.grpc_url().authority(), "localhost:9100");
  client.try_next();
  EXPECT_EQ(client.grpc_url().authority(), "localhost:50052");
  EXPECT_TRUE(client.grpc_url().is_tls);
  options.service_urls = {"http://localhost:9000"};
  EXPECT_EQ(service_urls_of(console, options).error(), ExitCode::usage);
}

}  // namespace
}  // namespace corelay::tools
