// Two links joined in memory: the whole way from the first byte to streams, whatever way the bytes
// are cut.
#include "control/libp2p/link.h"

#include <gtest/gtest.h>

#include <map>

#include "codec/rng.h"
#include "control/libp2p/varint.h"
#include "tests/control/libp2p_vectors.h"

namespace corelay::libp2p {
namespace {

/// Records what a session reports.
struct Seen : LinkEvents {
  void on_ready() override { ++ready; }
  void on_stream(std::uint32_t id) override { opened.push_back(id); }
  void on_data(std::uint32_t id, Bytes bytes) override { append_bytes(data[id], bytes); }
  void on_end(std::uint32_t id) override { ended.push_back(id); }
  void on_reset(std::uint32_t id) override { resets.push_back(id); }
  void on_pong(std::uint32_t value) override { pongs.push_back(value); }
  void on_go_away(std::uint32_t code) override { go_aways.push_back(code); }
  std::vector<std::uint32_t> opened, ended, resets, pongs, go_aways;
  std::map<std::uint32_t, std::vector<std::uint8_t>> data;
  int ready = 0;
};

struct Pair {
  explicit Pair(bool dialer_early = true, bool listener_early = true,
                std::optional<PeerId> expected = {})
      : dialer(dialer_identity, {Role::dialer, expected, {}, dialer_early}, dialer_seen),
        listener(listener_identity, {Role::listener, {}, {}, listener_early}, listener_seen) {}

  /// Moves bytes both ways, in steps drawn from `rng`, until nothing is left.
  void run(Rng& rng) {
    for (bool moved = true; moved;) {
      moved = move(dialer, listener, dialer_error, listener_error, rng);
      moved |= move(listener, dialer, listener_error, dialer_error, rng);
    }
  }
  static bool move(Link& from, Link& to, std::optional<Error>& from_error,
                   std::optional<Error>& to_error, Rng& rng) {
    if (!from.has_output()) return false;
    std::vector<std::uint8_t> bytes;
    const auto taken = from.take_output(bytes, 4096);
    if (!taken) from_error = taken.error();
    if (to_error) return !bytes.empty();
    for (std::size_t at = 0; at < bytes.size() && !to_error;) {
      const std::size_t step = std::min<std::size_t>(1 + rng.below(600), bytes.size() - at);
      const auto outcome = to.receive(Bytes(bytes).subspan(at, step));
      if (!outcome) to_error = outcome.error();
      at += step;
    }
    return !bytes.empty();
  }

