#include "tests/dataplane/wire_golden.h"

#include <sodium.h>

#include <algorithm>
#include <array>
#include <stdexcept>

#include "codec/check.h"
#include "dataplane/core/frame.h"
#include "dataplane/core/header.h"

namespace corelay::dataplane::golden {
namespace {

/// The subfield of 16 elements by its powers: g^17 generates it, and the low half of each names it.
constexpr std::array<std::uint8_t, 16> elements{0x00, 0x01, 0x92, 0x93, 0x44, 0x45, 0xd6, 0xd7,
                                                0x98, 0x99, 0x0a, 0x0b, 0xdc, 0xdd, 0x4e, 0x4f};

std::uint64_t splitmix64(std::uint64_t& state) {
  state += 0x9e3779b97f4a7c15ULL;
  std::uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

std::array<std::uint8_t, crypto_sign_SECRETKEYBYTES> secret_key() {
  CHECK(sodium_init() >= 0);
  std::array<std::uint8_t, crypto_sign_SECRETKEYBYTES> secret{};
  PublisherKey publisher{};
  crypto_sign_seed_keypair(publisher.data(), secret.data(), publisher_seed().data());
  return secret;
}

PreparedMessage prepare(std::size_t bytes, std::string_view topic, std::uint64_t sequence, const RelayParams& params) {
  auto message = prepare_message(payload_of(bytes), topic, publisher_key(), sequence, 1'700'000'000'123'456'789, params,
                                 signer());
  CHECK(message.has_value());
  return *std::move(message);
}

Buffer buffer_of(Bytes bytes) { return {bytes.begin(), bytes.end()}; }

Bytes digests_of(const PreparedMessage& message, std::size_t first, std::size_t count) {
  return Bytes{message.digests[first].data(), count * sizeof(Digest)};
}

Frame announce_frame(std::string name, std::string about, std::uint32_t sequence, std::size_t first,
                     std::size_t count, bool is_spread = false) {
  const PreparedMessage& message = large_message();
  AnnounceFrame announce{sequence, static_cast<std::uint16_t>(first), static_cast<std::uint16_t>(count),
                         message.encoded_header, digests_of(message, first, count), is_spread};
  Frame out{std::move(name), std::move(about), Buffer(2048), {}};
  out.bytes.resize(write_announce(announce, out.bytes.data()));
  out.fields = {{"kind", 1, "announce"},
                {"flags", 1, is_spread ? "the message goes to all members in two hops" : "none"},
                {"first_digest", 2, std::to_string(first)},
                {"link_sequence", 4, std::to_string(sequence)},
                {"digest_count", 2, std::to_string(count)},
                {"header_bytes", 2, std::to_string(message.encoded_header.size())},
                {"zero", 12, ""},
                {"header", message.encoded_header.size(), "the signed header of header.json, message \"large\""}};
  for (std::size_t g = first; g != first + count; ++g)
    out.fields.push_back({"digest", 16, "of generation " + std::to_string(g)});
  return out;
}

Frame coded_frame(std::string name, std::string about, CodedFrame coded, Bytes vector, Bytes payload) {
  coded.tag = large_message().tag;
  Frame out{std::move(name), std::move(about), Buffer(32), {}};
  out.bytes.resize(write_coded_prefix(coded, out.bytes.data()));
  out.bytes.insert(out.bytes.end(), vector.begin(), vector.end());
  out.bytes.insert(out.bytes.end(), payload.begin(), payload.end());
  static constexpr std::array forms{"vector", "seed", "systematic"};
  static constexpr std::array hops{"", ", to be passed on", ", passed on"};
  out.fields = {{"kind", 1, "coded"},
                {"form", 1, std::string(forms[static_cast<std::size_t>(coded.form)]) +
                                hops[static_cast<std::size_t>(coded.hop)]},
                {"generation", 2, std::to_string(coded.generation)},
                {"link_sequence", 4, std::to_string(coded.sequence)},
                {"tag", 16, "of message \"large\""}};
  if (coded.form == CodedForm::vector) out.fields.push_back({"coefficients", vector.size(), "half a byte a shard"});
  if (coded.form == CodedForm::seed) out.fields.push_back({"seed", 8, "coefficients by seed"});
  if (coded.form == CodedForm::systematic) out.fields.push_back({"shard_index", 8, std::to_string(coded.seed)});
  out.fields.push_back({"payload", payload.size(), "sum of coefficient times shard"});
  return out;
}

Frame feedback_frame(std::string name, std::string about, const FeedbackFrame& head,
                     std::span<const std::uint64_t> words, std::span<const StatusFrame> statuses) {
  Frame out{std::move(name), std::move(about), Buffer(2048), {}};
  FeedbackWriter writer(out.bytes.data(), out.bytes.size());
  writer.begin(head.highest_sequence, head.delay_us, head.number, head.arrival_us, words);
  writer.set_place(head.place);
  for (const StatusFrame& status : statuses) CHECK(writer.add(status));
  out.bytes.resize(writer.size());
  out.fields = {{"kind", 1, "feedback"},
                {"place", 1, std::to_string(head.place)},
                {"status_count", 1, std::to_string(statuses.size())},
                {"word_count", 1, std::to_string(words.size())},
                {"highest_sequence", 4, std::to_string(head.highest_sequence)},
                {"delay_us", 4, std::to_string(head.delay_us)},
                {"number", 4, std::to_string(head.number)},
                {"arrival_us", 4, std::to_string(head.arrival_us)}};
  for (std::size_t j = 0; j != words.size(); ++j) {
    out.fields.push_back({"bitmap_word", 8, "bit i: sequence " + std::to_string(head.highest_sequence) + " - " +
                                                std::to_string(64 * j) + " - i arrived"});
  }
  static constexpr std::array states{"wanting", "full", "unknown", "refused"};
  for (const StatusFrame& status : statuses) {
    out.fields.push_back({"tag", 16, ""});
    out.fields.push_back({"state", 1, states[static_cast<std::size_t>(status.state)]});
    out.fields.push_back({"zero", 1, ""});
    out.fields.push_back({"want", 2, std::to_string(status.want)});
    out.fields.push_back({"first_generation", 2, std::to_string(status.first_generation)});
    out.fields.push_back({"generation_count", 2, std::to_string(status.deficits.size())});
    if (!status.deficits.empty()) out.fields.push_back({"deficits", status.deficits.size(), "k - rank of each"});
  }
  return out;
}

Frame single_frame() {
  const PreparedMessage& message = small_message();
  Buffer header(short_header_bytes_max);
  header.resize(shorten_header(message.encoded_header, header.data()));
  const SingleFrame single{9, 2, message.tag, header, message.payload};
  Frame out{"single", "a whole message of 100 bytes", Buffer(2048), {}};
  out.bytes.resize(write_single(single, out.bytes.data()));
  out.fields = {{"kind", 1, "single"},
                {"hops", 1, "2"},
                {"header_bytes", 2, std::to_string(header.size())},
                {"link_sequence", 4, "9"},
                {"tag", 16, "of message \"small\""},
                {"header", header.size(), "short form of the signed header of header.json, message \"small\""},
                {"payload", message.payload.size(), "the message"}};
  return out;
}

Frame probe_frame(std::string name, std::string about, bool ask, std::size_t bytes) {
  Frame out{std::move(name), std::move(about), Buffer(bytes), {}};
  write_probe({ask, 41}, bytes, out.bytes.data());
  out.fields = {{"kind", 1, "probe"}, {"ask", 1, ask ? "answer with feedback" : "padding, ignore"},
                {"zero", 2, ""}, {"highest_sequence", 4, "41"}};
  if (bytes > 8) out.fields.push_back({"padding", bytes - 8, "zero"});
  return out;
}

void add_coded_frames(std::vector<Frame>& out) {
  const Buffer first = large_generation(0);
  const Buffer middle = large_generation(1);
  const Buffer last = large_generation(2);
  const std::size_t shard = large_message().header.shard_bytes;
  const std::size_t k = large_message().header.k;
  out.push_back(coded_frame("coded-systematic", "shard 2 of generation 1 as it is",
                            {CodedForm::systematic, 1, 3, {}, 2, {}}, {}, Bytes{middle}.subspan(2 * shard, shard)));
  const std::uint64_t seed = 0x0123456789abcdef;
  out.push_back(coded_frame("coded-seed", "generation 0, coefficients drawn from the seed",
                            {CodedForm::seed, 0, 4, {}, seed, {}}, {}, coded_payload(coefficients_of(seed, k), first)));
  const Buffer coefficients{elements[1], elements[0], elements[14], elements[9]};
  const Buffer packed{0x01, 0x9e};
  out.push_back(coded_frame("coded-vector", "generation 2, padded, coefficients in full",
                            {CodedForm::vector, 2, 0xfffffffe, {}, 0, {}}, packed, coded_payload(coefficients, last)));
  out.push_back(coded_frame("coded-first-hop", "shard 3 of generation 0, to be passed on",
                            {CodedForm::systematic, 0, 11, {}, 3, {}, Hop::first}, {},
                            Bytes{first}.subspan(3 * shard, shard)));
  out.push_back(coded_frame("coded-second-hop", "generation 0 by seed, passed on",
                            {CodedForm::seed, 0, 12, {}, seed, {}, Hop::second}, {},
                            coded_payload(coefficients_of(seed, k), first)));
}

std::vector<Frame> make_frames() {
  std::vector<Frame> out;
  out.push_back(announce_frame("announce", "a message and all its generation digests", 1, 0, 3));
  out.push_back(announce_frame("announce-part", "the same message and its last digest alone", 2, 2, 1));
  out.push_back(announce_frame("announce-bare", "the same message without digests", 7, 0, 0));
  out.push_back(announce_frame("announce-spread", "the same message, which goes to all members", 10, 0, 0, true));
  add_coded_frames(out);
  out.push_back(feedback_frame("feedback-empty", "nothing received yet", {0, 0, 1, 0, 0, 0, {}, {}}, {}, {}));
  const std::array<std::uint64_t, 1> one_word{0x0000'0000'0000'000b};
  out.push_back(
      feedback_frame("feedback-acks", "sequences 70, 69 and 67 arrived",
                               {70, 125, 2, 77'000'001, 0, 0, {}, {}}, one_word, {}));
  const std::array<std::uint64_t, 3> words{0xffff'ffff'ffff'fff1, 0x8000'0000'0000'0001, 0x0000'0000'0000'ffff};
  static constexpr std::array<std::uint8_t, 3> deficits{4, 0, 128};
  MessageTag unknown{};
  unknown.fill(0xa5);
  const std::array<StatusFrame, 4> statuses{StatusFrame{large_message().tag, StatusState::wanting, 12, 0, deficits},
                                            StatusFrame{small_message().tag, StatusState::full, 0, 0, {}},
                                            StatusFrame{unknown, StatusState::unknown, 0, 0, {}},
                                            StatusFrame{tag_of(small_message().header.id, "blocks/v1"),
                                                        StatusState::refused, 0, 1023, Bytes{deficits}.first(1)}};
  out.push_back(feedback_frame("feedback-rich", "three bitmap words and a status of every state",
                               {4'000'000'000, 65'536, 3, 4'294'967'295, 0, 0, {}, {}, 96}, words, statuses));
  out.push_back(single_frame());
  out.push_back(probe_frame("probe-ask", "the shortest probe", true, 8));
  out.push_back(probe_frame("probe-padding", "a probe that only fills a run", false, 72));
  return out;
}

Malformed changed(std::string_view name, std::size_t offset, std::uint8_t value, std::string why) {
  Buffer bytes = frame(name).bytes;
  CHECK(bytes.at(offset) != value);
  bytes.at(offset) = value;
  return {std::string(name), std::move(why), std::move(bytes)};
}

Malformed resized(std::string_view name, std::ptrdiff_t by, std::string why) {
  Buffer bytes = frame(name).bytes;
  bytes.resize(static_cast<std::size_t>(static_cast<std::ptrdiff_t>(bytes.size()) + by));
  return {std::string(name), std::move(why), std::move(bytes)};
}

Malformed with_size(std::string_view name, std::size_t bytes, std::string why) {
  return resized(name, static_cast<std::ptrdiff_t>(bytes) - static_cast<std::ptrdiff_t>(frame(name).bytes.size()),
                 std::move(why));
}

std::vector<Malformed> make_malformed_frames() {
  std::vector<Malformed> out;
  out.push_back({"empty", "no kind", {}});
  out.push_back(changed("probe-ask", 0, 0, "kind 0 does not exist"));
  out.push_back(changed("probe-ask", 0, 6, "kind 6 does not exist"));
  out.push_back(changed("announce", 1, 2, "unknown flag"));
  out.push_back(changed("announce", 2, 1, "digests 1 to 3 of a message of 3 generations"));
  out.push_back(changed("announce", 8, 4, "four digests said, three there"));
  out.push_back(changed("announce", 10, 188, "header length below 189"));
  out.push_back(changed("announce", 23, 1, "reserved byte not zero"));
  out.push_back(resized("announce", 1, "a byte too many"));
  out.push_back(resized("announce", -1, "a byte too few"));
  out.push_back(changed("coded-vector", 1, 3, "form 3 does not exist"));
  out.push_back(changed("coded-seed", 1, 0x31, "hop 3 does not exist"));
  out.push_back(changed("coded-vector", 3, 4, "generation 1026"));
  out.push_back(with_size("coded-vector", 25, "a coefficient and no payload"));
  out.push_back(with_size("coded-vector", 24 + 64 + 1472 + 1, "longer than 128 coefficients and 1,472 bytes"));
  out.push_back(changed("coded-systematic", 24, 128, "shard index 128"));
  out.push_back(changed("coded-systematic", 31, 1, "shard index over 2^56"));
  out.push_back(with_size("coded-seed", 32, "a seed and no payload"));
  out.push_back(with_size("coded-seed", 24 + 8 + 1472 + 1, "a payload over 1,472 bytes"));
  out.push_back(changed("feedback-rich", 2, 5, "five statuses said, four there"));
  out.push_back(changed("feedback-rich", 2, 3, "three statuses said, four there"));
  out.push_back(changed("feedback-acks", 3, 17, "17 bitmap words"));
  out.push_back(changed("feedback-acks", 3, 2, "two words said, one there"));
  out.push_back(changed("feedback-rich", 44 + 16, 4, "state 4 does not exist"));
  out.push_back(changed("feedback-rich", 44 + 17, 1, "reserved byte of a status not zero"));
  out.push_back(changed("feedback-rich", 44 + 21, 4, "generations 1024 to 1026 listed"));
  out.push_back(changed("feedback-rich", 44 + 26, 129, "129 shards missing of a generation"));
  out.push_back(resized("feedback-rich", -1, "the last status cut short"));
  out.push_back(changed("single", 1, 16, "16 hops"));
  out.push_back(changed("single", 2, 114, "header length below 115"));
  out.push_back(with_size("single", 24 + 118, "shorter than its header"));
  out.push_back(with_size("single", 24 + 119 + 1472 + 1, "a payload over 1,472 bytes"));
  out.push_back(changed("probe-ask", 1, 2, "neither ask nor padding"));
  out.push_back(changed("probe-ask", 2, 1, "reserved byte not zero"));
  out.push_back(changed("probe-padding", 71, 1, "padding not zero"));
  out.push_back(with_size("probe-ask", 7, "a byte too few"));
  return out;
}

Malformed header_with(const PreparedMessage& message, std::string name, std::size_t offset, std::uint32_t value,
                      std::size_t bytes, std::string why) {
  Buffer encoded = message.encoded_header;
  std::memcpy(&encoded.at(offset), &value, bytes);
  CHECK(encoded != message.encoded_header);
  return {std::move(name), std::move(why), std::move(encoded)};
}

std::vector<Malformed> make_malformed_headers() {
  const PreparedMessage& large = large_message();
  const PreparedMessage& small = small_message();
  std::vector<Malformed> out;
  out.push_back(header_with(large, "large", 0, 2, 1, "version 2"));
  out.push_back(header_with(large, "large", 1, 0, 1, "no topic"));
  out.push_back(header_with(large, "large", 1, 10, 1, "topic longer than the header"));
  out.push_back(header_with(large, "large", 2, 0, 2, "k = 0"));
  out.push_back(header_with(large, "large", 2, 129, 2, "k = 129"));
  out.push_back(header_with(large, "large", 2, 3, 2, "generations too small for the payload"));
  out.push_back(header_with(large, "large", 2, 8, 2, "last generation empty"));
  out.push_back(header_with(large, "large", 4, 0, 2, "no shard bytes"));
  out.push_back(header_with(large, "large", 4, 449, 2, "shard bytes not a multiple of 64"));
  out.push_back(header_with(large, "large", 4, 1536, 2, "shard bytes over 1,472"));
  out.push_back(header_with(large, "large", 6, 0, 2, "no generations"));
  out.push_back(header_with(large, "large", 6, 1025, 2, "1,025 generations"));
  out.push_back(header_with(large, "large", 6, 4, 2, "last generation empty"));
  out.push_back(header_with(large, "large", 8, 3584, 4, "last generation empty: 3,584 bytes fill two"));
  out.push_back(header_with(large, "large", 8, 5377, 4, "payload longer than the generations"));
  out.push_back(header_with(large, "large", 8, (64u << 20) + 1, 4, "payload over 64 MiB"));
  out.push_back(header_with(small, "small", 4, 128, 2, "k = generations = 1, and shard bytes not the payload size"));
  out.push_back(header_with(small, "small", 2, 2, 2, "k = 2, and shard bytes not a multiple of 64"));
  out.push_back(
      {"large", "a byte too few", buffer_of(Bytes{large.encoded_header}.first(large.encoded_header.size() - 1))});
  out.push_back({"empty", "no bytes", {}});
  Buffer longer = large.encoded_header;
  longer.push_back(0);
  out.push_back({"large", "a byte too many", std::move(longer)});
  return out;
}

}  // namespace

Buffer from_hex(std::string_view hex) {
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  Buffer out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    out.push_back(static_cast<std::uint8_t>(digit(hex[i]) * 16 + digit(hex[i + 1])));
  }
  return out;
}

Buffer payload_of(std::size_t bytes) {
  Buffer out(bytes);
  for (std::size_t i = 0; i != bytes; ++i) out[i] = static_cast<std::uint8_t>(31 * i + i / 256);
  return out;
}

Buffer publisher_seed() {
  Buffer seed(32);
  for (std::size_t i = 0; i != seed.size(); ++i) seed[i] = static_cast<std::uint8_t>(i);
  return seed;
}

PublisherKey publisher_key() {
  const auto secret = secret_key();
  PublisherKey key{};
  std::copy_n(secret.begin() + 32, key.size(), key.begin());
  return key;
}

Signer signer() {
  return [secret = secret_key()](std::span<const std::uint8_t> message) {
    Signature signature{};
    crypto_sign_detached(signature.data(), nullptr, message.data(), message.size(), secret.data());
    return signature;
  };
}

const PreparedMessage& small_message() {
  static const PreparedMessage message = prepare(100, "votes", 1'700'000'000'000'000'001, {});
  return message;
}

const PreparedMessage& large_message() {
  static const PreparedMessage message = [] {
    RelayParams params;
    params.path_mtu_bytes = 576;
    params.shards_target = 4;
    return prepare(5000, "blocks/v1", 1'700'000'000'000'000'002, params);
  }();
  return message;
}

Buffer large_generation(std::size_t generation) {
  const PreparedMessage& message = large_message();
  const std::size_t bytes = std::size_t{message.header.k} * message.header.shard_bytes;
  Buffer padded = message.payload;
  padded.resize(bytes * message.header.generations);
  return buffer_of(Bytes{padded}.subspan(generation * bytes, bytes));
}

std::uint8_t field_product(std::uint8_t a, std::uint8_t b) {
  unsigned sum = 0;
  for (unsigned bit = 0; bit != 8; ++bit) {
    if ((b >> bit & 1) != 0) sum ^= unsigned{a} << bit;
  }
  for (unsigned bit = 14; bit >= 8; --bit) {
    if ((sum >> bit & 1) != 0) sum ^= 0x11du << (bit - 8);
  }
  return static_cast<std::uint8_t>(sum);
}

Buffer coded_payload(Bytes coefficients, Bytes shards) {
  const std::size_t shard = shards.size() / coefficients.size();
  Buffer out(shard);
  for (std::size_t j = 0; j != coefficients.size(); ++j) {
    for (std::size_t i = 0; i != shard; ++i) out[i] ^= field_product(coefficients[j], shards[j * shard + i]);
  }
  return out;
}

Buffer coefficients_of(std::uint64_t seed, std::size_t k) {
  Buffer out;
  std::uint64_t state = seed;
  while (out.size() < k) {
    const std::uint64_t value = splitmix64(state);
    for (unsigned half = 0; half != 16 && out.size() < k; ++half) out.push_back(elements[value >> 4 * half & 15]);
  }
  return out;
}

const std::vector<Frame>& frames() {
  static const std::vector<Frame> all = make_frames();
  return all;
}

const Frame& frame(std::string_view name) {
  for (const Frame& candidate : frames()) {
    if (candidate.name == name) return candidate;
  }
  throw std::out_of_range(std::string(name));
}

const std::vector<Malformed>& malformed_frames() {
  static const std::vector<Malformed> all = make_malformed_frames();
  return all;
}

const std::vector<Malformed>& malformed_headers() {
  static const std::vector<Malformed> all = make_malformed_headers();
  return all;
}

SessionKeys session_keys() {
  SessionKeys keys;
  for (std::uint8_t i = 0; i != 16; ++i) {
    keys.send.key[i] = i;
    keys.receive.key[i] = static_cast<std::uint8_t>(0xf0 + i);
  }
  for (std::uint8_t i = 0; i != 12; ++i) {
    keys.send.iv[i] = static_cast<std::uint8_t>(0x10 + i);
    keys.receive.iv[i] = static_cast<std::uint8_t>(0xa0 + i);
  }
  keys.send.key_id = 0x01020304;
  keys.receive.key_id = 0xfffffffe;
  return keys;
}

SessionKeys swapped(const SessionKeys& keys) { return {keys.receive, keys.send}; }

}  // namespace corelay::dataplane::golden
