// AES-128-GCM: published answers on every backend, and both backends byte for byte equal.
#include <gtest/gtest.h>

#include <algorithm>

#include "codec/rng.h"
#include "dataplane/core/aead.h"
#include "dataplane/core/session_table.h"
#include "tests/dataplane/wire_golden.h"
#include "tests/dataplane/wire_known_answers.h"

namespace corelay::dataplane {
namespace {

using golden::Buffer;

template <class T>
T array_of(std::string_view hex) {
  T out{};
  const Buffer bytes = golden::from_hex(hex);
  std::copy(bytes.begin(), bytes.end(), out.begin());
  return out;
}

std::vector<AeadBackend> backends() {
  std::vector<AeadBackend> out{AeadBackend::openssl};
  if (probe_aead_backend() == AeadBackend::ipsec_mb) out.push_back(AeadBackend::ipsec_mb);
  return out;
}

TEST(Aead, PublishedAnswers) {
  for (const AeadBackend backend : backends()) {
    Aead aead(backend, 2);
    for (const golden::KnownAnswer& answer : golden::known_answers) {
      SCOPED_TRACE(std::string(answer.name) + " on " + std::string(aead_backend_name(backend)));
      const auto nonce = array_of<AeadIv>(answer.nonce);
      const Buffer associated = golden::from_hex(answer.associated);
      Buffer plain = golden::from_hex(answer.plain);
      aead.set_key(1, array_of<AeadKey>(answer.key));
      Buffer out(plain.size() + aead_tag_bytes);
      aead.seal(1, nonce, associated, plain, out.data());
      EXPECT_EQ(to_hex(out), std::string(answer.sealed) + std::string(answer.tag));
      EXPECT_TRUE(aead.open(1, nonce, associated, MutableBytes{out}.first(plain.size()), &out[plain.size()]));
      EXPECT_EQ(to_hex(Bytes{out}.first(plain.size())), answer.plain);
      out[plain.size()] ^= 1;
      EXPECT_FALSE(aead.open(1, nonce, associated, MutableBytes{out}.first(plain.size()), &out[plain.size()]));
    }
  }
}

TEST(Aead, BackendsGiveTheSameBytes) {
  if (backends().size() == 1) GTEST_SKIP() << "this CPU has no path for libipsec-mb";
  Rng rng(3);
  Aead fast(AeadBackend::ipsec_mb, 8);
  Aead oracle(AeadBackend::openssl, 8);
  for (std::size_t i = 0; i != 3000; ++i) {
    const std::size_t slot = i < 8 ? i : rng.below(8);
    if (i < 8 || rng.chance(0.1)) {
      AeadKey key;
      for (std::uint8_t& byte : key) byte = static_cast<std::uint8_t>(rng.next());
      fast.set_key(slot, key);
      oracle.set_key(slot, key);
    }
    AeadIv nonce;
    for (std::uint8_t& byte : nonce) byte = static_cast<std::uint8_t>(rng.next());
    Buffer associated(rng.chance(0.7) ? 16 : rng.below(70));
    Buffer plain(i < 2100 ? i : rng.below(2000));
    for (std::uint8_t& byte : associated) byte = static_cast<std::uint8_t>(rng.next());
    for (std::uint8_t& byte : plain) byte = static_cast<std::uint8_t>(rng.next());
    Buffer by_fast(plain.size() + 16);
    Buffer by_oracle(plain.size() + 16);
    fast.seal(slot, nonce, associated, plain, by_fast.data());
    oracle.seal(slot, nonce, associated, plain, by_oracle.data());
    ASSERT_EQ(by_fast, by_oracle) << plain.size() << " bytes";
    const std::uint8_t* const tag = &by_oracle[plain.size()];
    ASSERT_TRUE(fast.open(slot, nonce, associated, MutableBytes{by_oracle}.first(plain.size()), tag));
    ASSERT_TRUE(oracle.open(slot, nonce, associated, MutableBytes{by_fast}.first(plain.size()), tag));
    ASSERT_TRUE(std::equal(plain.begin(), plain.end(), by_fast.begin()));
    ASSERT_TRUE(std::equal(plain.begin(), plain.end(), by_oracle.begin()));
  }
}

TEST(Aead, SessionsOfDifferentBackendsUnderstandEachOther) {
  if (backends().size() == 1) GTEST_SKIP() << "this CPU has no path for libipsec-mb";
  SessionTable a(0, 1, AeadBackend::ipsec_mb);
  SessionTable b(0, 1, AeadBackend::openssl);
  a.install({}, 0, golden::session_keys());
  b.install({}, 0, golden::swapped(golden::session_keys()));
  for (const golden::Frame& frame : golden::frames()) {
    Buffer there(frame.bytes.size() + 32);
    Buffer back(frame.bytes.size() + 32);
    ASSERT_NE(a.seal(0, frame.bytes, there.data()), 0u);
    ASSERT_NE(b.seal(0, frame.bytes, back.data()), 0u);
    EXPECT_EQ(b.open({}, there).outcome, Open::opened);
    EXPECT_EQ(a.open({}, back).outcome, Open::opened);
  }
}

TEST(Aead, WipedSlotsDoNotOpen) {
  for (const AeadBackend backend : backends()) {
    Aead aead(backend, 1);
    AeadKey key;
    key.fill(0x5a);
    aead.set_key(0, key);
    Buffer out(32);
    aead.seal(0, {}, {}, Buffer(16), out.data());
    Buffer again = out;
    EXPECT_TRUE(aead.open(0, {}, {}, MutableBytes{again}.first(16), &again[16]));
    aead.wipe(0);
    EXPECT_FALSE(aead.open(0, {}, {}, MutableBytes{out}.first(16), &out[16]));
  }
}

TEST(Aead, ProbeIsStableAndNamed) {
  EXPECT_EQ(probe_aead_backend(), probe_aead_backend());
  EXPECT_EQ(SessionTable(0, 1).backend(), probe_aead_backend());
  EXPECT_EQ(aead_backend_name(AeadBackend::ipsec_mb), "ipsec-mb");
  EXPECT_EQ(aead_backend_name(AeadBackend::openssl), "openssl");
}

}  // namespace
}  // namespace corelay::dataplane
