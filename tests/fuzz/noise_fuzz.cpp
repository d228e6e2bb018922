// What a stranger can send before it has proved anything: bytes to a link that listens or dials
// (fixed keys), to the record reader, and to the parser of the handshake payload.
#include "codec/check.h"
#include "control/libp2p/link.h"
#include "control/libp2p/noise_payload.h"
#include "control/libp2p/public_key.h"

using namespace corelay;
using namespace corelay::libp2p;

namespace {

struct Ignore : LinkEvents {
  void on_ready() override {}
  void on_stream(std::uint32_t) override {}
  void on_data(std::uint32_t, Bytes) override {}
  void on_end(std::uint32_t) override {}
  void on_reset(std::uint32_t) override {}
  void on_pong(std::uint32_t) override {}
  void on_go_away(std::uint32_t) override {}
};

NoiseKeys keys(std::uint8_t fill) {
  Key32 secret;
  secret.fill(fill);
  return NoiseKeys::from_secret(secret);
}

void feed_link(Role role, std::size_t step, Bytes in) {
  static const Identity identity = Identity::from_seed({1});
  Ignore events;
  Link link(identity, {role, {}, {}, true}, events, keys(0x21), keys(0x22));
  std::vector<std::uint8_t> out;
  while (!in.empty()) {
    const Bytes part = in.first(std::min(step, in.size()));
    const bool is_good = link.receive(part).has_value();
    static_cast<void>(link.take_output(out, 4096));
    if (!is_good) break;
    in = in.subspan(part.size());
  }
  CHECK(!link.is_ready());  // nobody gets in without a key that signs
}

void feed_reader(std::size_t step, Bytes in) {
  RecordReader reader;
  std::size_t taken = 0;
  const std::size_t total = in.size();
  while (!in.empty()) {
    const Bytes part = in.first(std::min(step, in.size()));
    reader.add(part);
    in = in.subspan(part.size());
    while (const auto record = reader.next()) {
      taken += record_header_bytes + record->size();
      RecordCipher cipher(Key32{});
      static_cast<void>(cipher.open(*record));
    }
  }
  CHECK(taken + reader.take_rest().size() == total);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const Bytes in(data + 2, size - 2);
  const std::size_t step = data[1] == 0 ? size : data[1];
  switch (data[0] % 4) {
    case 0:
      feed_link(Role::listener, step, in);
      break;
    case 1:
      feed_link(Role::dialer, step, in);
      break;
    case 2:
      feed_reader(step, in);
      break;
    default: {
      const auto peer = parse_noise_payload(in, keys(0x21).public_key);
      if (peer) CHECK(!peer->peer.is_empty());
      static_cast<void>(peer_id_of(in));
      static_cast<void>(verify(in, in, in.first(std::min<std::size_t>(in.size(), 70))));
    }
  }
  return 0;
}
