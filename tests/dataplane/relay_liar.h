/// For relay tests: a neighbour that holds a valid session and lies, and what tests with one share.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tests/dataplane/relay_network.h"

namespace corelay::dataplane::test {

using Frame = std::vector<std::uint8_t>;

inline NetworkConfig plain() {
  NetworkConfig config;
  config.params.shards_target = 64;  // the sizes here make several generations of that
  config.params.generations_max = 256;
  config.params.cells_max = 8192;
  return config;
}

/// Publisher 0, relay 1, liar 2, and 3 behind the relay.
inline Network around_a_relay(NetworkConfig config = plain()) {
  Network network(4, config);
  network.join(0, 1);
  network.join(2, 1);
  network.join(1, 3);
  network.route_all("t");
  return network;
}

inline std::uint64_t count(Network& network, std::size_t node, Counter counter) {
  return network.nodes()[node].counters->value(counter);
}

inline std::vector<std::uint8_t> bytes_of(std::size_t size, std::uint64_t seed) {
  Rng rng(seed);
  std::vector<std::uint8_t> payload(size);
  for (auto& byte : payload) byte = static_cast<std::uint8_t>(rng.next());
  return payload;
}

/// A neighbour with a session and a key of its own, that says whatever the test wants.
class Liar {
 public:
  Liar(Network& network, std::size_t self) : network_(network), self_(self) {
    crypto_sign_seed_keypair(public_.data(), secret_.data(), std::array<unsigned char, 32>{66}.data());
    network_.nodes()[self_].is_dead = true;  // nothing is answered but by hand
  }

  /// A header of the payload, as an honest publisher makes it but signed here.
  PreparedMessage prepare(std::vector<std::uint8_t> payload, const std::string& topic = "t") const {
    const auto sign = [this](std::span<const std::uint8_t> bytes) { return signed_by_us(bytes); };
    auto prepared = prepare_message(std::move(payload), topic, public_, 1, 0, plain().params, sign);
    CHECK(prepared);
    return *prepared;
  }

  /// Signs `message.header` again after a change.
  void seal(PreparedMessage& message) const {
    message.header.publisher = public_;
    message.encoded_header.resize(encoded_header_bytes(message.header));
    write_header(message.header, message.encoded_header.data());
    std::array<std::uint8_t, signed_bytes_max> to_sign;
    const std::size_t bytes = signed_bytes(message.encoded_header, to_sign);
    message.header.signature = signed_by_us({to_sign.data(), bytes});
    write_header(message.header, message.encoded_header.data());
  }

  /// The digest, and its root, of a message of one generation whose cut was changed.
  static void digest(PreparedMessage& message) {
    CHECK(message.header.generations == 1);
    std::vector<std::uint8_t> padded = message.payload;
    padded.resize(std::size_t{message.header.k} * message.header.shard_bytes);
    Sha256 hash;
    hash.reset();
    hash.update(padded);
    const auto whole = hash.finish();
    message.digests.resize(1);
    std::copy_n(whole.begin(), message.digests[0].size(), message.digests[0].begin());
    hash.reset();
    hash.update(message.digests[0]);
    const auto root = hash.finish();
    std::copy_n(root.begin(), message.header.digest_root.size(), message.header.digest_root.begin());
  }

  void announce(std::size_t to, const PreparedMessage& message) {
    AnnounceFrame announce;
    announce.sequence = ++sequence_;
    announce.header = message.encoded_header;
    std::vector<std::uint8_t> digests;
    for (const Digest& digest : message.digests) digests.insert(digests.end(), digest.begin(), digest.end());
    announce.digest_count = static_cast<std::uint16_t>(message.digests.size());
    announce.digests = digests;
    Frame frame(4096);
    frame.resize(write_announce(announce, frame.data()));
    network_.inject(self_, to, frame);
  }

  /// A coded frame with shard `row` of `payload`, cut as the header says.
  void give(std::size_t to, const PreparedMessage& message, std::size_t g, std::size_t row,
            const std::vector<std::uint8_t>& payload) {
    const std::size_t shard = message.header.shard_bytes;
    CodedFrame coded;
    coded.form = CodedForm::systematic;
    coded.generation = static_cast<std::uint16_t>(g);
    coded.sequence = ++sequence_;
    coded.tag = message.tag;
    coded.seed = row;
    Frame frame(frame_prefix_bytes + 8 + shard);
    write_coded_prefix(coded, frame.data());
    const std::size_t offset = (g * message.header.k + row) * shard;
    if (offset < payload.size()) {
      std::memcpy(frame.data() + frame_prefix_bytes + 8, payload.data() + offset,
                  std::min(shard, payload.size() - offset));
    }
    network_.inject(self_, to, frame);
  }
  void give_all(std::size_t to, const PreparedMessage& message, const std::vector<std::uint8_t>& payload) {
    for (std::size_t g = 0; g < message.header.generations; ++g) {
      for (std::size_t row = 0; row < message.header.k; ++row) give(to, message, g, row, payload);
    }
  }

  void single(std::size_t to, const PreparedMessage& message) {
    SingleFrame single;
    single.sequence = ++sequence_;
    single.tag = message.tag;
    std::vector<std::uint8_t> header(short_header_bytes_max);
    header.resize(shorten_header(message.encoded_header, header.data()));
    single.header = header;
    single.payload = message.payload;
    Frame frame(4096);
    frame.resize(write_single(single, frame.data()));
    network_.inject(self_, to, frame);
  }

  /// With an acknowledgement of all frames up to `highest`, when that is not 0.
  void status(std::size_t to, const StatusFrame& status, std::uint32_t highest = 0) {
    Frame frame(1400);
    FeedbackWriter writer(frame.data(), frame.size());
    std::vector<std::uint64_t> words(highest == 0 ? 0 : ack_words_max);
    for (std::size_t w = 0; w < words.size() && 64 * w < highest; ++w) {
      words[w] = highest - 64 * w >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << (highest - 64 * w)) - 1;
    }
    writer.begin(highest, 0, ++feedback_, 0, words);
    CHECK(writer.add(status));
    frame.resize(writer.size());
    network_.inject(self_, to, frame);
  }

 private:
  Signature signed_by_us(std::span<const std::uint8_t> bytes) const {
    Signature signature;
    crypto_sign_detached(signature.data(), nullptr, bytes.data(), bytes.size(), secret_.data());
    return signature;
  }

  Network& network_;
  std::size_t self_;
  std::uint32_t sequence_ = 0;
  std::uint32_t feedback_ = 0;
  PublisherKey public_{};
  std::array<unsigned char, 64> secret_{};
};

}  // namespace corelay::dataplane::test