  Identity dialer_identity = Identity::generate();
  Identity listener_identity = Identity::generate();
  Seen dialer_seen, listener_seen;
  Link dialer, listener;
  std::optional<Error> dialer_error, listener_error;
};

void expect_ready(Pair& pair) {
  ASSERT_FALSE(pair.dialer_error) << pair.dialer_error->describe();
  ASSERT_FALSE(pair.listener_error) << pair.listener_error->describe();
  ASSERT_TRUE(pair.dialer.is_ready());
  ASSERT_TRUE(pair.listener.is_ready());
  EXPECT_EQ(pair.dialer_seen.ready, 1);
  EXPECT_EQ(pair.listener_seen.ready, 1);
  EXPECT_EQ(pair.dialer.peer(), pair.listener_identity.peer_id());
  EXPECT_EQ(pair.listener.peer(), pair.dialer_identity.peer_id());
  EXPECT_EQ(pair.dialer.handshake_hash(), pair.listener.handshake_hash());
}

TEST(LinkTest, AgreesTheMuxerEarlyOrLate) {
  for (const bool dialer_early : {true, false}) {
    for (const bool listener_early : {true, false}) {
      Rng rng(11);
      Pair pair(dialer_early, listener_early);
      pair.run(rng);
      expect_ready(pair);
      EXPECT_EQ(pair.dialer.has_early_muxer(), dialer_early && listener_early);
      EXPECT_EQ(pair.listener.has_early_muxer(), dialer_early && listener_early);

      const std::uint32_t id = pair.dialer.session().open().value();
      EXPECT_TRUE(pair.dialer.session().write(id, as_bytes("hello")));
      pair.dialer.session().close_write(id);
      pair.run(rng);
      EXPECT_EQ(as_text(pair.listener_seen.data[id]), "hello");
      EXPECT_EQ(pair.listener_seen.ended, std::vector<std::uint32_t>{id});
    }
  }
}

TEST(LinkTest, WrongPeerIsRefused) {
  Rng rng(12);
  Pair pair(true, true, Identity::generate().peer_id());
  pair.run(rng);
  ASSERT_TRUE(pair.dialer_error);
  EXPECT_EQ(pair.dialer_error->code, ErrorCode::unauthenticated);
  EXPECT_NE(pair.dialer_error->what.find(pair.listener_identity.peer_id().text()),
            std::string::npos);
  EXPECT_FALSE(pair.dialer.is_ready());
  EXPECT_FALSE(pair.listener.is_ready()) << "the dialer must not prove itself to the wrong peer";
}

TEST(LinkTest, OurselvesAreRefused) {
  Rng rng(13);
  Pair pair;
  Seen seen;
  const Identity one = Identity::generate();
  Link dialer(one, {Role::dialer, {}, {}, true}, seen);
  Link listener(one, {Role::listener, {}, {}, true}, seen);
  std::optional<Error> a, b;
  for (int i = 0; i < 10; ++i) {
    Pair::move(dialer, listener, a, b, rng);
    Pair::move(listener, dialer, b, a, rng);
  }
  ASSERT_TRUE(a);
  EXPECT_EQ(a->code, ErrorCode::unauthenticated);
}

TEST(LinkTest, TlsIsAnsweredNaAndTheNextProposalTaken) {
  Seen seen;
  const Identity identity = Identity::generate();
  Link listener(identity, {Role::listener, {}, {}, true}, seen);
  const auto bytes = from_hex(
      "132f6d756c746973747265616d2f312e302e300a"
      "0b2f746c732f312e302e300a");
  ASSERT_TRUE(listener.receive(bytes));
  std::vector<std::uint8_t> out;
  ASSERT_TRUE(listener.take_output(out, 4096));
  EXPECT_EQ(to_hex(out), "132f6d756c746973747265616d2f312e302e300a036e610a");
  ASSERT_TRUE(listener.receive(from_hex(vectors()["multistream"]["/noise"])));
  out.clear();
  ASSERT_TRUE(listener.take_output(out, 4096));
  EXPECT_EQ(to_hex(out), vectors()["multistream"]["/noise"]);
}

TEST(LinkTest, AChangedByteAnywhereEndsIt) {
  // The dialer's bytes after the multistream part, changed at one place each time.
  for (std::size_t at = 0; at < 220; at += 11) {
    Rng rng(at);
    Pair pair;
    std::size_t passed = 0;
    bool changed = false;
    for (int i = 0; i < 12 && !pair.listener_error && !pair.dialer_error; ++i) {
      std::vector<std::uint8_t> bytes;
      ASSERT_TRUE(pair.dialer.take_output(bytes, 4096));
      for (auto& byte : bytes) {
        if (passed++ == 27 + at) {
          byte ^= 1;
          changed = true;
        }
      }
      const auto outcome = pair.listener.receive(bytes);
      if (!outcome) pair.listener_error = outcome.error();
      Pair::move(pair.listener, pair.dialer, pair.listener_error, pair.dialer_error, rng);
    }
    ASSERT_TRUE(changed) << at;
    EXPECT_FALSE(pair.listener.is_ready()) << at;
  }
}

TEST(LinkTest, BulkArrivesWholeBothWays) {
  Rng rng(14);
  Pair pair;
  pair.run(rng);
  expect_ready(pair);
  std::vector<std::uint8_t> payload(200 * 1024);
  for (auto& byte : payload) byte = static_cast<std::uint8_t>(rng.next());
  const std::uint32_t a = pair.dialer.session().open().value();
  const std::uint32_t b = pair.listener.session().open().value();
  EXPECT_EQ(a % 2, 1u);
  EXPECT_EQ(b % 2, 0u);
  pair.dialer.session().write(a, payload);
  pair.listener.session().write(b, payload);
  pair.run(rng);
  EXPECT_EQ(pair.listener_seen.data[a], payload);
  EXPECT_EQ(pair.dialer_seen.data[b], payload);
}

}  // namespace
}  // namespace corelay::libp2p
