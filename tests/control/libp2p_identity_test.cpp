// Identities, peer ids, p2p.key and multiaddrs against values produced by js-libp2p and against
// broken input.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "control/libp2p/base_text.h"
#include "control/libp2p/identity.h"
#include "control/libp2p/key_file.h"
#include "control/libp2p/multiaddr.h"
#include "control/libp2p/public_key.h"
#include "tests/control/libp2p_vectors.h"

namespace corelay::libp2p {
namespace {

std::array<std::uint8_t, 32> seed_from(const std::vector<std::uint8_t>& bytes) {
  std::array<std::uint8_t, 32> seed{};
  std::copy_n(bytes.begin(), 32, seed.begin());
  return seed;
}

class KeyFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ =
        std::filesystem::temp_directory_path() / ("corelay_p2p_key_" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
    path_ = (folder_ / "p2p.key").string();
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void write(const std::vector<std::uint8_t>& bytes) const {
    std::ofstream file(path_, std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  }
  void write_payload(std::string_view payload) const {
    std::vector<std::uint8_t> bytes(8);
    store_le(bytes.data(), crc64_iso(as_bytes(payload)));
    bytes.insert(bytes.end(), payload.begin(), payload.end());
    write(bytes);
  }

  std::filesystem::path folder_;
  std::string path_;
};

TEST(IdentityTest, MatchesJsVectors) {
  for (const auto& v : vectors()["identity"]) {
    const Identity identity = Identity::from_seed(seed_from(from_hex(v["seed"])));
    EXPECT_EQ(to_hex(format_key_message(KeyType::ed25519, identity.public_key())),
              v["public_key_pb"]);
    EXPECT_EQ(to_hex(identity.peer_id().bytes()), v["peer_id_multihash"]);
    EXPECT_EQ(identity.peer_id().text(), v["peer_id_base58"]);
    for (const char* form : {"peer_id_base58", "peer_id_cidv1_base32"}) {
      const auto parsed = PeerId::parse(v[form].get<std::string>());
      ASSERT_TRUE(parsed) << form << ": " << parsed.error().describe();
      EXPECT_EQ(*parsed, identity.peer_id());
      EXPECT_EQ(to_hex(parsed->ed25519_key()), to_hex(identity.public_key()));
    }
    EXPECT_EQ(peer_id_of(from_hex(v["public_key_pb"])).value(), identity.peer_id());
  }
}

TEST(IdentityTest, GeneratedKeysDiffer) {
  EXPECT_NE(Identity::generate().peer_id(), Identity::generate().peer_id());
}

TEST(IdentityTest, SignatureHoldsOverTheMessageAlone) {
  const Identity identity = Identity::generate();
  const auto key = format_key_message(KeyType::ed25519, identity.public_key());
  const auto signature = identity.sign(as_bytes("a message"));
  EXPECT_TRUE(verify(key, as_bytes("a message"), signature));
  EXPECT_EQ(verify(key, as_bytes("A message"), signature).error().code, ErrorCode::unauthenticated);
  EXPECT_FALSE(verify(key, as_bytes("a message"), Bytes(signature).first(63)));
}

TEST(PeerIdTest, ReadsAllSpecKeyTypes) {
  for (const auto& v : vectors()["public_keys"]) {
    const auto key = from_hex(v["public"]);
    const auto peer = peer_id_of(key);
    ASSERT_TRUE(peer) << v["type"];
    EXPECT_EQ(peer->text(), v["peer_id"].get<std::string>()) << v["type"];
    EXPECT_TRUE(verify(key, as_bytes("corelay"), from_hex(v["signature"]))) << v["type"];
    EXPECT_FALSE(verify(key, as_bytes("Corelay"), from_hex(v["signature"]))) << v["type"];
  }
}

TEST(PeerIdTest, RefusesBrokenText) {
  for (const char* text : {"", "hello", "12D3KooW0000", "Qm",
                           "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi", "b!!!",
                           "12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH", "1", "z"}) {
    EXPECT_EQ(PeerId::parse(text).error().code, ErrorCode::malformed) << text;
  }
  EXPECT_FALSE(PeerId::parse(std::string(5000, '1')));
}

TEST(BaseTextTest, RoundTripsAndRefusesOtherForms) {
  const std::vector<std::uint8_t> bytes{0, 0, 1, 2, 0xff, 0x80, 7};
  for (std::size_t n = 0; n <= bytes.size(); ++n) {
    const Bytes part = Bytes(bytes).first(n);
    const std::vector<std::uint8_t> expected(part.begin(), part.end());
    EXPECT_EQ(from_base58(to_base58(part)), expected);
    EXPECT_EQ(from_base32(to_base32(part)), expected);
    EXPECT_EQ(from_base64(to_base64(part)), expected);
  }
  EXPECT_EQ(to_base64(as_bytes("any carnal pleas")), "YW55IGNhcm5hbCBwbGVhcw==");
  EXPECT_FALSE(
      from_base64("YW55"
                  "IA="));
  EXPECT_FALSE(from_base64("YR=="));  // stray bits under the padding
  EXPECT_FALSE(from_base58("0OIl"));
}

TEST(KeyFileCrc, MatchesTheCheckValue) {
  EXPECT_EQ(crc64_iso(as_bytes("123456789")), 0xb90956c775a41001ULL);
}

TEST_F(KeyFileTest, RoundTripsInTheVendorsFormat) {
  const Identity identity =
      Identity::from_seed(seed_from(from_hex(vectors()["identity"][0]["seed"])));
  ASSERT_TRUE(identity.save(path_));
  std::ifstream file(path_, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  const std::string payload = bytes.substr(8);
  EXPECT_EQ(payload, "{\"Key\":\"" +
                         to_base64(from_hex(vectors()["identity"][0]["private_key_pb"])) +
                         "\",\"ID\":\"12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5\"}");
  EXPECT_EQ(load_le<std::uint64_t>(as_bytes(bytes).data()), crc64_iso(as_bytes(payload)));

  const auto loaded = Identity::load(path_);
  ASSERT_TRUE(loaded) << loaded.error().describe();
  EXPECT_EQ(loaded->peer_id(), identity.peer_id());
  EXPECT_EQ(loaded->sign(as_bytes("x")), identity.sign(as_bytes("x")));
}

TEST_F(KeyFileTest, NewFileIsPrivateAndAnOldModeIsKept) {
  ASSERT_TRUE(Identity::generate().save(path_));
  struct stat status {};
  ASSERT_EQ(::stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  ASSERT_EQ(::chmod(path_.c_str(), 0640), 0);
  ASSERT_TRUE(Identity::generate().save(path_));
  ASSERT_EQ(::stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0640u);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1)
      << "temporary file left";
}

TEST_F(KeyFileTest, ErrorsNameFileAndReason) {
  EXPECT_EQ(Identity::load(path_).error().code, ErrorCode::not_found);

  write({1, 2, 3});
  auto error = Identity::load(path_).error();
  EXPECT_EQ(error.code, ErrorCode::malformed);
  EXPECT_EQ(error.where, path_);
  EXPECT_EQ(error.what, "file is too short");

  auto bytes = format_key_file(std::vector<std::uint8_t>(64),
                               PeerId::from_ed25519(std::vector<std::uint8_t>(32)));
  bytes.back() ^= 1;
  write(bytes);
  error = Identity::load(path_).error();
  EXPECT_EQ(error.code, ErrorCode::malformed);
  EXPECT_NE(error.what.find("checksum mismatch: "), std::string::npos) << error.what;
  EXPECT_NE(error.what.find(" != "), std::string::npos) << error.what;

  write(std::vector<std::uint8_t>(64 * 1024));
  EXPECT_EQ(Identity::load(path_).error().what, "file is too long");
}

TEST_F(KeyFileTest, RefusesWhatIsNotItsKey) {
  const auto& v = vectors()["identity"];
  const auto payload = [](const std::vector<std::uint8_t>& key, const std::string& id) {
    return "{\"Key\":\"" + to_base64(key) + "\",\"ID\":\"" + id + "\"}";
  };
  const auto key = from_hex(v[0]["private_key_pb"]);
  const std::string id = v[0]["peer_id_base58"];

  write_payload(payload(key, id));
  EXPECT_TRUE(Identity::load(path_));
  write_payload("{ \"ID\": \"" + id + "\",\n \"Key\": \"" + to_base64(key) + "\" }");
  EXPECT_TRUE(Identity::load(path_)) << "white space and order are free";
  write_payload(payload(key, v[1]["peer_id_base58"]));
  EXPECT_EQ(Identity::load(path_).error().code, ErrorCode::malformed);
  write_payload("not json");
  EXPECT_EQ(Identity::load(path_).error().code, ErrorCode::malformed);
  write_payload("{\"Key\":7,\"ID\":\"x\"}");
  EXPECT_EQ(Identity::load(path_).error().code, ErrorCode::malformed);

  auto wrong_public = key;
  wrong_public.back() ^= 1;
  write_payload(payload(wrong_public, id));
  EXPECT_EQ(Identity::load(path_).error().code, ErrorCode::malformed);

  auto old_form = format_key_message(KeyType::ed25519, [&] {
    std::vector<std::uint8_t> data(key.begin() + 4, key.end());
    data.insert(data.end(), key.begin() + 36, key.end());
    return data;
  }());
  write_payload(payload(old_form, id));
  EXPECT_TRUE(Identity::load(path_)) << "96-byte form";

  write_payload(
      payload(format_key_message(KeyType::secp256k1, std::vector<std::uint8_t>(32, 7)), id));
  const auto error = Identity::load(path_).error();
  EXPECT_EQ(error.code, ErrorCode::invalid_argument);
  EXPECT_NE(error.what.find("Secp256k1"), std::string::npos);
}

TEST(MultiaddrTest, MatchesJsVectors) {
  auto cases = vectors()["multiaddr"];
  for (std::size_t i = 0; i < 3; ++i) {
    cases.push_back({{"s", vectors()["peer_record"]["addrs"][i]},
                     {"bytes", vectors()["peer_record"]["addrs_bytes"][i]}});
  }
  for (const auto& v : cases) {
    const auto address = Multiaddr::parse(v["s"].get<std::string>());
    ASSERT_TRUE(address) << address.error().describe();
    EXPECT_EQ(address->text(), v["s"]);
    EXPECT_EQ(to_hex(address->bytes()), v["bytes"]);
    EXPECT_EQ(Multiaddr::from_bytes(from_hex(v["bytes"])).value(), *address);
  }
}

TEST(MultiaddrTest, TellsItsParts) {
  const PeerId peer = Identity::generate().peer_id();
  const auto address =
      Multiaddr::parse("/dns4/relay.example.com/tcp/7070/p2p/" + peer.text()).value();
  EXPECT_EQ(address.host(), "relay.example.com");
  EXPECT_TRUE(address.is_dns());
  EXPECT_EQ(address.tcp_port(), 7070);
  EXPECT_EQ(address.peer_id(), peer);
  EXPECT_EQ(address.without_peer().text(), "/dns4/relay.example.com/tcp/7070");
  const PeerId other = Identity::generate().peer_id();
  EXPECT_EQ(address.with_peer(other).peer_id(), other);
  EXPECT_EQ(address.without_peer().with_peer(peer), address);

  const auto six = Multiaddr::tcp("::1", 9).value();
  EXPECT_EQ(six.text(), "/ip6/::1/tcp/9");
  EXPECT_EQ(six.host(), "::1");
  EXPECT_FALSE(six.is_dns());
  EXPECT_FALSE(six.peer_id());
  EXPECT_EQ(Multiaddr::parse("/ip4/1.2.3.4/udp/5/quic-v1").value().tcp_port(), std::nullopt);
  EXPECT_EQ(Multiaddr::parse("/ip6/0:0::1/tcp/9/").value(), six) << "canonical form";
  EXPECT_EQ(Multiaddr::parse("/ip4/1.2.3.4/tcp/1/ipfs/" + peer.text()).value().text(),
            "/ip4/1.2.3.4/tcp/1/p2p/" + peer.text());
  EXPECT_EQ(Multiaddr().host(), "");
  EXPECT_FALSE(Multiaddr().tcp_port());
}

TEST(MultiaddrTest, ErrorsNameTheComponent) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"", "expected '/'"},
      {"ip4/1.2.3.4", "expected '/'"},
      {"/", "unknown component ''"},
      {"/ip4", "/ip4: value missing"},
      {"/ip4/1.2.3", "/ip4: expected"},
      {"/ip6/1.2.3.4", "/ip6: expected"},
      {"/ip4/1.2.3.4/tcp/65536", "/tcp: expected a port"},
      {"/ip4/1.2.3.4/tcp/x", "/tcp: expected a port"},
      {"/ip4/1.2.3.4/tcp/-1", "/tcp: expected"},
      {"/ip4/1.2.3.4/tcp/", "/tcp: value missing"},
      {"/foo/1", "unknown component 'foo'"},
      {"/dns/a b/tcp/1", "/dns: expected"},
      {"/ip4/1.2.3.4/tcp/1/p2p/zzz", "/p2p: "},
      {"//tcp/1", "unknown component ''"}};
  for (const auto& [text, what] : cases) {
    const auto address = Multiaddr::parse(text);
    ASSERT_FALSE(address) << text;
    EXPECT_EQ(address.error().code, ErrorCode::malformed);
    EXPECT_NE(address.error().what.find(what), std::string::npos)
        << text << " -> " << address.error().what;
  }
  EXPECT_FALSE(Multiaddr::parse("/dns/" + std::string(2000, 'a')));
}

TEST(MultiaddrTest, RefusesBrokenBytes) {
  const auto good = from_hex(vectors()["multiaddr"][0]["bytes"]);
  for (std::size_t n = 0; n < good.size(); ++n) {
    if (n == 5 || n == 8) continue;  // whole components
    EXPECT_FALSE(Multiaddr::from_bytes(Bytes(good).first(n))) << n;
  }
  EXPECT_FALSE(Multiaddr::from_bytes(from_hex("350361622f")));  // a name with a slash
  EXPECT_FALSE(Multiaddr::from_bytes(from_hex("8000")));        // a varint too long
}

}  // namespace
}  // namespace corelay::libp2p
