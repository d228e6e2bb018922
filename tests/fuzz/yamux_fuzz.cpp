// A Yamux session under a hostile peer and a busy owner. The input is a list of operations: what
// the peer sends (whole frames made from a few bytes, or raw bytes) and what the owner does. The
// accounts must stay right throughout.
#include <map>

#include "codec/check.h"
#include "control/libp2p/yamux.h"

using namespace corelay;
using namespace corelay::libp2p;

namespace {

struct Owner : YamuxEvents {
  explicit Owner(YamuxSession& owned) : session(owned) {}
  void on_stream(std::uint32_t id) override { CHECK(session.has_stream(id)); }
  void on_data(std::uint32_t id, Bytes data) override {
    unread[id] += data.size();
    CHECK(unread[id] <= yamux_window_bytes);  // no peer gets beyond its window
  }
  void on_end(std::uint32_t) override {}
  void on_reset(std::uint32_t id) override {
    CHECK(!session.has_stream(id));
    unread.erase(id);
  }
  void on_pong(std::uint32_t) override {}
  void on_go_away(std::uint32_t) override {}
  YamuxSession& session;
  std::map<std::uint32_t, std::size_t> unread;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  YamuxLimits limits;
  limits.inbound_streams_max = 8;
  limits.unacknowledged_streams_max = 8;
  YamuxSession session(data[0] % 2 == 0 ? Role::listener : Role::dialer, limits);
  Owner owner(session);
  std::size_t queued_max = 0;
  for (std::size_t at = 1; at + 4 < size; at += 5) {
    const std::uint8_t* op = data + at;
    const std::uint32_t id = op[1] % 24;
    const std::uint32_t count = static_cast<std::uint32_t>(op[3]) << 8 | op[4];
    switch (op[0] % 9) {
      case 0: {  // a frame with its payload
        const std::uint8_t frame[12] = {0,     static_cast<std::uint8_t>(op[0] / 9 % 5),
                                        0,     op[2],
                                        0,     0,
                                        0,     static_cast<std::uint8_t>(id),
                                        0,     0,
                                        op[3], op[4]};
        std::vector<std::uint8_t> bytes(frame, frame + 12);
        if (frame[1] == 0) bytes.resize(12 + count);
        static_cast<void>(session.receive(bytes, owner));
        break;
      }
      case 1:  // raw bytes
        static_cast<void>(session.receive(Bytes(op, 5), owner));
        break;
      case 2:
        static_cast<void>(session.open());
        break;
      case 3:
        if (queued_max < (1u << 20) && session.write(id, std::vector<std::uint8_t>(count)))
          queued_max += count;
        break;
      case 4:
        session.close_write(id);
        break;
      case 5:
        session.reset(id);
        owner.unread.erase(id);
        break;
      case 6:
        session.consumed(id, owner.unread[id]);
        owner.unread[id] = 0;
        break;
      case 7: {
        std::vector<std::uint8_t> out;
        const std::size_t bytes_max = 64 + count;
        CHECK(session.take_output(out, bytes_max) == out.size());
        CHECK(out.size() <= bytes_max);
        break;
      }
      default:
        session.ping(count);
    }
  }
  // Everything that can go out goes out, and then nothing is left but what windows hold back.
  std::vector<std::uint8_t> out;
  for (int i = 0; i < 10000 && session.has_output(); ++i) {
    out.clear();
    session.take_output(out, 65519);
  }
  CHECK(!session.has_output());
  CHECK(session.control_bytes() == 0);
  for (std::uint32_t id = 0; id < 24; ++id) session.reset(id);
  if (session.stream_count() == 0) CHECK(session.queued_bytes() == session.control_bytes());
  return 0;
}
