// The Noise handshake and the records after it, against the cacophony vector and against
// js-libp2p's bytes.
#include <gtest/gtest.h>

#include "codec/rng.h"
#include "control/libp2p/noise.h"
#include "control/libp2p/noise_payload.h"
#include "control/libp2p/record.h"
#include "control/libp2p/varint.h"
#include "tests/control/libp2p_vectors.h"

namespace corelay::libp2p {
namespace {

Key32 key_of(const std::string& hex) {
  const auto bytes = from_hex(hex);
  Key32 key{};
  std::copy_n(bytes.begin(), key.size(), key.begin());
  return key;
}

NoiseKeys keys_of(const std::string& hex) { return NoiseKeys::from_secret(key_of(hex)); }

std::vector<std::uint8_t> sealed_record(RecordCipher& cipher, Bytes plain) {
  std::vector<std::uint8_t> out(record_header_bytes);
  append_bytes(out, plain);
  EXPECT_TRUE(cipher.seal(out, record_header_bytes));
  return out;
}

TEST(NoiseTest, MatchesCacophony) {
  const auto& v = vectors()["noise_xx_cacophony"];
  const auto prologue = from_hex(v["init_prologue"]);
  NoiseHandshake dialer(Role::dialer, keys_of(v["init_static"]), keys_of(v["init_ephemeral"]),
                        prologue);
  NoiseHandshake listener(Role::listener, keys_of(v["resp_static"]), keys_of(v["resp_ephemeral"]),
                          prologue);
  for (std::size_t i = 0; i < 3; ++i) {
    NoiseHandshake& writer = i % 2 == 0 ? dialer : listener;
    NoiseHandshake& reader = i % 2 == 0 ? listener : dialer;
    ASSERT_TRUE(writer.is_our_turn());
    ASSERT_FALSE(reader.is_our_turn());
    const auto message = writer.write_message(from_hex(v["messages"][i]["payload"]));
    ASSERT_TRUE(message);
    EXPECT_EQ(to_hex(*message), v["messages"][i]["ciphertext"]) << i;
    const auto payload = reader.read_message(*message);
    ASSERT_TRUE(payload) << payload.error().describe();
    EXPECT_EQ(to_hex(*payload), v["messages"][i]["payload"]);
  }
  ASSERT_TRUE(dialer.is_done() && listener.is_done());
  EXPECT_EQ(to_hex(dialer.secrets().handshake_hash), v["handshake_hash"]);
  EXPECT_EQ(dialer.secrets().handshake_hash, listener.secrets().handshake_hash);
  RecordCipher from_dialer(dialer.secrets().send);
  RecordCipher from_listener(listener.secrets().send);
  for (std::size_t i = 3; i < v["messages"].size(); ++i) {
    const auto plain = from_hex(v["messages"][i]["payload"]);
    const auto record = sealed_record(i % 2 == 0 ? from_dialer : from_listener, plain);
    EXPECT_EQ(to_hex(Bytes(record).subspan(2)), v["messages"][i]["ciphertext"]) << i;
  }
}

TEST(NoiseTest, MatchesJsHandshake) {
  const auto& v = vectors()["noise_xx"];
  const Identity dialer_identity = Identity::from_seed(key_of(v["init_identity_seed"]));
  const Identity listener_identity = Identity::from_seed(key_of(v["resp_identity_seed"]));
  const NoiseKeys dialer_static = keys_of(v["init_static"]);
  const NoiseKeys listener_static = keys_of(v["resp_static"]);
  EXPECT_EQ(to_hex(dialer_static.public_key), v["init_static_pub"]);
  NoiseHandshake dialer(Role::dialer, dialer_static, keys_of(v["init_ephemeral"]));
  NoiseHandshake listener(Role::listener, listener_static, keys_of(v["resp_ephemeral"]));

  const std::array<std::string_view, 1> muxers{"/yamux/1.0.0"};
  const auto payload_dialer =
      format_noise_payload(dialer_identity, dialer_static.public_key, muxers);
  const auto payload_listener =
      format_noise_payload(listener_identity, listener_static.public_key, muxers);
  EXPECT_EQ(to_hex(payload_dialer), v["payload_init"]);
  EXPECT_EQ(to_hex(payload_listener), v["payload_resp"]);

  const auto message1 = dialer.write_message({}).value();
  EXPECT_EQ(to_hex(message1), v["msg1"]);
  ASSERT_TRUE(listener.read_message(message1));
  const auto message2 = listener.write_message(payload_listener).value();
  EXPECT_EQ(to_hex(message2), v["msg2"]);
  const auto got2 = dialer.read_message(message2).value();
  const auto peer = parse_noise_payload(got2, dialer.remote_static());
  ASSERT_TRUE(peer) << peer.error().describe();
  EXPECT_EQ(peer->peer, listener_identity.peer_id());
  EXPECT_EQ(peer->muxers, std::vector<std::string>{"/yamux/1.0.0"});
  const auto message3 = dialer.write_message(payload_dialer).value();
  EXPECT_EQ(to_hex(message3), v["msg3"]);
  ASSERT_TRUE(listener.read_message(message3));

  const NoiseSecrets secrets = dialer.secrets();
  EXPECT_EQ(to_hex(secrets.handshake_hash), v["handshake_hash"]);
  EXPECT_EQ(to_hex(secrets.send), v["k_initiator_to_responder"]);
  EXPECT_EQ(to_hex(secrets.receive), v["k_responder_to_initiator"]);
  EXPECT_EQ(secrets.send, listener.secrets().receive);

  RecordCipher send(secrets.send);
  RecordCipher receive(listener.secrets().send);
  EXPECT_EQ(to_hex(Bytes(sealed_record(send, from_hex(v["t1_plain"]))).subspan(2)), v["t1_i2r_n0"]);
  EXPECT_EQ(to_hex(Bytes(sealed_record(receive, from_hex(v["t2_plain"]))).subspan(2)),
            v["t2_r2i_n0"]);
  EXPECT_EQ(to_hex(Bytes(sealed_record(send, {})).subspan(2)), v["t3_i2r_n1_empty"]);
}

TEST(NoiseTest, EveryChangedByteOfAMessageIsRefused) {
  const auto& v = vectors()["noise_xx"];
  const auto message1 = from_hex(v["msg1"]);
  const auto message2 = from_hex(v["msg2"]);
  for (std::size_t i = 0; i < message2.size(); i += 7) {
    NoiseHandshake dialer(Role::dialer, keys_of(v["init_static"]), keys_of(v["init_ephemeral"]));
    ASSERT_TRUE(dialer.write_message({}));
    auto changed = message2;
    changed[i] ^= 4;
    EXPECT_FALSE(dialer.read_message(changed)) << i;
  }
  for (std::size_t n = 0; n < message2.size(); n += 5) {
    NoiseHandshake dialer(Role::dialer, keys_of(v["init_static"]), keys_of(v["init_ephemeral"]));
    ASSERT_TRUE(dialer.write_message({}));
    EXPECT_FALSE(dialer.read_message(Bytes(message2).first(n))) << n;
  }
}

TEST(NoiseTest, RefusesAKeyThatGivesNoSecret) {
  NoiseHandshake listener(Role::listener, NoiseKeys::generate(), NoiseKeys::generate());
  ASSERT_TRUE(listener.read_message(std::vector<std::uint8_t>(32, 0)));
  EXPECT_EQ(listener.write_message({}).error().code, ErrorCode::unauthenticated);
}

TEST(NoisePayloadTest, RefusesForeignSignaturesAndGarbage) {
  const Identity identity = Identity::generate();
  const NoiseKeys ours = NoiseKeys::generate();
  const NoiseKeys other = NoiseKeys::generate();
  const auto payload = format_noise_payload(identity, ours.public_key, {});
  const auto peer = parse_noise_payload(payload, ours.public_key);
  ASSERT_TRUE(peer);
  EXPECT_TRUE(peer->muxers.empty());
  EXPECT_EQ(parse_noise_payload(payload, other.public_key).error().code,
            ErrorCode::unauthenticated);
  EXPECT_EQ(parse_noise_payload({}, ours.public_key).error().code, ErrorCode::malformed);
  for (std::size_t n = 0; n < payload.size(); ++n) {
    EXPECT_FALSE(parse_noise_payload(Bytes(payload).first(n), ours.public_key)) << n;
  }
}

TEST(RecordTest, CutsAStreamAtAnySplit) {
  std::vector<std::uint8_t> stream;
  std::vector<std::vector<std::uint8_t>> messages;
  Rng rng(7);
  for (const std::size_t size : {0u, 1u, 300u, 65535u, 2u}) {
    std::vector<std::uint8_t> message(size);
    for (auto& byte : message) byte = static_cast<std::uint8_t>(rng.next());
    append_record(stream, message);
    messages.push_back(std::move(message));
  }
  for (int round = 0; round < 20; ++round) {
    RecordReader reader;
    std::size_t at = 0;
    std::size_t seen = 0;
    while (at < stream.size()) {
      const std::size_t step =
          std::min<std::size_t>(1 + rng.below(round < 10 ? 5000 : 90000), stream.size() - at);
      reader.add(Bytes(stream).subspan(at, step));
      at += step;
      while (const auto record = reader.next()) {
        ASSERT_LT(seen, messages.size());
        EXPECT_EQ(std::vector<std::uint8_t>(record->begin(), record->end()), messages[seen++]);
      }
    }
    EXPECT_EQ(seen, messages.size());
  }
}

TEST(RecordTest, OpensInOrderOnly) {
  Key32 key{};
  key[3] = 9;
  RecordCipher send(key);
  auto first = sealed_record(send, as_bytes("first"));
  auto second = sealed_record(send, as_bytes("second"));
  RecordCipher receive(key);
  auto swapped = second;
  EXPECT_EQ(receive.open(MutableBytes(swapped).subspan(2)).error().code,
            ErrorCode::unauthenticated);
  RecordCipher receive_again(key);
  EXPECT_EQ(as_text(receive_again.open(MutableBytes(first).subspan(2)).value()), "first");
  EXPECT_EQ(as_text(receive_again.open(MutableBytes(second).subspan(2)).value()), "second");
  std::vector<std::uint8_t> short_record(15);
  EXPECT_EQ(receive_again.open(short_record).error().code, ErrorCode::malformed);
}

TEST(RecordTest, TheLargestRecordRoundTrips) {
  RecordCipher send(Key32{});
  RecordCipher receive(Key32{});
  const std::vector<std::uint8_t> plain(noise_plain_bytes_max, 0x5a);
  auto record = sealed_record(send, plain);
  ASSERT_EQ(record.size(), record_header_bytes + noise_message_bytes_max);
  const auto opened = receive.open(MutableBytes(record).subspan(2));
  ASSERT_TRUE(opened);
  EXPECT_TRUE(std::ranges::equal(*opened, plain));
}

}  // namespace
}  // namespace corelay::libp2p
