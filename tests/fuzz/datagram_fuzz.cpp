// Datagrams of any bytes against a table with a session. The first byte of an input is settings: bit 0 forces the
// OpenSSL backend, bit 1 makes the rest a frame that is sealed first and then changed at the byte that bits 2 to 7 name
// (63: unchanged). What opens must be what was sealed; a refused datagram must leave the table as it was, which the
// next genuine one shows.
#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "codec/check.h"
#include "dataplane/core/session_table.h"

namespace {

using namespace corelay;
using namespace corelay::dataplane;

SessionKeys keys_of() {
  SessionKeys keys;
  for (std::uint8_t i = 0; i != 16; ++i) keys.send.key[i] = i;
  for (std::uint8_t i = 0; i != 12; ++i) keys.send.iv[i] = static_cast<std::uint8_t>(0x10 + i);
  keys.send.key_id = 0x01020304;
  keys.receive.key_id = 0xfffffffe;
  return keys;
}

struct Tables {
  explicit Tables(AeadBackend backend) : from(0, 1, backend), to(0, 1, backend) {}
  /// New sessions on both sides: packet numbers from 1 again.
  void restart() {
    SessionKeys keys = keys_of();
    from.remove(0);
    from.install({}, 0, keys);
    std::swap(keys.send, keys.receive);
    to.remove(0);
    to.install({}, 0, keys);
  }
  SessionTable from;
  SessionTable to;
};

void open_sealed_and_changed(Tables& tables, std::size_t change_at, Bytes frame) {
  std::vector<std::uint8_t> datagram(frame.size() + datagram_overhead_bytes);
  CHECK(tables.from.seal(0, frame, datagram.data()) == datagram.size());
  const std::vector<std::uint8_t> genuine = datagram;
  const bool is_changed = change_at < 63;
  if (is_changed) datagram[change_at * datagram.size() / 63] ^= 0x10;
  const Opened opened = tables.to.open({}, datagram);
  if (is_changed) {
    CHECK(opened.outcome != Open::opened);
    datagram = genuine;
    CHECK(tables.to.open({}, datagram).outcome == Open::opened);
  } else {
    CHECK(opened.outcome == Open::opened &&
          std::equal(frame.begin(), frame.end(), opened.frame.begin(), opened.frame.end()));
  }
  datagram = genuine;
  CHECK(tables.to.open({}, datagram).outcome == Open::replayed);
}

void open_raw(Tables& tables, Bytes input) {
  std::vector<std::uint8_t> datagram(input.begin(), input.end());
  const Opened opened = tables.to.open({}, datagram);
  // The next number that nobody has used must still open, unless the input was genuine and was number 1 itself.
  std::vector<std::uint8_t> next(1 + datagram_overhead_bytes);
  CHECK(tables.from.seal(0, as_bytes("x"), next.data()) == next.size());
  const bool took_1 = opened.outcome == Open::opened && load_le<std::uint64_t>(&input[8]) == 1 && input[1] == 0;
  if (opened.outcome != Open::opened || took_1) {
    CHECK(tables.to.open({}, next).outcome == (took_1 ? Open::replayed : Open::opened));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Tables openssl(AeadBackend::openssl);
  static Tables probed(probe_aead_backend());
  if (size < 2) return 0;
  Tables& tables = (data[0] & 1) != 0 ? openssl : probed;
  tables.restart();
  const Bytes rest{data + 1, size - 1};
  if ((data[0] & 2) != 0 && rest.size() + datagram_overhead_bytes <= datagram_bytes_max) {
    open_sealed_and_changed(tables, data[0] >> 2, rest);
  } else {
    open_raw(tables, rest);
  }
  return 0;
}
