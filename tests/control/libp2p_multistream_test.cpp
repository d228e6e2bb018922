// multistream-select: exact bytes, order of proposals, every split, limits. Varints and protobuf
// fields on the way.
#include "control/libp2p/multistream.h"

#include <gtest/gtest.h>

#include <limits>

#include "control/libp2p/fields.h"
#include "control/libp2p/varint.h"
#include "tests/control/libp2p_vectors.h"

namespace corelay::libp2p {
namespace {

std::vector<std::uint8_t> token(const std::string& text) {
  std::vector<std::uint8_t> bytes;
  append_varint(bytes, text.size() + 1);
  append_bytes(bytes, as_bytes(text + "\n"));
  return bytes;
}

std::vector<std::uint8_t> tokens(const std::vector<std::string>& texts) {
  std::vector<std::uint8_t> bytes;
  for (const auto& text : texts) append_bytes(bytes, token(text));
  return bytes;
}

const std::string header = "/multistream/1.0.0";

TEST(MultistreamTest, BytesMatchJs) {
  for (const auto& [text, hex] : vectors()["multistream"].items())
    EXPECT_EQ(to_hex(token(text)), hex) << text;
  auto dialer = Negotiation::dial({"/noise"});
  EXPECT_EQ(to_hex(dialer.take_output()),
            vectors()["multistream"][header].get<std::string>() +
                vectors()["multistream"]["/noise"].get<std::string>());
}

TEST(MultistreamTest, TheDialerTriesItsListInOrder) {
  auto dialer = Negotiation::dial({"/a", "/b", "/c"});
  EXPECT_EQ(dialer.take_output(), tokens({header, "/a"}));
  ASSERT_TRUE(dialer.receive(tokens({header, "na"})));
  EXPECT_EQ(dialer.take_output(), tokens({"/b"}));
  ASSERT_FALSE(dialer.is_done());
  const auto answer = tokens({"/b", "data of the protocol"});
  EXPECT_EQ(dialer.receive(answer).value(), token("/b").size());
  EXPECT_TRUE(dialer.is_done());
  EXPECT_EQ(dialer.protocol(), "/b");
  EXPECT_TRUE(dialer.take_output().empty());
}

TEST(MultistreamTest, TheDialerFailsWhenNothingIsLeft) {
  auto dialer = Negotiation::dial({"/a", "/b"});
  ASSERT_TRUE(dialer.receive(tokens({header, "na"})));
  EXPECT_EQ(dialer.receive(token("na")).error().code, ErrorCode::not_found);
}

TEST(MultistreamTest, TheListenerAnswersNaUntilItAgrees) {
  auto listener = Negotiation::listen([](std::string_view text) { return text == "/noise"; });
  EXPECT_TRUE(listener.take_output().empty());
  const auto bytes = tokens({header, "/tls/1.0.0", "ls", "/noise", "rest"});
  EXPECT_EQ(listener.receive(bytes).value(), bytes.size() - token("rest").size());
  EXPECT_EQ(listener.take_output(), tokens({header, "na", "na", "/noise"}));
  EXPECT_TRUE(listener.is_done());
  EXPECT_EQ(listener.protocol(), "/noise");
}

TEST(MultistreamTest, AnySplitGivesTheSame) {
  const auto bytes = tokens({header, "/tls/1.0.0", "/" + std::string(300, 'x'), "/noise"});
  for (std::size_t step = 1; step <= bytes.size(); ++step) {
    auto listener = Negotiation::listen([](std::string_view text) { return text == "/noise"; });
    for (std::size_t at = 0; at < bytes.size(); at += step) {
      const auto part = Bytes(bytes).subspan(at, std::min(step, bytes.size() - at));
      const auto used = listener.receive(part);
      ASSERT_TRUE(used);
      EXPECT_EQ(*used, part.size());
    }
    EXPECT_EQ(listener.take_output(), tokens({header, "na", "na", "/noise"})) << step;
    EXPECT_TRUE(listener.is_done());
  }
}

TEST(MultistreamTest, BrokenMessagesAreRefused) {
  const std::vector<std::vector<std::uint8_t>> broken{
      token("/multistream/2.0.0"),  // another header
      token("/noise"),              // no header
      {0},                          // empty message
      {0x81, 0x08},                 // 1025 bytes
      {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80},
      {0x80, 0x00},         // a varint too long
      {3, 'n', 'a', 'a'}};  // no newline
  for (const auto& bytes : broken) {
    auto listener = Negotiation::listen([](std::string_view) { return true; });
    EXPECT_EQ(listener.receive(bytes).error().code, ErrorCode::malformed) << to_hex(bytes);
    auto dialer = Negotiation::dial({"/a"});
    EXPECT_EQ(dialer.receive(bytes).error().code, ErrorCode::malformed) << to_hex(bytes);
  }
  auto dialer = Negotiation::dial({"/a"});
  EXPECT_EQ(dialer.receive(tokens({header, "/b"})).error().code, ErrorCode::malformed);
}

TEST(MultistreamTest, ProposalsAreBounded) {
  auto listener = Negotiation::listen([](std::string_view) { return false; });
  ASSERT_TRUE(listener.receive(token(header)));
  for (std::size_t i = 0; i < multistream_proposals_max; ++i)
    ASSERT_TRUE(listener.receive(token("/x"))) << i;
  EXPECT_EQ(listener.receive(token("/x")).error().code, ErrorCode::too_large);
}

TEST(VarintTest, RoundTripsAndRefusesOtherForms) {
  for (const std::uint64_t value :
       {std::uint64_t{0}, std::uint64_t{127}, std::uint64_t{128}, std::uint64_t{16383},
        std::uint64_t{16384}, (std::uint64_t{1} << 63) - 1}) {
    std::vector<std::uint8_t> bytes;
    append_varint(bytes, value);
    const Varint read = read_varint(bytes);
    EXPECT_EQ(read.status, VarintStatus::done);
    EXPECT_EQ(read.value, value);
    EXPECT_EQ(read.bytes, bytes.size());
    for (std::size_t n = 0; n < bytes.size(); ++n) {
      EXPECT_EQ(read_varint(Bytes(bytes).first(n)).status, VarintStatus::incomplete);
    }
  }
  EXPECT_EQ(read_varint(from_hex("8100")).status, VarintStatus::malformed);
  EXPECT_EQ(read_varint(from_hex("ffffffffffffffffff01")).status, VarintStatus::malformed);
  EXPECT_EQ(read_protobuf_varint(from_hex("8100")).value, 1u);
  EXPECT_EQ(read_protobuf_varint(from_hex("ffffffffffffffffff01")).value,
            std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(read_protobuf_varint(from_hex("ffffffffffffffffff02")).status, VarintStatus::malformed);
}

TEST(FieldsTest, SkipsWhatItDoesNotKnowAndRefusesWhatIsBroken) {
  // field 1 varint 5; field 2 fixed64; field 3 fixed32; field 4 bytes "ab"
  const auto message = from_hex(
      "0805"
      "110102030405060708"
      "1d01020304"
      "22026162");
  FieldReader reader(message);
  Field field;
  ASSERT_TRUE(reader.next(field));
  EXPECT_EQ(field.number, 1u);
  EXPECT_FALSE(field.is_bytes);
  EXPECT_EQ(field.value, 5u);
  ASSERT_TRUE(reader.next(field));
  EXPECT_EQ(field.number, 4u);
  EXPECT_EQ(as_text(field.bytes), "ab");
  EXPECT_FALSE(reader.next(field));
  EXPECT_FALSE(reader.is_malformed());
  for (const char* broken : {"08", "0a05", "0b", "0c", "00", "1101", "1d01",
                             "0affffffffffffffffff01", "ffffffffffffffff7f00"}) {
    const auto bytes = from_hex(broken);
    FieldReader other(bytes);
    EXPECT_FALSE(other.next(field)) << broken;
    EXPECT_TRUE(other.is_malformed()) << broken;
  }
}

}  // namespace
}  // namespace corelay::libp2p
