// The signed header: bytes, limits, signature; tags, lanes and digests; and messages made by prepare_message().
#include <gtest/gtest.h>

#include "dataplane/core/frame.h"
#include "dataplane/core/header.h"
#include "tests/dataplane/wire_golden.h"

namespace corelay::dataplane {
namespace {

using golden::Buffer;

TEST(Header, IsReadAndWrittenBack) {
  for (const PreparedMessage* message : {&golden::small_message(), &golden::large_message()}) {
    const auto header = parse_header(message->encoded_header);
    ASSERT_TRUE(header.has_value());
    EXPECT_EQ(header->topic(), message->header.topic());
    EXPECT_EQ(header->size_bytes, message->payload.size());
    EXPECT_EQ(header->id, message->header.id);
    EXPECT_EQ(header->publisher, golden::publisher_key());
    EXPECT_EQ(header->sequence, message->header.sequence);
    EXPECT_EQ(header->timestamp_ns, 1'700'000'000'123'456'789);
    Buffer again(encoded_header_bytes(*header));
    EXPECT_EQ(write_header(*header, again.data()), again.size());
    EXPECT_EQ(again, message->encoded_header);
  }
}

TEST(Header, ShortFormGivesTheWholeBack) {
  const PreparedMessage& message = golden::small_message();
  Buffer shortened(short_header_bytes_max);
  shortened.resize(shorten_header(message.encoded_header, shortened.data()));
  EXPECT_EQ(shortened.size(), message.encoded_header.size() - 74);
  Buffer again(header_bytes_max);
  again.resize(lengthen_header(shortened, message.header.id, message.payload.size(), again.data()));
  EXPECT_EQ(again, message.encoded_header);

  Buffer out(header_bytes_max);
  for (std::size_t bytes = 0; bytes != shortened.size(); ++bytes) {
    EXPECT_EQ(lengthen_header(Bytes{shortened}.first(bytes), message.header.id, 100, out.data()), 0u) << bytes;
  }
  shortened.push_back(0);
  EXPECT_EQ(lengthen_header(shortened, message.header.id, 100, out.data()), 0u);
}

TEST(Header, MalformedHeadersAreRefused) {
  for (const golden::Malformed& header : golden::malformed_headers()) {
    EXPECT_FALSE(parse_header(header.bytes).has_value()) << header.why;
  }
  const Buffer& encoded = golden::large_message().encoded_header;
  for (std::size_t bytes = 0; bytes != encoded.size(); ++bytes) {
    EXPECT_FALSE(parse_header(Bytes{encoded}.first(bytes)).has_value()) << bytes;
  }
}

TEST(Header, EverySingleBitIsSigned) {
  const Buffer& encoded = golden::small_message().encoded_header;
  ASSERT_TRUE(verify_header(encoded));
  for (std::size_t bit = 0; bit < encoded.size() * 8; bit += 3) {
    Buffer changed = encoded;
    changed[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
    EXPECT_FALSE(verify_header(changed)) << "bit " << bit;
  }
}

TEST(Header, SignatureOfAnotherKeyOrContextDoesNotHold) {
  Buffer encoded = golden::large_message().encoded_header;
  const std::size_t covered = encoded.size() - 64;
  const Signature bare = golden::signer()(Bytes{encoded}.first(covered));  // without "corelay-header-1"
  std::copy(bare.begin(), bare.end(), encoded.begin() + static_cast<std::ptrdiff_t>(covered));
  EXPECT_FALSE(verify_header(encoded));

  encoded = golden::large_message().encoded_header;
  std::fill_n(encoded.begin() + 60, 32, std::uint8_t{0});  // a key of small order
  EXPECT_FALSE(verify_header(encoded));
  EXPECT_FALSE(verify_header({}));
  EXPECT_FALSE(verify_header(Buffer(header_bytes_max + 1, 1)));
}

TEST(Header, SignedBytesAreContextAndHeaderWithoutSignature) {
  const Buffer& encoded = golden::small_message().encoded_header;
  std::array<std::uint8_t, signed_bytes_max> out{};
  const std::size_t bytes = signed_bytes(encoded, out);
  EXPECT_EQ(bytes, 16 + encoded.size() - 64);
  EXPECT_EQ(as_text(Bytes{out}.first(16)), "corelay-header-1");
  EXPECT_TRUE(std::equal(encoded.begin(), encoded.end() - 64, out.begin() + 16));
}

TEST(Hashes, MatchPublishedSha256) {
  // FIPS 180-4, the one- and two-block messages of the standard's examples.
  Sha256 sha;
  sha.update(as_bytes("abc"));
  EXPECT_EQ(to_hex(sha.finish()), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  for (const char c : std::string_view("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")) {
    sha.update(as_bytes({&c, 1}));
  }
  EXPECT_EQ(to_hex(sha.finish()), "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(to_hex(sha.finish()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  sha.update(as_bytes("left over"));
  sha.reset();
  sha.update(as_bytes("abc"));
  EXPECT_EQ(to_hex(sha.finish()).substr(0, 8), "ba7816bf");
  EXPECT_EQ(to_hex(digest_of(as_bytes("abc"))), "ba7816bf8f01cfea414140de5dae2223");
  EXPECT_EQ(topic_hash("abc"), 0xeacf018fbf1678bau);
}

TEST(Hashes, MovedSha256GoesOn) {
  Sha256 first;
  first.update(as_bytes("ab"));
  Sha256 second(std::move(first));
  second.update(as_bytes("c"));
  EXPECT_EQ(to_hex(second.finish()).substr(0, 8), "ba7816bf");
}

TEST(Tag, DependsOnIdAndTopic) {
  const MessageId& id = golden::small_message().header.id;
  Sha256 sha;
  sha.update(as_bytes("corelay-tag-1"));
  sha.update(id);
  sha.update(as_bytes("votes"));
  const auto hash = sha.finish();
  EXPECT_TRUE(std::equal(hash.begin(), hash.begin() + 16, golden::small_message().tag.begin()));
  EXPECT_EQ(golden::small_message().tag, tag_of(id, "votes"));
  EXPECT_NE(tag_of(id, "votes"), tag_of(id, "vote"));
  EXPECT_NE(tag_of(id, "votes"), tag_of(golden::large_message().header.id, "votes"));
}

TEST(Prepare, HashesCoverPayloadAndPadding) {
  const PreparedMessage& message = golden::large_message();
  ASSERT_EQ(message.header.k, 4);
  ASSERT_EQ(message.header.shard_bytes, 448);
  ASSERT_EQ(message.header.generations, 3);
  ASSERT_EQ(message.digests.size(), 3u);
  Sha256 root;
  for (std::size_t g = 0; g != 3; ++g) {
    EXPECT_EQ(message.digests[g], digest_of(golden::large_generation(g)));
    root.update(message.digests[g]);
  }
  EXPECT_EQ(message.header.digest_root, root.finish());
  EXPECT_EQ(message.topic_hash, topic_hash("blocks/v1"));
  EXPECT_TRUE(verify_header(message.encoded_header));
  EXPECT_EQ(message.payload, golden::payload_of(5000));

  const PreparedMessage& small = golden::small_message();
  ASSERT_EQ(small.digests.size(), 1u);
  EXPECT_TRUE(std::equal(small.digests[0].begin(), small.digests[0].end(), small.header.id.begin()));
}

TEST(Prepare, RefusesWhatCannotTravel) {
  RelayParams params;
  params.wire.message_bytes_max = 5000;
  const auto prepare = [&](std::size_t bytes, std::string_view topic) {
    return prepare_message(Buffer(bytes), topic, golden::publisher_key(), 1, 2, params, golden::signer());
  };
  EXPECT_TRUE(prepare(5000, "t").has_value());
  const auto too_large = prepare(5001, "t");
  ASSERT_FALSE(too_large.has_value());
  EXPECT_EQ(too_large.error().code, ErrorCode::too_large);
  EXPECT_NE(too_large.error().what.find("message_bytes_max (5000 bytes)"), std::string::npos);
  EXPECT_EQ(prepare(1, "").error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(prepare(1, std::string(256, 't')).error().code, ErrorCode::invalid_argument);
  EXPECT_TRUE(prepare(0, std::string(255, 't')).has_value());

  params.wire.message_bytes_max = 64u << 20;
  params.path_mtu_bytes = 576;
  const auto too_many = prepare(64u << 20, "t");
  ASSERT_FALSE(too_many.has_value());
  EXPECT_EQ(too_many.error().code, ErrorCode::too_large);
  EXPECT_NE(too_many.error().what.find("path_mtu_bytes"), std::string::npos);
}

}  // namespace
}  // namespace corelay::dataplane
