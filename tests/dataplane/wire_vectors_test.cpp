// The golden vectors: makes each file of proto/vectors anew from the product's own code and compares it with what is
// committed. With CORELAY_WRITE_VECTORS=1 in the environment it writes the files instead, and the inputs that the fuzz
// corpora take from them: for a wire version that has not been released, never for one that has.
#include <gtest/gtest.h>
#include <sodium.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "codec/encoder.h"
#include "codec/field.h"
#include "dataplane/core/header.h"
#include "dataplane/core/session_table.h"
#include "proto/session.pb.h"
#include "tests/dataplane/wire_golden.h"
#include "tests/dataplane/wire_known_answers.h"

namespace corelay::dataplane {
namespace {

using golden::Buffer;
using Json = nlohmann::ordered_json;

bool is_writing() { return std::getenv("CORELAY_WRITE_VECTORS") != nullptr; }

void compare_or_write(const std::string& name, const Json& json) {
  const std::filesystem::path path = std::filesystem::path(CORELAY_VECTORS_DIR) / name;
  const std::string text = json.dump(1) + "\n";
  if (is_writing()) {
    std::ofstream(path) << text;
    return;
  }
  std::ifstream file(path);
  ASSERT_TRUE(file.good()) << path;
  const std::string committed{std::istreambuf_iterator<char>(file), {}};
  ASSERT_EQ(Json::parse(committed), json) << name;
  EXPECT_EQ(committed, text) << name << " says the same in another layout";
}

Json file_of(std::string_view about) { return {{"wire_version", 1}, {"about", about}}; }

Json fields_of(const golden::Frame& frame) {
  Json fields = Json::array();
  std::size_t offset = 0;
  for (const golden::Field& field : frame.fields) {
    fields.push_back({{"offset", offset},
                      {"bytes", field.bytes},
                      {"name", field.name},
                      {"hex", to_hex(Bytes{frame.bytes}.subspan(offset, field.bytes))},
                      {"meaning", field.meaning}});
    offset += field.bytes;
  }
  EXPECT_EQ(offset, frame.bytes.size()) << frame.name;
  return fields;
}

TEST(Vectors, Seeds) {
  Json file = file_of("coefficients by seed; the seed as its 8 wire bytes");
  for (const std::uint64_t seed :
       {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{0x0123456789abcdef}, ~std::uint64_t{0}}) {
    for (const std::size_t k : {1, 7, 8, 9, 64, 128}) {
      Buffer coefficients(k);
      codec::expand_seed(seed, coefficients);
      EXPECT_EQ(coefficients, golden::coefficients_of(seed, k));
      Buffer on_wire(8);
      store_le(on_wire.data(), seed);
      file["seeds"].push_back({{"seed", to_hex(on_wire)}, {"k", k}, {"coefficients", to_hex(coefficients)}});
    }
  }
  compare_or_write("seeds.json", file);
}

TEST(Vectors, Field) {
  Json file = file_of("GF(2^8)/0x11d: products, inverses, and payloads as sums of coefficient times shard");
  for (const unsigned a : {0x00u, 0x01u, 0x02u, 0x1du, 0x53u, 0x80u, 0x8eu, 0xcau, 0xffu}) {
    for (const unsigned b : {0x00u, 0x01u, 0x02u, 0x80u, 0x8eu, 0xb7u, 0xffu}) {
      const std::uint8_t product = codec::product(static_cast<std::uint8_t>(a), static_cast<std::uint8_t>(b));
      EXPECT_EQ(product, golden::field_product(static_cast<std::uint8_t>(a), static_cast<std::uint8_t>(b)));
      file["products"].push_back({{"a", a}, {"b", b}, {"product", product}});
    }
    if (a != 0) file["inverses"].push_back({{"a", a}, {"inverse", codec::inverse(static_cast<std::uint8_t>(a))}});
  }
  for (const std::size_t k : {1, 3, 8}) {
    const Buffer shards = golden::payload_of(k * 64);
    const Buffer coefficients = golden::coefficients_of(k, k);
    Buffer payload(64);
    std::vector<const std::uint8_t*> rows;
    for (std::size_t j = 0; j != k; ++j) rows.push_back(&shards[j * 64]);
    std::uint8_t* const out = payload.data();
    codec::multiply(1, k, coefficients.data(), k, rows.data(), &out, 64);
    EXPECT_EQ(payload, golden::coded_payload(coefficients, shards));
    Json row{{"coefficients", to_hex(coefficients)}, {"shards", Json::array()}, {"payload", to_hex(payload)}};
    for (std::size_t j = 0; j != k; ++j) row["shards"].push_back(to_hex(Bytes{shards}.subspan(j * 64, 64)));
    file["payloads"].push_back(row);
  }
  compare_or_write("field.json", file);
}

Json message_json(std::string_view name, const PreparedMessage& message) {
  const MessageHeader& header = message.header;
  std::array<std::uint8_t, signed_bytes_max> to_sign;
  const std::size_t to_sign_bytes = signed_bytes(message.encoded_header, to_sign);
  Json digests = Json::array();
  for (const Digest& digest : message.digests) digests.push_back(to_hex(digest));
  return {{"name", name},
          {"payload_bytes", message.payload.size()},
          {"payload_rule", "byte i = (31 i + i div 256) mod 256"},
          {"topic", header.topic()},
          {"k", header.k},
          {"shard_bytes", header.shard_bytes},
          {"generations", header.generations},
          {"sequence", header.sequence},
          {"timestamp_ns", header.timestamp_ns},
          {"message_id", to_hex(header.id)},
          {"publisher", to_hex(header.publisher)},
          {"generation_digests", digests},
          {"digest_root", to_hex(header.digest_root)},
          {"signed_bytes", to_hex(Bytes{to_sign}.first(to_sign_bytes))},
          {"signature", to_hex(header.signature)},
          {"encoded", to_hex(message.encoded_header)},
          {"tag", to_hex(message.tag)},
          {"lane_of_4", message.tag[0] % 4}};
}

TEST(Vectors, Headers) {
  Json file = file_of("signed headers, tags and digests; headers to be refused");
  file["publisher_seed"] = to_hex(golden::publisher_seed());
  file["messages"] = {message_json("small", golden::small_message()), message_json("large", golden::large_message())};
  for (const golden::Malformed& header : golden::malformed_headers()) {
    file["malformed"].push_back({{"from", header.name}, {"why", header.why}, {"encoded", to_hex(header.bytes)}});
  }
  compare_or_write("headers.json", file);
}

TEST(Vectors, Frames) {
  Json file = file_of("every kind of frame, field by field; frames to be refused");
  for (const golden::Frame& frame : golden::frames()) {
    file["frames"].push_back(
        {{"name", frame.name}, {"about", frame.about}, {"frame", to_hex(frame.bytes)}, {"fields", fields_of(frame)}});
  }
  for (const golden::Malformed& frame : golden::malformed_frames()) {
    file["malformed"].push_back({{"from", frame.name}, {"why", frame.why}, {"frame", to_hex(frame.bytes)}});
  }
  compare_or_write("frames.json", file);
}

/// The frame `name` from `lane` as its packet number `number`.
Json datagram_json(AeadBackend backend, std::string_view name, std::uint8_t lane, std::uint64_t number) {
  const SessionKeys keys = golden::session_keys();
  SessionTable from(lane, 1, backend);
  from.install({}, 0, keys);
  const golden::Frame& frame = golden::frame(name);
  Buffer datagram(frame.bytes.size() + datagram_overhead_bytes);
  for (std::uint64_t n = 0; n != number; ++n) EXPECT_NE(from.seal(0, frame.bytes, datagram.data()), 0u);
  AeadIv nonce = keys.send.iv;
  nonce[0] ^= lane;
  for (std::size_t i = 0; i != 8; ++i) nonce[4 + i] ^= static_cast<std::uint8_t>(number >> 8 * i);
  return {{"frame_name", name},
          {"source_lane", lane},
          {"destination_lane", lane},
          {"packet_number", number},
          {"nonce", to_hex(nonce)},
          {"associated_data", to_hex(Bytes{datagram}.first(datagram_header_bytes))},
          {"frame", to_hex(frame.bytes)},
          {"datagram", to_hex(datagram)}};
}

TEST(Vectors, Datagrams) {
  Json file = file_of("sealed datagrams of one direction, and published AES-128-GCM answers");
  const SessionKeys keys = golden::session_keys();
  file["key"] = to_hex(keys.send.key);
  file["iv"] = to_hex(keys.send.iv);
  file["key_id"] = keys.send.key_id;
  std::vector<AeadBackend> backends{AeadBackend::openssl};
  if (probe_aead_backend() == AeadBackend::ipsec_mb) backends.push_back(AeadBackend::ipsec_mb);
  for (const AeadBackend backend : backends) {
    file["datagrams"] = Json::array();
    std::uint64_t number = 0;
    for (const golden::Frame& frame : golden::frames()) {
      file["datagrams"].push_back(datagram_json(backend, frame.name, 0, ++number));
    }
    file["datagrams"].push_back(datagram_json(backend, "probe-ask", 5, 1));
    file["datagrams"].push_back(datagram_json(backend, "feedback-acks", 15, 0x1234));
    file["known_answers"] = Json::array();
    for (const golden::KnownAnswer& answer : golden::known_answers) {
      file["known_answers"].push_back({{"name", answer.name}, {"key", answer.key}, {"nonce", answer.nonce},
                                       {"associated_data", answer.associated}, {"plain", answer.plain},
                                       {"sealed", answer.sealed}, {"tag", answer.tag}});
    }
    compare_or_write("datagrams.json", file);
  }
}

std::array<std::uint8_t, 32> hmac(Bytes key, std::initializer_list<Bytes> parts) {
  crypto_auth_hmacsha256_state state;
  crypto_auth_hmacsha256_init(&state, key.data(), key.size());
  for (const Bytes part : parts) crypto_auth_hmacsha256_update(&state, part.data(), part.size());
  std::array<std::uint8_t, 32> out;
  crypto_auth_hmacsha256_final(&state, out.data());
  return out;
}

std::array<std::uint8_t, 32> sha256(std::initializer_list<Bytes> parts) {
  Sha256 sha;
  for (const Bytes part : parts) sha.update(part);
  return sha.finish();
}

struct Side {
  std::array<std::uint8_t, 32> secret{};
  std::array<std::uint8_t, 32> key{};
  std::string hello;
};

Side side_of(std::uint8_t first, std::uint32_t key_id, std::uint16_t udp_port, Bytes mesh_hash) {
  Side side;
  for (std::uint8_t i = 0; i != 32; ++i) side.secret[i] = static_cast<std::uint8_t>(first + i);
  crypto_scalarmult_base(side.key.data(), side.secret.data());
  session::SessionHello hello;
  hello.set_wire_version(1);
  hello.set_ephemeral_key(side.key.data(), side.key.size());
  hello.set_key_id(key_id);
  hello.set_udp_port(udp_port);
  hello.set_path_mtu_bytes(1400);
  hello.set_mesh_hash(mesh_hash.data(), mesh_hash.size());
  hello.set_cluster_id("vectors");
  hello.set_lanes(1);
  side.hello = hello.SerializeAsString();
  return side;
}

TEST(Vectors, SessionKeys) {
  Json file = file_of("from two hellos to the keys of both directions; mesh hash for one lane, a path MTU of 1400 and "
                      "cluster \"vectors\"");
  const Buffer numbers{1, 0, 0, 0, 1, 0, 0x78, 0x05};  // wire version, lanes, path MTU
  const auto mesh_hash = sha256({as_bytes("corelay-mesh-1"), numbers, as_bytes("vectors")});
  const Side dialer = side_of(0x40, 0x11223344, 7070, mesh_hash);
  const Side listener = side_of(0x80, 0x55667788, 7171, mesh_hash);
  std::array<std::uint8_t, 32> shared{};
  ASSERT_EQ(crypto_scalarmult(shared.data(), dialer.secret.data(), listener.key.data()), 0);
  const auto salt = sha256({as_bytes("corelay-session-1"), as_bytes(dialer.hello), as_bytes(listener.hello)});
  const auto prk = hmac(salt, {shared});
  const auto first = hmac(prk, {as_bytes("corelay-session-1 keys"), Buffer{1}});
  const auto second = hmac(prk, {first, as_bytes("corelay-session-1 keys"), Buffer{2}});
  std::array<std::uint8_t, 64> both{};
  std::copy(first.begin(), first.end(), both.begin());
  std::copy(second.begin(), second.end(), both.begin() + 32);
  const Bytes okm = Bytes{both}.first(56);
  const auto direction = [&](std::size_t at, std::uint32_t key_id) {
    return Json{{"key_id", key_id}, {"key", to_hex(okm.subspan(at, 16))}, {"iv", to_hex(okm.subspan(at + 16, 12))}};
  };
  file["mesh_hash"] = to_hex(mesh_hash);
  for (const auto& [name, side] : {std::pair{"dialer", &dialer}, {"listener", &listener}}) {
    file[name] = {{"ephemeral_secret", to_hex(side->secret)},
                  {"ephemeral_key", to_hex(side->key)},
                  {"hello", to_hex(as_bytes(side->hello))}};
  }
  file["shared"] = to_hex(shared);
  file["salt"] = to_hex(salt);
  file["okm"] = to_hex(okm);
  file["dialer_sends"] = direction(0, 0x55667788);
  file["listener_sends"] = direction(28, 0x11223344);
  compare_or_write("session_keys.json", file);
}

void write_input(std::string_view corpus, const std::string& name, Bytes bytes) {
  const auto folder = std::filesystem::path(CORELAY_CORPUS_DIR) / corpus;
  std::filesystem::create_directories(folder);
  std::ofstream(folder / name, std::ios::binary)
      .write(as_text(bytes).data(), static_cast<std::streamsize>(bytes.size()));
}

Buffer with_settings(std::uint8_t settings, Bytes bytes) {
  Buffer out(1 + bytes.size());
  out[0] = settings;
  std::copy(bytes.begin(), bytes.end(), out.begin() + 1);
  return out;
}

TEST(Vectors, CorporaHoldTheGoldenInputs) {
  const auto corpus = std::filesystem::path(CORELAY_CORPUS_DIR);
  SessionTable from(0, 1, AeadBackend::openssl);
  from.install({}, 0, golden::session_keys());
  for (const golden::Frame& frame : golden::frames()) {
    Buffer datagram(frame.bytes.size() + datagram_overhead_bytes);
    ASSERT_NE(from.seal(0, frame.bytes, datagram.data()), 0u);
    if (is_writing()) {
      write_input("frame", frame.name, frame.bytes);
      // The first byte of a datagram input is settings, see datagram_fuzz.cpp.
      write_input("datagram", frame.name, with_settings(0, datagram));
      write_input("datagram", frame.name + "-openssl", with_settings(1, datagram));
      write_input("datagram", frame.name + "-to-seal", with_settings(2 | 63 << 2, frame.bytes));
      write_input("datagram", frame.name + "-to-change", with_settings(2 | 11 << 2, frame.bytes));
    }
    EXPECT_EQ(std::filesystem::file_size(corpus / "frame" / frame.name), frame.bytes.size());
    EXPECT_EQ(std::filesystem::file_size(corpus / "datagram" / frame.name), datagram.size() + 1);
  }
  const auto write_malformed = [](std::string_view folder, const std::vector<golden::Malformed>& all) {
    for (std::size_t i = 0; i != all.size(); ++i) {
      if (!all[i].bytes.empty()) write_input(folder, "malformed-" + std::to_string(i), all[i].bytes);
    }
  };
  if (is_writing()) {
    write_malformed("frame", golden::malformed_frames());
    write_malformed("header", golden::malformed_headers());
    write_input("header", "small", golden::small_message().encoded_header);
    write_input("header", "large", golden::large_message().encoded_header);
    Buffer forged(80, 0x77);
    const Buffer start{0, 1, 0, 0, 0, 4, 3, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0};
    std::copy(start.begin(), start.end(), forged.begin());
    write_input("datagram", "header-only", start);
    write_input("datagram", "forged", forged);
  }
  EXPECT_TRUE(std::filesystem::exists(corpus / "header" / "large"));
}

}  // namespace
}  // namespace corelay::dataplane
