// Identify messages and signed peer records, against js-libp2p's bytes and against broken ones.
#include "control/libp2p/identify.h"

#include <gtest/gtest.h>

#include "control/libp2p/fields.h"
#include "control/libp2p/peer_record.h"
#include "control/libp2p/public_key.h"
#include "tests/control/libp2p_vectors.h"

namespace corelay::libp2p {
namespace {

Identity identity_of(const std::string& seed_hex) {
  const auto bytes = from_hex(seed_hex);
  std::array<std::uint8_t, 32> seed{};
  std::copy_n(bytes.begin(), seed.size(), seed.begin());
  return Identity::from_seed(seed);
}

std::vector<Multiaddr> addresses_of(const nlohmann::json& texts) {
  std::vector<Multiaddr> addresses;
  for (const auto& text : texts)
    addresses.push_back(Multiaddr::parse(text.get<std::string>()).value());
  return addresses;
}

TEST(PeerRecordTest, MatchesJs) {
  const auto& v = vectors()["peer_record"];
  const Identity identity = identity_of(v["seed"]);
  const auto addresses = addresses_of(v["addrs"]);
  EXPECT_EQ(to_hex(seal_peer_record(identity, v["seq"], addresses)), v["envelope"]);
  const auto record = open_peer_record(from_hex(v["envelope"]));
  ASSERT_TRUE(record) << record.error().describe();
  EXPECT_EQ(record->peer, identity.peer_id());
  EXPECT_EQ(record->sequence, v["seq"]);
  EXPECT_EQ(record->addresses, addresses);
}

TEST(PeerRecordTest, AcceptsTheOlderForm) {
  const Identity identity = Identity::generate();
  std::vector<std::uint8_t> payload;
  append_field(payload, 1, identity.peer_id().bytes());
  append_field(payload, 2, std::uint64_t{7});
  std::vector<std::uint8_t> text;
  for (const Bytes part : {as_bytes("libp2p-routing-state"),
                           as_bytes("/libp2p/routing-state-record"), Bytes(payload)}) {
    append_varint(text, part.size());
    append_bytes(text, part);
  }
  std::vector<std::uint8_t> envelope;
  append_field(envelope, 1, format_key_message(KeyType::ed25519, identity.public_key()));
  append_field(envelope, 2, as_bytes("/libp2p/routing-state-record"));
  append_field(envelope, 3, payload);
  append_field(envelope, 5, identity.sign(text));
  EXPECT_EQ(open_peer_record(envelope).value().sequence, 7u);
}

TEST(PeerRecordTest, RefusesForgeries) {
  const Identity identity = Identity::generate();
  const auto good = seal_peer_record(identity, 1, {});
  for (std::size_t at = 0; at < good.size(); ++at) {
    auto changed = good;
    changed[at] ^= 1;
    EXPECT_FALSE(open_peer_record(changed)) << at;
    EXPECT_FALSE(open_peer_record(Bytes(good).first(at))) << at;
  }
  // A record about somebody else, signed properly by its sender.
  std::vector<std::uint8_t> payload;
  append_field(payload, 1, Identity::generate().peer_id().bytes());
  std::vector<std::uint8_t> text;
  for (const Bytes part : {as_bytes("libp2p-peer-record"), as_bytes("\x03\x01"), Bytes(payload)}) {
    append_varint(text, part.size());
    append_bytes(text, part);
  }
  std::vector<std::uint8_t> envelope;
  append_field(envelope, 1, format_key_message(KeyType::ed25519, identity.public_key()));
  append_field(envelope, 2, as_bytes("\x03\x01"));
  append_field(envelope, 3, payload);
  append_field(envelope, 5, identity.sign(text));
  EXPECT_EQ(open_peer_record(envelope).error().code, ErrorCode::unauthenticated);
}

TEST(IdentifyTest, ReadsAJsMessage) {
  const Identity identity = identity_of(vectors()["identity"][0]["seed"]);
  PeerIdentity peer;
  ASSERT_TRUE(merge_identify(from_hex(vectors()["identify"]["msg"]), identity.peer_id(), peer));
  EXPECT_FALSE(peer.agent_version.empty());
  EXPECT_FALSE(peer.protocol_version.empty());
  EXPECT_FALSE(peer.protocols.empty());
  ASSERT_FALSE(peer.listen_addresses.empty());
  EXPECT_EQ(peer.listen_addresses[0].text(), "/ip4/127.0.0.1/tcp/7070");
}

TEST(IdentifyTest, RoundTripsWithASignedRecord) {
  const Identity identity = Identity::generate();
  PeerIdentity ours;
  ours.agent_version = "corelay/1";
  ours.protocol_version = "ipfs/0.1.0";
  ours.protocols = {"/a", "/b"};
  ours.listen_addresses = {Multiaddr::parse("/ip4/10.0.0.1/tcp/1").value(),
                           Multiaddr::parse("/dns4/x.y/tcp/2").value()};
  const auto message =
      format_identify(identity, ours, Multiaddr::parse("/ip4/1.2.3.4/tcp/5").value(), 9);
  PeerIdentity peer;
  ASSERT_TRUE(merge_identify(message, identity.peer_id(), peer));
  EXPECT_EQ(peer.agent_version, ours.agent_version);
  EXPECT_EQ(peer.protocol_version, ours.protocol_version);
  EXPECT_EQ(peer.protocols, ours.protocols);
  EXPECT_EQ(peer.listen_addresses, ours.listen_addresses);

  // The record names another peer than the connection's: only the plain list counts.
  PeerIdentity other;
  std::vector<std::uint8_t> forged;
  append_field(forged, 8, seal_peer_record(Identity::generate(), 1, ours.listen_addresses));
  ASSERT_TRUE(merge_identify(forged, identity.peer_id(), other));
  EXPECT_TRUE(other.listen_addresses.empty());
}

TEST(IdentifyTest, LaterMessagesAddAndReplace) {
  const PeerId id = Identity::generate().peer_id();
  PeerIdentity peer;
  std::vector<std::uint8_t> first;
  append_field(first, 6, as_bytes("one"));
  append_field(first, 3, as_bytes("/a"));
  std::vector<std::uint8_t> second;
  append_field(second, 3, as_bytes("/b"));
  ASSERT_TRUE(merge_identify(first, id, peer));
  ASSERT_TRUE(merge_identify(second, id, peer));
  EXPECT_EQ(peer.agent_version, "one");
  EXPECT_EQ(peer.protocols, std::vector<std::string>{"/b"});
  EXPECT_FALSE(merge_identify(from_hex("0aff"), id, peer));
  EXPECT_EQ(peer.agent_version, "one");
}

TEST(IdentifyTest, WhatIsSentFitsRustsLimit) {
  const Identity identity = Identity::generate();
  PeerIdentity ours;
  for (int i = 0; i < 500; ++i) {
    ours.listen_addresses.push_back(
        Multiaddr::parse("/ip4/10.0.0.1/tcp/" + std::to_string(1000 + i)).value());
  }
  ours.protocols = {"/a", "/b"};
  const auto message = format_identify(identity, ours, std::nullopt, 1);
  EXPECT_LE(message.size(), 4096u);
  PeerIdentity peer;
  ASSERT_TRUE(merge_identify(message, identity.peer_id(), peer));
  EXPECT_FALSE(peer.listen_addresses.empty());
  EXPECT_EQ(peer.protocols, ours.protocols);
  for (int i = 0; i < 300; ++i)
    ours.protocols.push_back("/a/long/protocol/name/" + std::to_string(i));
  EXPECT_LE(format_identify(identity, ours, std::nullopt, 1).size(), 4096u);
}

TEST(IdentifyTest, WhatIsReadIsBounded) {
  std::vector<std::uint8_t> message;
  for (int i = 0; i < 2000; ++i) append_field(message, 3, as_bytes("/p"));
  append_field(message, 6, as_bytes(std::string(5000, 'x')));
  PeerIdentity peer;
  ASSERT_TRUE(merge_identify(message, Identity::generate().peer_id(), peer));
  EXPECT_EQ(peer.protocols.size(), 256u);
  EXPECT_EQ(peer.agent_version.size(), 256u);
}

}  // namespace
}  // namespace corelay::libp2p
