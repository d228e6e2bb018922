// What a gateway reads from outside: nodes' messages, WebSocket frames, HTTP requests, JSON, tokens, settings.
#include <gtest/gtest.h>
#include <openssl/evp.h>

#include "control/gateway/api_input.h"
#include "control/gateway/bus_message.h"
#include "control/gateway/config.h"
#include "control/gateway/encode.h"
#include "control/gateway/http_message.h"
#include "control/gateway/hub.h"
#include "control/gateway/jwt.h"
#include "control/gateway/rate_limits.h"
#include "control/gateway/sidecar_message.h"
#include "control/gateway/text.h"
#include "control/gateway/ws_frame.h"
#include "proto/trace.pb.h"

namespace corelay::gateway {
namespace {

std::string base64(std::string_view bytes) {
  std::string out;
  append_base64(bytes, out);
  return out;
}

TEST(GatewayText, Base64) {
  std::string all;
  for (int i = 0; i < 256; ++i) all.push_back(static_cast<char>(i));
  for (std::size_t size = 0; size <= all.size(); ++size)
    EXPECT_EQ(decode_base64(base64(all.substr(0, size))), all.substr(0, size));
  EXPECT_EQ(base64("Man"), "TWFu");
  EXPECT_EQ(decode_base64("TQ"), "M");
  EXPECT_EQ(decode_base64url("-_-_"), "\xfb\xff\xbf");
  EXPECT_FALSE(decode_base64("-_-_"));
  EXPECT_FALSE(decode_base64("T"));
  EXPECT_FALSE(decode_base64("TW=u"));
  EXPECT_FALSE(decode_base64("TW\xff"));
}

TEST(GatewayText, Utf8AndJson) {
  EXPECT_TRUE(
      is_utf8("Gr\xc3\xbc\xc3\x9f"
              "e \xf0\x9f\x98\x80 and much plain text"));
  for (const char* bad : {"\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "abcdefghij\xc3"}) {
    EXPECT_FALSE(is_utf8(bad)) << bad;
  }
  EXPECT_EQ(json_text("a\"\\\n\x01\xff\xc3\xbc"), "\"a\\\"\\\\\\u000a\\u0001\xef\xbf\xbd\xc3\xbc\"");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(GatewayText, WrappedPayloads) {
  EXPECT_EQ(unwrap_payload(wrap_payload("m", 7)), "m");
  EXPECT_NE(wrap_payload("m", 7), wrap_payload("m", 8));
  EXPECT_EQ(unwrap_payload("m"), "m");
  EXPECT_EQ(unwrap_payload(wrap_payload("", 1)), "");
}

TEST(SidecarMessages, BothGenerationsOfNames) {
  const auto older = parse_message(R"({"MessageID":"ab","Topic":"t","Message":"aGk=","SourceNodeID":"12D3"})");
  const auto newer = parse_message(
      R"( {"x": [1,{"y":"}"}], "source_node_id" : "12D3","upstream_peer_id":"u", "topic":"t",)"
      R"("message":"aGk=" ,"message_id":"ab", "n":null} )");
  ASSERT_TRUE(older && newer);
  for (const auto& message : {*older, *newer}) {
    EXPECT_EQ(message.topic, "t");
    EXPECT_EQ(message.id, "ab");
    EXPECT_EQ(message.source, "12D3");
    EXPECT_EQ(message.payload, "aGk=");
  }
  EXPECT_EQ(parse_message(R"({"topic":"a\"\\\u00fc\ud83d\ude00\n","message_id":"1"})")->topic,
            "a\"\\\xc3\xbc\xf0\x9f\x98\x80\n");
}

TEST(SidecarMessages, Deliveries) {
  const std::string id(32, '\xab');
  std::string bytes = "\x0a\x01t\x12\x20" + id + "\x1a\x04" "12D3" "\x22\x02" "hi";
  const auto message = parse_delivery(bytes);
  ASSERT_TRUE(message);
  EXPECT_EQ(message->topic, "t");
  EXPECT_EQ(message->id.size(), 64U);
  EXPECT_TRUE(message->id.starts_with("abab"));
  EXPECT_EQ(message->source, "12D3");
  EXPECT_EQ(message->decoded(), "hi");
  EXPECT_FALSE(parse_delivery(bytes.substr(0, bytes.size() - 1)));
  EXPECT_FALSE(parse_delivery("\x22\x02" "hi"));
  EXPECT_FALSE(parse_delivery("\x0a\x01t\x12\x41" + std::string(65, 'x')));
}

TEST(SidecarMessages, RefusesWhatIsNone) {
  for (const char* bad : {"", "[]", "{", "{}", R"({"topic":"t"})", R"({"topic":"t","message_id":"1")",
                          R"({"topic":"t","message_id":"1"} x)", R"({"topic":1,"message_id":"1"})",
                          R"({"topic":"\u12","message_id":"1"})", R"({"topic" "t"})",
                          R"({"topic":"t","message_id":"1","message":"\n"})"}) {
    EXPECT_FALSE(parse_message(bad)) << bad;
  }
}

TEST(SidecarMessages, ResponsesAndRequests) {
  const std::string response = std::string(
      "\x08\x01\x12\x03"
      "abc\x1a\x01z",
      10);
  const auto view = parse_response(response);
  ASSERT_TRUE(view);
  EXPECT_EQ(view->kind, SidecarResponse::message);
  EXPECT_EQ(view->data, "abc");
  EXPECT_FALSE(parse_response(response.substr(0, 5)));
  EXPECT_FALSE(parse_response("\x0d"));
  EXPECT_EQ(request_head(1, "t", 200), std::string("\x08\x01\x1a\x01t\x12\xc8\x01"));
}

TEST(SidecarMessages, PublishAnswers) {
  optimum::pb::TraceEvent event;
  event.set_type(optimum::pb::TraceEvent::REJECT_MESSAGE);
  event.mutable_rejectmessage()->set_messageid("ab");
  event.mutable_rejectmessage()->set_topic("t");
  event.mutable_rejectmessage()->set_reason("duplicate: x");
  const auto refused = parse_publish_answer(event.SerializeAsString());
  ASSERT_TRUE(refused);
  EXPECT_FALSE(refused->is_published);
  EXPECT_EQ(refused->reason, "duplicate: x");
  event.set_type(optimum::pb::TraceEvent::JOIN);
  EXPECT_FALSE(parse_publish_answer(event.SerializeAsString()));
  EXPECT_FALSE(parse_publish_answer("\xff\xff"));
}

std::string client_frame(unsigned opcode, std::string_view payload, bool is_final = true) {
  std::string out;
  append_ws_header(static_cast<WsOpcode>(opcode), payload.size(), out);
  if (!is_final) out[0] = static_cast<char>(opcode);
  out[1] = static_cast<char>(static_cast<unsigned char>(out[1]) | 0x80U);
  out += "mask";
  for (std::size_t i = 0; i < payload.size(); ++i) out.push_back(static_cast<char>(payload[i] ^ "mask"[i % 4]));
  return out;
}

/// What comes out of a stream of bytes, fed in parts of a size: "opcode:payload", or "error CODE".
std::vector<std::string> frames_of(const std::string& bytes, std::size_t part, std::size_t bytes_max = 1 << 20) {
  WsParser parser(bytes_max);
  std::vector<std::string> out;
  for (std::size_t at = 0; at < bytes.size(); at += part) {
    std::string_view rest = std::string_view(bytes).substr(at, part);
    for (;;) {
      const auto outcome = parser.feed(rest);
      if (outcome == WsParser::Outcome::need_more) break;
      if (outcome == WsParser::Outcome::error) {
        out.push_back("error " + std::to_string(static_cast<int>(parser.error_code())));
        return out;
      }
      out.push_back(std::to_string(static_cast<int>(parser.opcode())) + ":" + parser.payload());
    }
  }
  return out;
}

TEST(WebSocketFrames, WholeAndInParts) {
  const std::string large(70000, 'x');
  const std::string bytes = client_frame(1, "hello") + client_frame(9, "p") + client_frame(1, "a", false) +
                            client_frame(9, "") + client_frame(0, "b", false) + client_frame(0, "c") +
                            client_frame(2, large) + client_frame(1, "") + client_frame(8, "");
  const std::vector<std::string> expected{"1:hello", "9:p", "9:", "1:abc", "2:" + large, "1:", "8:"};
  for (const std::size_t part : {1U, 2U, 3U, 7U, 1000U, 1000000U}) EXPECT_EQ(frames_of(bytes, part), expected) << part;
}

TEST(WebSocketFrames, Mistakes) {
  using Frames = std::vector<std::string>;
  EXPECT_EQ(frames_of(ws_frame(WsOpcode::text, "unmasked"), 100), Frames{"error 1002"});
  EXPECT_EQ(frames_of(client_frame(3, ""), 100), Frames{"error 1002"});
  EXPECT_EQ(frames_of(client_frame(0, "x"), 100), Frames{"error 1002"});
  EXPECT_EQ(frames_of(client_frame(1, "a", false) + client_frame(1, "b"), 100), Frames{"error 1002"});
  EXPECT_EQ(frames_of(client_frame(9, std::string(126, 'x')), 1000), Frames{"error 1002"});
  EXPECT_EQ(frames_of(client_frame(9, "x", false), 100), Frames{"error 1002"});
  EXPECT_EQ(frames_of(client_frame(1, "\xff"), 100), Frames{"error 1007"});
  EXPECT_EQ(frames_of(client_frame(2, std::string(101, 'x')), 1000, 100), Frames{"error 1009"});
  EXPECT_EQ(frames_of(client_frame(2, std::string(60, 'x'), false) + client_frame(0, std::string(60, 'x')), 1000, 100),
            Frames{"error 1009"});
  std::string huge = client_frame(2, std::string(70000, 'x'));
  huge[2] = '\xff';  // 2^63 and more
  EXPECT_EQ(frames_of(huge, 100000), Frames{"error 1009"});
  std::string reserved = client_frame(1, "x");
  reserved[0] = '\xc1';
  EXPECT_EQ(frames_of(reserved, 100), Frames{"error 1002"});
}

TEST(WebSocketFrames, ServerSide) {
  EXPECT_EQ(ws_accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");  // RFC 6455, 1.3
  EXPECT_EQ(ws_frame(WsOpcode::text, "Hello"), "\x81\x05Hello");
  EXPECT_EQ(ws_frame(WsOpcode::binary, std::string(256, 'x')).substr(0, 4), std::string("\x82\x7e\x01\x00", 4));
  EXPECT_EQ(ws_frame(WsOpcode::binary, std::string(65536, 'x')).substr(0, 10),
            std::string("\x82\x7f\0\0\0\0\0\x01\0\0", 10));
}

TEST(Encoding, Positions) {
  Position position;
  ASSERT_TRUE(parse_position("3f9a-12", position));
  EXPECT_EQ(position.epoch, "3f9a");
  EXPECT_EQ(position.offset, 12U);
  ASSERT_TRUE(parse_position("7", position));
  EXPECT_EQ(position.epoch, "");
  for (const char* bad : {"", "-", "a-", "x", "1x", "99999999999999999999"})
    EXPECT_FALSE(parse_position(bad, position)) << bad;
}

TEST(Encoding, Formats) {
  const Message message{"t", "a\nb", "id", "src"};
  EXPECT_EQ(*encode(Format::text, message, 5, "e"),
            "\x81\x03"
            "a\nb");
  EXPECT_EQ((*encode(Format::text, {"t", "\xff", "id", "s"}, 5, "e"))[0], '\x82');
  EXPECT_EQ(*encode(Format::sse_text, message, 5, "e"), "id: e-5\ndata: a\ndata: b\n\n");
  const std::string json =
      R"({"type":"message","topic":"t","message":"YQpi","message_id":"id","source_node_id":"src","offset":"e-5"})";
  EXPECT_EQ(encode(Format::json, message, 5, "e")->substr(2), json);
  EXPECT_EQ(*encode(Format::sse_json, message, 5, "e"), "id: e-5\ndata: " + json + "\n\n");
  EXPECT_EQ(*encode(Format::grpc, message, 5, "e"),
            "\x12\x03"
            "a\nb\x1a\x01t\x22\x02id");
  EXPECT_EQ(encode_lagged(Format::json, "t", 3, 9, "e")->substr(2),
            R"({"type":"lagged","topic":"t","count":3,"offset":"e-9"})");
}

TEST(ApiInput, FieldsAndMistakes) {
  const auto input = parse_input(
      R"({"type":"publish","client_id":"c","topic":"t","message":"",)"
      R"("timestamp":5,"no_dedup":true,"threshold":0.5,"id":7})");
  ASSERT_TRUE(input) << input.error().what;
  EXPECT_EQ(input->client_id, "c");
  EXPECT_EQ(input->message, "");
  EXPECT_EQ(input->timestamp, 5U);
  EXPECT_TRUE(input->no_dedup);
  EXPECT_EQ(input->id, "7");
  EXPECT_FALSE(parse_input(R"({"topic":"t"})")->message.has_value());
  EXPECT_EQ(parse_input(R"({"message_base64":"AP8="})")->message, std::string("\0\xff", 2));
  const auto wrong = [](const char* text) { return parse_input(text).error().what; };
  EXPECT_EQ(wrong("{"), "invalid JSON");
  EXPECT_EQ(wrong("[]"), "invalid JSON");
  EXPECT_EQ(wrong(""), "invalid JSON");
  EXPECT_EQ(wrong("{\"topic\":\"\xff\"}"), "invalid JSON");
  EXPECT_EQ(parse_input(std::string_view("{}\0x", 4)).error().what, "invalid JSON");
  EXPECT_EQ(wrong(R"({"topic":1})"), "topic must be a string");
  EXPECT_EQ(wrong(R"({"client_id":[]})"), "client_id must be a string");
  EXPECT_EQ(wrong(R"({"message":{}})"), "message must be a string");
  EXPECT_EQ(wrong(R"({"threshold":"1"})"), "threshold must be a number");
  EXPECT_EQ(wrong(R"({"threshold":2})"), "threshold must be from 0.1 to 1.0");
  EXPECT_EQ(wrong(R"({"timestamp":-1})"), "timestamp must be a whole number, 0 or more");
  EXPECT_EQ(wrong(R"({"message_length":1.5})"), "message_length must be a whole number, 0 or more");
  EXPECT_EQ(wrong(R"({"no_dedup":1})"), "no_dedup must be true or false");
  EXPECT_EQ(wrong(R"({"message_base64":"!"})"), "message_base64 must be base64");
  EXPECT_EQ(wrong(std::string(100000, '[').c_str()), "invalid JSON");
}

// Plain objects are read without the parser: it must make no difference. A list as one more field leads past that.
TEST(ApiInput, PlainObjectsAreReadAsTheParserReadsThem) {
  const std::vector<std::string> values = {R"("t")",
                                           R"("")",
                                           R"("a\n\"b")",
                                           R"("\u00e9")",
                                           "\"\xc3\xa9\"",
                                           "\"\xff\"",
                                           "\"a\x01z\"",
                                           "\"12345678\x1f\"",
                                           "\"\x7f\"",
                                           "0",
                                           "7",
                                           "007",
                                           "-1",
                                           "1.5",
                                           "1e3",
                                           "18446744073709551615",
                                           "18446744073709551616",
                                           "true",
                                           "false",
                                           "trueish",
                                           "null",
                                           "{}",
                                           "",
                                           "\""};
  std::uint64_t accepted = 0;
  const auto check = [&](const std::string& key, const std::string& value, std::string text) {
    text.replace(text.find('K'), 1, '"' + key + '"');
    text.replace(text.find('V'), 1, value);
    std::string longer = text;
    longer.insert(longer.find('{') + 1, R"("past":[],)");
    const auto plain = parse_input(text);
    const auto full = parse_input(longer);
    ASSERT_EQ(plain.has_value(), full.has_value()) << text;
    if (!plain) {
      ASSERT_EQ(plain.error().what, full.error().what) << text;
      return;
    }
    ++accepted;
    const auto all = [](const ApiInput& input) {
      return std::tuple(input.type, input.client_id, input.topic, input.message, input.timestamp, input.no_dedup,
                        input.id);
    };
    ASSERT_EQ(all(*plain), all(*full)) << text;
  };
  for (const char* const key : {"type", "client_id", "topic", "message", "timestamp", "no_dedup", "id", "other"}) {
    for (const auto& value : values) {
      for (const char* const text : {"{K:V}", " { K : V } ", "{K:V,}", "{K:V", "{K:V}x", "{K V}",
                                     R"({"message":"m",K:V})", R"({K:V,"topic":"t"})"}) {
        check(key, value, text);
      }
    }
  }
  EXPECT_GT(accepted, 100U);
}

TEST(HttpRequests, BodiesOfUnknownLengthCutAnywhere) {
  const std::string bytes =
      "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: x\r\n\r\n"
      "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
  for (std::size_t part = 1; part <= bytes.size(); ++part) {
    RequestParser parser({});
    std::vector<std::string> bodies;
    for (std::size_t at = 0; at < bytes.size(); at += part) {
      auto outcome = parser.feed(std::string_view(bytes).substr(at, part));
      for (; outcome == RequestParser::Outcome::request; outcome = parser.feed({})) {
        bodies.push_back(parser.take().body);
      }
      ASSERT_EQ(outcome, RequestParser::Outcome::need_more) << part;
    }
    EXPECT_EQ(bodies, (std::vector<std::string>{"abcde", ""})) << part;
  }
}

TEST(HttpRequests, OneAfterTheOther) {
  const std::string bytes =
      "POST /api/v1/publish?a=b%20c HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nAuthorization: Bearer t\r\n\r\nabc"
      "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  for (const std::size_t part : {1U, 10U, 1000U}) {
    RequestParser parser({});
    std::vector<Request> requests;
    for (std::size_t at = 0; at < bytes.size(); at += part) {
      auto outcome = parser.feed(std::string_view(bytes).substr(at, part));
      while (outcome == RequestParser::Outcome::request) {
        requests.push_back(parser.take());
        outcome = parser.feed({});
      }
      ASSERT_EQ(outcome, RequestParser::Outcome::need_more);
    }
    ASSERT_EQ(requests.size(), 2U) << part;
    EXPECT_EQ(requests[0].target.path, "/api/v1/publish");
    EXPECT_EQ(requests[0].target.parameter("a"), "b c");
    EXPECT_EQ(requests[0].body, "abc");
    EXPECT_EQ(requests[0].authorization, "Bearer t");
    EXPECT_TRUE(requests[0].keep_alive);
    EXPECT_EQ(requests[1].target.path, "/livez");
    EXPECT_FALSE(requests[1].keep_alive);
  }
}

TEST(HttpRequests, BoundsAndMistakes) {
  const auto status = [](const std::string& bytes) {
    RequestParser parser({256, 100});
    return parser.feed(bytes) == RequestParser::Outcome::error ? parser.error().status : 0U;
  };
  EXPECT_EQ(status("GET / HTTP/1.1\r\nX: " + std::string(300, 'x') + "\r\n\r\n"), 431U);
  EXPECT_EQ(status("GET /" + std::string(300, 'x')), 431U);
  EXPECT_EQ(status("POST / HTTP/1.1\r\nContent-Length: 101\r\n\r\n"), 413U);
  EXPECT_EQ(status("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n80\r\n" + std::string(128, 'x')), 413U);
  EXPECT_EQ(status("nonsense\r\n\r\n"), 400U);
  EXPECT_EQ(status("POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"), 400U);
  EXPECT_EQ(status(std::string("\0\0\0\0", 4)), 400U);
  RequestParser parser({});
  EXPECT_EQ(parser.feed("POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"),
            RequestParser::Outcome::need_more);
  EXPECT_TRUE(parser.wants_continue());
  EXPECT_FALSE(parser.wants_continue());
}

/// A key pair, its JWK, and tokens signed with it.
class Issuer {
 public:
  Issuer() : key_(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"), EVP_PKEY_free) {}
  [[nodiscard]] std::string jwks() const {
    std::string raw(32, '\0');
    std::size_t size = raw.size();
    EVP_PKEY_get_raw_public_key(key_.get(), reinterpret_cast<unsigned char*>(raw.data()), &size);
    return R"({"keys":[{"kty":"oct","k":"x"},{"kty":"OKP","crv":"Ed25519","kid":"k1","x":")" + url(raw) + "\"}]}";
  }
  [[nodiscard]] std::string token(const std::string& head, const std::string& claims) const {
    const std::string text = url(head) + "." + url(claims);
    std::string signature(64, '\0');
    std::size_t size = signature.size();
    EVP_MD_CTX* const context = EVP_MD_CTX_new();
    EVP_DigestSignInit(context, nullptr, nullptr, nullptr, key_.get());
    EVP_DigestSign(context, reinterpret_cast<unsigned char*>(signature.data()), &size,
                   reinterpret_cast<const unsigned char*>(text.data()), text.size());
    EVP_MD_CTX_free(context);
    return text + "." + url(signature);
  }
  static std::string url(std::string_view bytes) {
    std::string out = base64(bytes);
    while (out.ends_with('=')) out.pop_back();
    for (char& c : out) c = c == '+' ? '-' : c == '/' ? '_' : c;
    return out;
  }

