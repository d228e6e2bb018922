// Sessions: what is sealed is opened by the peer alone, once, unchanged; whatever else arrives changes nothing. Run on
// every AEAD backend of this CPU.
#include <gtest/gtest.h>

#include <algorithm>
#include <tuple>

#include "codec/rng.h"
#include "dataplane/core/session_table.h"
#include "tests/dataplane/wire_golden.h"

namespace corelay::dataplane {
namespace {

using golden::Buffer;

constexpr Instant start{1'000'000'000};

std::vector<AeadBackend> backends() {
  std::vector<AeadBackend> out{AeadBackend::openssl};
  if (probe_aead_backend() == AeadBackend::ipsec_mb) out.push_back(AeadBackend::ipsec_mb);
  return out;
}

/// A at peer index 3 of B, B at peer index 1 of A.
class Session : public ::testing::TestWithParam<AeadBackend> {
 protected:
  static constexpr PeerIndex a_at_b = 3;
  static constexpr PeerIndex b_at_a = 1;

  Session() : a(0, 4, GetParam()), b(0, 4, GetParam()) {
    a.install(start, b_at_a, golden::session_keys());
    b.install(start, a_at_b, golden::swapped(golden::session_keys()));
  }

  Buffer sealed(Bytes frame = as_bytes("a frame")) {
    Buffer out(frame.size() + datagram_overhead_bytes);
    EXPECT_EQ(a.seal(b_at_a, frame, out.data()), out.size());
    return out;
  }

  static Open open_copy(SessionTable& table, Instant now, Buffer datagram) { return table.open(now, datagram).outcome; }

  SessionTable a;
  SessionTable b;
};

INSTANTIATE_TEST_SUITE_P(Backends, Session, ::testing::ValuesIn(backends()), [](const auto& param_info) {
  return param_info.param == AeadBackend::openssl ? std::string("openssl") : std::string("ipsec_mb");
});

TEST_P(Session, EveryGoldenFrameComesThrough) {
  ASSERT_EQ(a.backend(), GetParam());
  for (const golden::Frame& frame : golden::frames()) {
    Buffer datagram = sealed(frame.bytes);
    const Opened opened = b.open(start, datagram);
    ASSERT_EQ(opened.outcome, Open::opened) << frame.name;
    EXPECT_EQ(opened.peer, a_at_b);
    EXPECT_EQ(opened.frame.data(), datagram.data() + datagram_header_bytes);
    EXPECT_TRUE(std::equal(opened.frame.begin(), opened.frame.end(), frame.bytes.begin(), frame.bytes.end()));
  }
}

TEST_P(Session, EveryFrameLengthComesThroughBothWays) {
  for (std::size_t bytes = 1; bytes <= datagram_bytes_max - datagram_overhead_bytes; bytes += bytes < 300 ? 1 : 17) {
    const Buffer frame = golden::payload_of(bytes);
    Buffer there = sealed(frame);
    EXPECT_EQ(Bytes{there}.size(), bytes + 32);
    const Opened at_b = b.open(start, there);
    ASSERT_EQ(at_b.outcome, Open::opened) << bytes;
    ASSERT_TRUE(std::equal(at_b.frame.begin(), at_b.frame.end(), frame.begin(), frame.end())) << bytes;
    Buffer back(bytes + 32);
    ASSERT_EQ(b.seal(a_at_b, frame, back.data()), back.size());
    const Opened at_a = a.open(start, back);
    ASSERT_EQ(at_a.outcome, Open::opened) << bytes;
    EXPECT_EQ(at_a.peer, b_at_a);
    ASSERT_TRUE(std::equal(at_a.frame.begin(), at_a.frame.end(), frame.begin(), frame.end())) << bytes;
  }
}

TEST_P(Session, EverySingleByteChangeIsRefusedAndChangesNothing) {
  std::ignore = sealed();  // so that no changed bit makes the packet number 0
  const Buffer datagram = sealed(golden::frame("single").bytes);
  for (std::size_t i = 0; i != datagram.size(); ++i) {
    for (const std::uint8_t change : {std::uint8_t{1}, std::uint8_t{0x80}, std::uint8_t{0xff}}) {
      Buffer changed = datagram;
      changed[i] ^= change;
      const Open outcome = open_copy(b, start, changed);
      ASSERT_NE(outcome, Open::opened) << "byte " << i;
      if (i >= 8) {
        EXPECT_TRUE(outcome == Open::unauthentic || (i >= 14 && i < 16 && outcome == Open::malformed)) << "byte " << i;
      }
    }
  }
  // A forged high packet number must not have moved the window, nor a forged copy have used this number up.
  EXPECT_EQ(open_copy(b, start, datagram), Open::opened);
  EXPECT_EQ(open_copy(b, start, datagram), Open::replayed);
}

TEST_P(Session, EveryTruncationIsRefused) {
  const Buffer datagram = sealed(golden::frame("coded-seed").bytes);
  for (std::size_t bytes = 0; bytes != datagram.size(); ++bytes) {
    Buffer cut(datagram.begin(), datagram.begin() + static_cast<std::ptrdiff_t>(bytes));
    EXPECT_EQ(b.open(start, cut).outcome, bytes <= 32 ? Open::malformed : Open::unauthentic) << bytes;
  }
  EXPECT_EQ(open_copy(b, start, datagram), Open::opened);
}

TEST_P(Session, ChecksStandInTheOrderOfTheSpecification) {
  const Buffer good = sealed();
  ASSERT_EQ(open_copy(b, start, good), Open::opened);
  const auto with = [&](std::initializer_list<std::pair<std::size_t, std::uint8_t>> changes) {
    Buffer datagram = good;
    for (const auto& [at, value] : changes) datagram[at] = value;
    return open_copy(b, start, datagram);
  };
  EXPECT_EQ(with({{0, 2}, {2, 9}, {4, 0}}), Open::malformed);
  EXPECT_EQ(with({{1, source_lanes_max}, {2, 9}}), Open::malformed);
  EXPECT_EQ(with({{3, 1}, {2, 9}}), Open::malformed);
  EXPECT_EQ(with({{8, 0}, {2, 9}}), Open::malformed);   // packet number 0
  EXPECT_EQ(with({{14, 1}, {2, 9}}), Open::malformed);  // 2^48 and above
  EXPECT_EQ(with({{2, 9}, {4, 0}}), Open::wrong_lane);
  EXPECT_EQ(with({{4, 0}}), Open::unknown_key);
  EXPECT_EQ(with({{16, 0}}), Open::replayed);
  EXPECT_EQ(with({{8, 2}}), Open::unauthentic);
  Buffer longer(datagram_bytes_max + 1);
  std::copy(good.begin(), good.end(), longer.begin());
  EXPECT_EQ(b.open(start, longer).outcome, Open::malformed);
}

TEST_P(Session, ReorderedPacketsOpenOnceWithinTheWindow) {
  Rng rng(20);
  std::vector<Buffer> datagrams;
  for (int i = 0; i != 1024; ++i) datagrams.push_back(sealed());
  for (std::size_t i = datagrams.size() - 1; i != 0; --i) std::swap(datagrams[i], datagrams[rng.below(i + 1)]);
  for (const Buffer& datagram : datagrams) ASSERT_EQ(open_copy(b, start, datagram), Open::opened);
  for (const Buffer& datagram : datagrams) ASSERT_EQ(open_copy(b, start, datagram), Open::replayed);
}

TEST_P(Session, WindowMatchesASetOfNumbers) {
  Rng rng(21);
  std::vector<Buffer> datagrams{Buffer{}};  // index = packet number
  for (int i = 0; i != 9000; ++i) datagrams.push_back(sealed());
  std::vector<bool> seen(datagrams.size());
  std::size_t highest = 0;
  for (int i = 0; i != 20'000; ++i) {
    std::size_t number = highest + 1 + rng.below(3);
    if (rng.chance(0.5)) number = highest + 20 - std::min<std::size_t>(highest + 19, rng.below(1100));
    if (rng.chance(0.002)) number = highest + 1 + rng.below(1500);
    if (number >= datagrams.size()) break;
    const bool fresh = !seen[number] && (number > highest || highest - number < replay_window_packets);
    ASSERT_EQ(open_copy(b, start, datagrams[number]), fresh ? Open::opened : Open::replayed)
        << number << " at " << highest;
    seen[number] = true;
    highest = std::max(highest, number);
  }
  EXPECT_GT(highest, 3000u);
}

TEST_P(Session, FarFutureMovesTheWindow) {
  std::vector<Buffer> datagrams{Buffer{}};
  for (int i = 0; i != 5000; ++i) datagrams.push_back(sealed());
  EXPECT_EQ(open_copy(b, start, datagrams[1]), Open::opened);
  EXPECT_EQ(open_copy(b, start, datagrams[5000]), Open::opened);
  EXPECT_EQ(open_copy(b, start, datagrams[2]), Open::replayed);
  EXPECT_EQ(open_copy(b, start, datagrams[5000 - 1024]), Open::replayed);
  EXPECT_EQ(open_copy(b, start, datagrams[5000 - 1023]), Open::opened);
  EXPECT_EQ(open_copy(b, start, datagrams[5000 - 1023]), Open::replayed);
}

TEST_P(Session, SourceLanesHaveWindowsOfTheirOwn) {
  const auto datagram = [](std::uint8_t lane, SessionTable& table) {
    Buffer out(16 + 32);
    EXPECT_EQ(table.seal(b_at_a, Buffer(16), out.data()), out.size());
    EXPECT_EQ(out[1], lane);
    EXPECT_EQ(out[2], lane);
    return out;
  };
  SessionTable a5(5, 4, GetParam());
  SessionTable b5(5, 4, GetParam());
  a5.install(start, b_at_a, golden::session_keys());
  b5.install(start, a_at_b, golden::swapped(golden::session_keys()));
  const Buffer from_5 = datagram(5, a5);
  EXPECT_EQ(open_copy(b5, start, from_5), Open::opened);
  EXPECT_EQ(open_copy(b, start, from_5), Open::wrong_lane);
  // The nonce has the source lane in it: the same number from another lane is another packet.
  const Buffer from_0 = datagram(0, a);
  EXPECT_FALSE(std::equal(from_0.begin() + 16, from_0.end() - 16, from_5.begin() + 16));
  EXPECT_EQ(open_copy(b, start, from_0), Open::opened);
}

TEST_P(Session, RekeyOverlaps) {
  const Buffer before = sealed();
  const Buffer late = sealed();
  const Buffer too_late = sealed();
  SessionKeys next = golden::session_keys();
  next.send.key_id = 500;
  next.send.key.fill(9);
  next.receive.key_id = 501;
  next.receive.key.fill(10);
  b.install(start, a_at_b, golden::swapped(next));
  EXPECT_EQ(open_copy(b, start, before), Open::opened);
  a.install(start, b_at_a, next);
  a.on_time(start + rekey_switch);
  const Buffer after = sealed();
  EXPECT_EQ(load_le<std::uint32_t>(&after[4]), 500u);
  EXPECT_EQ(load_le<std::uint64_t>(&after[8]), 1u);
  EXPECT_EQ(open_copy(b, start, after), Open::opened);
  EXPECT_EQ(open_copy(b, start + rekey_grace - Duration{1}, late), Open::opened);
  EXPECT_EQ(open_copy(b, start + rekey_grace, too_late), Open::unknown_key);
  EXPECT_EQ(open_copy(b, start + rekey_grace, sealed()), Open::opened);
}

/// Key ids differ from those of `before`, as they do in every rekey.
SessionKeys next_keys(SessionKeys before) {
  for (DirectionKeys* keys : {&before.send, &before.receive}) {
    keys->key_id += 1000;
    ++keys->key[0];
  }
  return before;
}

TEST_P(Session, NothingIsLostWhenOneSideInstallsItsNewKeysLater) {
  const SessionKeys next = next_keys(golden::session_keys());
  a.install(start, b_at_a, next);
  // B has not read the end of the exchange: it holds the old keys only, and both ways stay open.
  EXPECT_EQ(open_copy(b, start, sealed()), Open::opened);
  Buffer back(8 + 32);
  ASSERT_NE(b.seal(a_at_b, as_bytes("12345678"), back.data()), 0u);
  EXPECT_EQ(open_copy(a, start, back), Open::opened);
  EXPECT_EQ(open_copy(b, start, sealed()), Open::opened);
  // B installs, and still nothing is known of the other: until one goes first.
  b.install(start + seconds(1), a_at_b, golden::swapped(next));
  EXPECT_EQ(open_copy(b, start + seconds(1), sealed()), Open::opened);
  a.on_time(start + rekey_switch - Duration{1});
  EXPECT_EQ(load_le<std::uint32_t>(&sealed()[4]), golden::session_keys().send.key_id);
  a.on_time(start + rekey_switch);
  const Buffer first = sealed();
  EXPECT_EQ(load_le<std::uint32_t>(&first[4]), next.send.key_id);
  EXPECT_EQ(load_le<std::uint64_t>(&first[8]), 1u);
  EXPECT_EQ(open_copy(b, start + rekey_switch, first), Open::opened);
  // B has seen A use the new keys, so it uses them too, before its own time is over.
  ASSERT_NE(b.seal(a_at_b, as_bytes("12345678"), back.data()), 0u);
  EXPECT_EQ(load_le<std::uint32_t>(&back[4]), next.receive.key_id);
  EXPECT_EQ(open_copy(a, start + rekey_switch, back), Open::opened);
}

TEST_P(Session, ARekeyRightAfterAnotherSendsUnderKeysThatBothSidesHold) {
  const SessionKeys second = next_keys(golden::session_keys());
  const SessionKeys third = next_keys(second);
  a.install(start, b_at_a, second);
  b.install(start, a_at_b, golden::swapped(second));
  b.install(start, a_at_b, golden::swapped(third));
  a.install(start, b_at_a, third);
  const Buffer datagram = sealed();
  EXPECT_EQ(load_le<std::uint32_t>(&datagram[4]), second.send.key_id);
  EXPECT_EQ(open_copy(b, start, datagram), Open::opened);
}

TEST_P(Session, ACopyUnderTheOldKeysDoesNotSwitchTheOtherSide) {
  const Buffer old = sealed();
  const SessionKeys next = next_keys(golden::session_keys());
  b.install(start, a_at_b, golden::swapped(next));
  EXPECT_EQ(open_copy(b, start, old), Open::opened);
  Buffer back(8 + 32);
  ASSERT_NE(b.seal(a_at_b, as_bytes("12345678"), back.data()), 0u);
  EXPECT_EQ(open_copy(a, start, back), Open::opened);
}

TEST_P(Session, SecondRekeyEndsTheOldestKeys) {
  const Buffer first = sealed();
  SessionKeys second_keys = golden::session_keys();
  second_keys.send.key_id = 600;
  a.install(start, b_at_a, second_keys);
  b.install(start, a_at_b, golden::swapped(second_keys));
  a.on_time(start + rekey_switch);
  const Buffer second = sealed();
  SessionKeys third_keys = second_keys;
  third_keys.send.key_id = 700;
  a.install(start, b_at_a, third_keys);
  b.install(start, a_at_b, golden::swapped(third_keys));
  EXPECT_EQ(open_copy(b, start, first), Open::unknown_key);
  EXPECT_EQ(open_copy(b, start, second), Open::opened);
  EXPECT_EQ(open_copy(b, start, sealed()), Open::opened);
}

TEST_P(Session, RekeyMayKeepTheKeyId) {
  const Buffer old = sealed();
  SessionKeys next = golden::session_keys();
  next.send.key.fill(1);
  a.install(start, b_at_a, next);
  b.install(start, a_at_b, golden::swapped(next));
  EXPECT_EQ(open_copy(b, start, old), Open::unauthentic);
  EXPECT_EQ(open_copy(b, start, sealed()), Open::opened);
}

TEST_P(Session, RemovedSessionsOpenAndSealNothing) {
  const Buffer before = sealed();
  EXPECT_TRUE(a.has(b_at_a));
  EXPECT_FALSE(a.has(0));
  EXPECT_FALSE(a.has(peer_none));
  b.remove(a_at_b);
  b.remove(a_at_b);
  EXPECT_FALSE(b.has(a_at_b));
  EXPECT_EQ(open_copy(b, start, before), Open::unknown_key);
  Buffer out(40);
  EXPECT_EQ(b.seal(a_at_b, as_bytes("x"), out.data()), 0u);
  EXPECT_EQ(b.seal(peer_none, as_bytes("x"), out.data()), 0u);
  // The index may be used again, by a session that knows nothing of the one before.
  SessionKeys keys = golden::session_keys();
  keys.send.key.fill(3);
  a.install(start, b_at_a, keys);
  b.install(start, a_at_b, golden::swapped(keys));
  EXPECT_EQ(open_copy(b, start, before), Open::unauthentic);
  EXPECT_EQ(open_copy(b, start, sealed()), Open::opened);
}

TEST_P(Session, KeyIdInUsePassesToTheNewSession) {
  SessionTable c(0, 4, GetParam());
  SessionKeys keys = golden::session_keys();
  keys.send.key.fill(4);
  c.install(start, 0, keys);
  b.install(start, 0, golden::swapped(keys));  // the receive key id of peer 3
  Buffer out(8 + 32);
  ASSERT_NE(c.seal(0, as_bytes("12345678"), out.data()), 0u);
  const Opened opened = b.open(start, out);
  EXPECT_EQ(opened.outcome, Open::opened);
  EXPECT_EQ(opened.peer, 0);
  std::ignore = sealed();  // its number 1 would be a replay
  EXPECT_EQ(open_copy(b, start, sealed()), Open::unauthentic);
  b.remove(a_at_b);
  ASSERT_NE(c.seal(0, as_bytes("12345678"), out.data()), 0u);
  EXPECT_EQ(b.open(start, out).outcome, Open::opened);
}

/// Many sessions coming and going with arbitrary key ids: the id table always finds exactly the live ones.
TEST_P(Session, KeyIdsAreFoundThroughChurn) {
  constexpr std::size_t peers = 64;
  SessionTable hub(0, peers, GetParam());
  SessionTable spokes(0, peers, GetParam());
  Rng rng(7);
  std::vector<std::uint32_t> ids(peers, 0);
  std::vector<Buffer> stale;
  Instant now = start;
  for (int step = 0; step != 4000; ++step) {
    const auto peer = static_cast<PeerIndex>(rng.below(peers));
    now = now + milliseconds(200);
    if (ids[peer] != 0 && rng.chance(0.4)) {
      Buffer last(33);
      ASSERT_NE(spokes.seal(peer, as_bytes("s"), last.data()), 0u);
      hub.remove(peer);
      spokes.remove(peer);
      ids[peer] = 0;
      ASSERT_EQ(open_copy(hub, now, last), Open::unknown_key);
    } else {
      SessionKeys keys;
      // Neighbouring ids and ids far apart: both kinds of collision chains.
      keys.send.key_id =
          static_cast<std::uint32_t>(rng.chance(0.5) ? rng.next() : 1000u + static_cast<std::uint32_t>(step));
      keys.receive.key_id = keys.send.key_id;
      keys.send.key[0] = static_cast<std::uint8_t>(step);
      keys.receive.key = keys.send.key;
      hub.install(now, peer, keys);
      spokes.install(now, peer, keys);
      ids[peer] = keys.send.key_id;
    }
    const auto other = static_cast<PeerIndex>(rng.below(peers));
    Buffer out(33);
    spokes.on_time(now);
    const std::size_t bytes = spokes.seal(other, as_bytes("x"), out.data());
    ASSERT_EQ(bytes != 0, ids[other] != 0);
    if (bytes != 0) {
      const Opened opened = hub.open(now, out);
      ASSERT_EQ(opened.outcome, Open::opened) << step;
      ASSERT_EQ(opened.peer, other);
    }
  }
}

}  // namespace
}  // namespace corelay::dataplane
