// A neighbour that holds a valid session and sends whatever it likes, to a relay between an honest publisher and a
// reader. The input is a list of operations (Hostile::step()): frames made from a few bytes so that they get past the
// parsers, raw frames, honest publishes, time. Nothing but genuine messages is ever delivered, each once, and a while
// after the last frame the relay's tables are empty again.
#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "codec/coefficients.h"
#include "tests/dataplane/relay_liar.h"

namespace corelay::dataplane::test {
namespace {

constexpr std::size_t publisher = 0;
constexpr std::size_t relay = 1;
constexpr std::size_t liar = 2;
constexpr std::size_t reader = 3;

NetworkConfig small() {
  NetworkConfig config;
  config.params.generations_max = 48;
  config.params.cells_max = 512;
  config.params.messages_per_peer_max = 16;
  config.params.link_frames_max = 256;
  config.params.shards_target = 8;
  config.params.topics_max = 8;
  return config;
}

class Hostile {
 public:
  explicit Hostile(Bytes input) : input_(input), network_(4, small()), liar_(network_, liar) {
    for (const std::size_t node : {publisher, liar, reader}) network_.join(node, relay);
    network_.route_all("t");
    // What is lied about: a message of one frame, one of one generation, one of several.
    for (const std::size_t bytes : {std::size_t{300}, std::size_t{5'000}, std::size_t{40'000}}) {
      payloads_.push_back(bytes_of(bytes, bytes));
      messages_.push_back(liar_.prepare(payloads_.back()));
    }
  }

  void run() {
    for (int steps = 0; !input_.empty() && steps < 200; ++steps) step();
    // Longer than anything incomplete, kept or held may stay.
    network_.run(seconds(100));
    for (const std::size_t node : {relay, reader}) {
      for (const auto& [id, times] : network_.nodes()[node].delivered) CHECK(times == 1);
      CHECK(count(network_, node, Counter::gauge_cells_used) == 0);
    }
  }

 private:
  std::uint8_t byte() {
    if (input_.empty()) return 0;
    const std::uint8_t value = input_.front();
    input_ = input_.subspan(1);
    return value;
  }
  // One byte a statement throughout: compilers choose the order within one, and a corpus must mean the same to all.
  std::uint16_t pair() {
    const unsigned high = byte();
    return static_cast<std::uint16_t>(high << 8 | byte());
  }
  std::size_t which() { return byte() % messages_.size(); }

  void step() {
    switch (byte() % 10) {
      case 0: {
        std::size_t bytes = byte();
        bytes = std::min(bytes, input_.size());
        network_.inject(liar, relay, {input_.begin(), input_.begin() + static_cast<std::ptrdiff_t>(bytes)});
        input_ = input_.subspan(bytes);
        break;
      }
      case 1: liar_.announce(relay, messages_[which()]); break;
      case 2: change_header(); break;
      case 3: give(); break;
      case 4: status(); break;
      case 5: liar_.single(relay, messages_[0]); break;
      case 6: network_.publish(publisher, payloads_[which()]); break;
      case 7: network_.run(milliseconds(1 + byte())); break;
      case 8: liar_.give_all(relay, messages_[1], payloads_[1]); break;
      default: change_frame(); break;
    }
  }

  /// Another cut, size, digest or signature; signed again or not.
  void change_header() {
    PreparedMessage& message = messages_[1 + byte() % 2];
    switch (byte() % 6) {
      case 0: message.header.k = static_cast<std::uint16_t>(1 + byte() % k_wire_max); break;
      case 1: message.header.shard_bytes = static_cast<std::uint16_t>(1 + pair() % shard_wire_bytes_max); break;
      case 2: message.header.generations = static_cast<std::uint16_t>(1 + byte()); break;
      case 3: message.header.size_bytes = pair(); break;
      case 4: message.header.digest_root[0] ^= byte(); break;
      default: message.digests.resize(std::min<std::size_t>(byte() % 40, message.digests.size()));
    }
    if (byte() % 4 != 0) liar_.seal(message);
    liar_.announce(relay, message);
  }

  /// One shard, of the right bytes or of others.
  void give() {
    const std::size_t at = which();
    const std::size_t g = byte() % 48;
    const std::size_t row = byte();
    const std::size_t from = byte() % 4 == 0 ? which() : at;
    liar_.give(relay, messages_[at], g, row, payloads_[from]);
  }

  void status() {
    StatusFrame status;
    const std::size_t at = which();
    status.tag = messages_[at].tag;
    status.state = static_cast<StatusState>(byte() % 4);
    status.want = byte();
    status.first_generation = byte() % 48;
    std::vector<std::uint8_t> deficits(byte() % 8);
    for (std::uint8_t& deficit : deficits) deficit = byte();
    status.deficits = deficits;
    liar_.status(relay, status, byte());
  }

  /// A coded frame of any form, generation, seed and length, under a tag that is known.
  void change_frame() {
    CodedFrame coded;
    const PreparedMessage& message = messages_[which()];
    coded.form = static_cast<CodedForm>(byte() % 3);
    coded.generation = byte() % 48;
    coded.sequence = pair();
    coded.tag = message.tag;
    coded.seed = byte();
    const std::size_t vector = coded.form == CodedForm::vector ? codec::packed_bytes(message.header.k) : 8;
    Frame frame(frame_prefix_bytes + vector + message.header.shard_bytes);
    const std::size_t prefix = write_coded_prefix(coded, frame.data());
    for (std::size_t i = prefix; i < std::min(frame.size(), prefix + 16); ++i) frame[i] = byte();
    const std::size_t cut = byte();
    if (cut > 200) frame.resize(frame.size() - std::min(cut, frame.size()));
    network_.inject(liar, relay, frame);
  }

  Bytes input_;
  Network network_;
  Liar liar_;
  std::vector<std::vector<std::uint8_t>> payloads_;
  std::vector<PreparedMessage> messages_;
};

}  // namespace
}  // namespace corelay::dataplane::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  corelay::dataplane::test::Hostile({data, size}).run();
  return 0;
}