 private:
  std::shared_ptr<EVP_PKEY> key_;
};

TEST(Tokens, SignaturesAndKeys) {
  const Issuer issuer;
  const Issuer other;
  const auto keys = parse_jwks(issuer.jwks());
  ASSERT_TRUE(keys) << keys.error().what;
  const std::string text = issuer.token(R"({"alg":"EdDSA","kid":"k1"})", R"({"sub":"me","exp":100})");
  const auto token = parse_jwt(text);
  ASSERT_TRUE(token) << token.error().what;
  const JwtKey* const key = find_key(*keys, *token);
  ASSERT_NE(key, nullptr);
  EXPECT_TRUE(is_signed_by(*token, *key));
  EXPECT_FALSE(is_signed_by(*token, parse_jwks(other.jwks())->front()));
  auto tampered = *token;
  tampered.signed_part[5] ^= 1;
  EXPECT_FALSE(is_signed_by(tampered, *key));
  auto unnamed = *token;
  unnamed.key_id = "";
  EXPECT_EQ(find_key(*keys, unnamed), key);
  unnamed.key_id = "k2";
  EXPECT_EQ(find_key(*keys, unnamed), nullptr);
  auto other_algorithm = *token;
  other_algorithm.algorithm = JwtAlgorithm::rs256;
  EXPECT_EQ(find_key(*keys, other_algorithm), nullptr);
  for (const char* head : {R"({"alg":"none"})", R"({"alg":"HS256"})", "[]", "x", R"({"alg":"EdDSA","crit":["x"]})"}) {
    EXPECT_FALSE(parse_jwt(issuer.token(head, "{}"))) << head;
  }
  for (const char* bad : {"", "a", "a.b", "a.b.c.d", "!.!.!", "e30.e30.e30"}) EXPECT_FALSE(parse_jwt(bad)) << bad;
  for (const char* bad :
       {"", "{}", R"({"keys":[]})", R"({"keys":{}})", R"({"keys":[1,{"kty":"RSA","n":"AA","e":"AQAB"}]})"}) {
    EXPECT_FALSE(parse_jwks(bad)) << bad;
  }
}

TEST(Tokens, Claims) {
  const ClaimRules rules{"https://i/", "api", 1000, 60};
  const auto judge = [&](const std::string& rest) {
    return check_claims(R"({"iss":"https://i/","aud":["x","api"],"sub":"s","exp":2000)" + rest + "}", rules);
  };
  const auto good = judge(
      R"(,"client_id":"c","max_publish_per_hour":5,"max_publish_per_sec":"2","max_message_size":9,)"
      R"("daily_quota":1e3,"is_active":"true")");
  ASSERT_TRUE(good) << good.error().what;
  EXPECT_EQ(good->client_id, "c");
  EXPECT_EQ(good->limits.publishes_per_hour, 5U);
  EXPECT_EQ(good->limits.publishes_per_second, 2U);
  EXPECT_EQ(good->limits.bytes_per_day, 1000U);
  EXPECT_EQ(judge("")->client_id, "s");
  EXPECT_EQ(judge(R"(,"is_active":false)").error().code, ErrorCode::permission_denied);
  EXPECT_FALSE(judge(R"(,"nbf":1061)"));
  EXPECT_FALSE(judge(R"(,"exp":939)"));
  EXPECT_TRUE(judge(R"(,"exp":941)"));
  EXPECT_FALSE(judge(R"(,"aud":"other")"));
  EXPECT_FALSE(judge(R"(,"iss":"https://j/")"));
  EXPECT_FALSE(check_claims(R"({"iss":"https://i/","aud":"api","sub":"s"})", rules));
  EXPECT_FALSE(check_claims(R"({"iss":"https://i/","aud":"api","exp":2000})", rules));
  EXPECT_FALSE(check_claims("x", rules));
}

TEST(Tokens, Limits) {
  RateLimits limits;
  Admission who{"c", {5, 2, 100, 250}, 0};
  EXPECT_TRUE(limits.charge(who, 100, 7200).is_allowed);
  EXPECT_TRUE(limits.charge(who, 100, 7200).is_allowed);
  const auto fast = limits.charge(who, 10, 7200);
  EXPECT_FALSE(fast.is_allowed);
  EXPECT_EQ(fast.why, "per-second limit reached");
  const auto large = limits.charge(who, 101, 7201);
  EXPECT_TRUE(large.is_too_large);
  EXPECT_EQ(limits.charge(who, 51, 7201).why, "daily quota exceeded");
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(limits.charge(who, 1, 7202 + i).is_allowed);
  const auto hour = limits.charge(who, 1, 7300);
  EXPECT_EQ(hour.why, "per-hour limit reached (5/hour)");
  EXPECT_EQ(limits.usage("c", 7300).publishes_this_hour, 5U);
  EXPECT_TRUE(limits.charge(who, 1, 10800).is_allowed);
  EXPECT_EQ(limits.charge(who, 1, 10801).headers.front().second, "5");
  EXPECT_TRUE(limits.charge({"free", {}, 0}, 1 << 30, 1).is_allowed);
}

TEST(GatewayConfig, DefaultFileSaysWhatTheStructSays) {
  const auto nothing = load_config({});
  ASSERT_TRUE(nothing) << nothing.error().what;
  const auto file = load_config({"gateway.toml", std::string(default_toml()), {}, {}});
  ASSERT_TRUE(file) << file.error().what;
  const auto values = [](LoadedConfig loaded) {
    loaded.origins.assign(loaded.origins.size(), "");
    return print_config(loaded);
  };
  EXPECT_EQ(values(*file), values(*nothing));
  for (const auto& origin : file->origins) EXPECT_TRUE(origin.starts_with("gateway.toml line ")) << origin;
}

TEST(GatewayConfig, PublishedVariables) {
  const auto loaded = load_config({"",
                                   "",
                                   {{"CLUSTER_ID", "c"},
                                    {"GATEWAY_PORT", "8081"},
                                    {"PROXY_PORT", ":9999"},
                                    {"PROXY_GRPC_PORT", ":50052"},
                                    {"P2P_NODES", "p2pnode-1:33212, b:1"},
                                    {"ENABLE_AUTH", "true"},
                                    {"AUTH0_DOMAIN", "d"},
                                    {"AUTH0_AUDIENCE", "a"},
                                    {"SUBSCRIBER_THRESHOLD", "0.4"},
                                    {"LOG_LEVEL", "debug"}},
                                   {}});
  ASSERT_TRUE(loaded) << loaded.error().what;
  const auto& config = loaded->config;
  EXPECT_EQ(config.http.port, "8081");  // GATEWAY_PORT before PROXY_PORT
  EXPECT_EQ(listen_of(config.grpc.address, config.grpc.port, true)->port, 50052);
  EXPECT_EQ(config.nodes.sidecars, (std::vector<std::string>{"p2pnode-1:33212", "b:1"}));
  EXPECT_TRUE(config.auth.enable);
  EXPECT_EQ(config.delivery.threshold, 0.4);
  EXPECT_EQ(load_config({"", "", {{"PROXY_PORT", ":9999"}}, {}})->config.http.port, ":9999");
}

TEST(GatewayConfig, WhereItListens) {
  EXPECT_EQ(listen_of("", "8080", false)->address, "127.0.0.1");
  EXPECT_EQ(listen_of("", ":8080", true)->address, "0.0.0.0");
  EXPECT_EQ(listen_of("", "10.0.0.1:80", false)->address, "10.0.0.1");
  EXPECT_EQ(listen_of("::1", ":80", false)->port, 80);
  for (const char* bad : {"", ":", "x", "70000", "80x"}) EXPECT_FALSE(listen_of("", bad, false)) << bad;
  EXPECT_FALSE(load_config({"f", "[auth]\nenable = true\n", {}, {}}));
  EXPECT_FALSE(load_config({"f", "[http]\ntls_key = \"k\"\n", {}, {}}));
  EXPECT_FALSE(load_config({"f", "[http]\nport = \"x\"\n", {}, {}}));
}

TEST(BusMessages, WhatIsToldIsReadAndNothingElse) {
  const BusSubscription told{"c", "t\"\n", 0.25, false};
  std::string epoch;
  BusSubscription read;
  ASSERT_TRUE(parse_subscription(format_subscription("e1", told), epoch, read));
  EXPECT_EQ(epoch, "e1");
  EXPECT_EQ(read.client, told.client);
  EXPECT_EQ(read.topic, told.topic);
  EXPECT_EQ(read.threshold, told.threshold);
  EXPECT_FALSE(read.is_subscribed);
  for (const char* bad : {"", "[]", "{", R"({"epoch":5,"client":"c","topic":"t","threshold":1,"subscribed":true})",
                          R"({"client":"c","topic":"t","threshold":1,"subscribed":true})",
                          R"({"epoch":"e","client":null,"topic":"t","threshold":1,"subscribed":true})",
                          R"({"epoch":"e","client":"c","topic":"t","threshold":"1","subscribed":true})",
                          R"({"epoch":"e","client":"c","topic":"t","threshold":1,"subscribed":1})"}) {
    EXPECT_FALSE(parse_subscription(bad, epoch, read)) << bad;
  }
}

}  // namespace
}  // namespace corelay::gateway
