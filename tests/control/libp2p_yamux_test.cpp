// Yamux: frames as js-libp2p writes them, windows, half close, resets, limits, order of what is
// sent.
#include "control/libp2p/yamux.h"

#include <gtest/gtest.h>

#include <map>

#include "codec/rng.h"
#include "control/libp2p/varint.h"
#include "tests/control/libp2p_vectors.h"

namespace corelay::libp2p {
namespace {

struct Seen : YamuxEvents {
  void on_stream(std::uint32_t id) override { opened.push_back(id); }
  void on_data(std::uint32_t id, Bytes bytes) override { append_bytes(data[id], bytes); }
  void on_end(std::uint32_t id) override { ended.push_back(id); }
  void on_reset(std::uint32_t id) override { resets.push_back(id); }
  void on_pong(std::uint32_t value) override { pongs.push_back(value); }
  void on_go_away(std::uint32_t code) override { go_aways.push_back(code); }
  std::vector<std::uint32_t> opened, ended, resets, pongs, go_aways;
  std::map<std::uint32_t, std::vector<std::uint8_t>> data;
};

struct Frame {
  std::uint8_t type;
  std::uint16_t flags;
  std::uint32_t id;
  std::uint32_t length;
  std::vector<std::uint8_t> payload;
};

std::vector<std::uint8_t> frame(int type, int flags, std::uint32_t id, std::uint32_t length,
                                std::size_t payload_bytes = 0) {
  std::vector<std::uint8_t> bytes{0, static_cast<std::uint8_t>(type), 0,
                                  static_cast<std::uint8_t>(flags)};
  for (const std::uint32_t value : {id, length}) {
    for (int shift = 24; shift >= 0; shift -= 8)
      bytes.push_back(static_cast<std::uint8_t>(value >> shift));
  }
  bytes.resize(bytes.size() + payload_bytes);
  return bytes;
}

std::vector<std::uint8_t> data_frame(int flags, std::uint32_t id, std::uint32_t length) {
  return frame(0, flags, id, length, length);
}

std::vector<Frame> frames_of(Bytes bytes) {
  std::vector<Frame> frames;
  const auto u32 = [](Bytes at) {
    return static_cast<std::uint32_t>(at[0]) << 24 | static_cast<std::uint32_t>(at[1]) << 16 |
           static_cast<std::uint32_t>(at[2]) << 8 | at[3];
  };
  while (!bytes.empty()) {
    EXPECT_GE(bytes.size(), yamux_header_bytes);
    Frame next{bytes[1],
               static_cast<std::uint16_t>(bytes[2] << 8 | bytes[3]),
               u32(bytes.subspan(4)),
               u32(bytes.subspan(8)),
               {}};
    bytes = bytes.subspan(yamux_header_bytes);
    if (next.type == 0) {
      next.payload.assign(bytes.begin(), bytes.begin() + next.length);
      bytes = bytes.subspan(next.length);
    }
    frames.push_back(std::move(next));
  }
  return frames;
}

std::vector<std::uint8_t> output(YamuxSession& session) {
  std::vector<std::uint8_t> bytes;
  while (session.has_output() && session.take_output(bytes, 65519) > 0) {
  }
  return bytes;
}

/// Two sessions and what they saw.
struct Pair {
  explicit Pair(const YamuxLimits& limits = {})
      : a(Role::dialer, limits), b(Role::listener, limits) {}
  void run() {
    while (a.has_output() || b.has_output()) {
      const auto from_a = output(a);
      ASSERT_TRUE(b.receive(from_a, b_seen));
      const auto from_b = output(b);
      ASSERT_TRUE(a.receive(from_b, a_seen));
      if (from_a.empty() && from_b.empty()) return;
    }
  }
  YamuxSession a, b;
  Seen a_seen, b_seen;
};

TEST(YamuxTest, FramesMatchJs) {
  const auto& v = vectors()["yamux"];
  YamuxSession dialer(Role::dialer, {});
  ASSERT_EQ(dialer.open().value(), 1u);
  EXPECT_EQ(to_hex(output(dialer)), v["open_syn_window_update_sid1"]);
  dialer.close_write(1);
  EXPECT_EQ(to_hex(output(dialer)), v["fin_sid1"]);
  dialer.reset(1);
  EXPECT_EQ(to_hex(output(dialer)), v["rst_sid1"]);
  dialer.ping(0x2a);
  EXPECT_EQ(to_hex(output(dialer)), v["ping_syn_0x2a"]);
  dialer.go_away(YamuxSession::GoAway::normal);
  EXPECT_EQ(to_hex(output(dialer)), v["goaway_normal"]);
  dialer.go_away(YamuxSession::GoAway::protocol_error);
  EXPECT_EQ(to_hex(output(dialer)), v["goaway_protocol_error"]);

  YamuxSession listener(Role::listener, {});
  Seen seen;
  ASSERT_TRUE(listener.receive(from_hex(v["open_syn_window_update_sid1"]), seen));
  EXPECT_EQ(seen.opened, std::vector<std::uint32_t>{1});
  EXPECT_EQ(to_hex(output(listener)), v["ack_window_update_sid1"]);
  ASSERT_TRUE(
      listener.receive(from_hex(v["data_syn_sid3_len5"].get<std::string>() + "68656c6c6f"), seen));
  EXPECT_EQ(seen.opened, (std::vector<std::uint32_t>{1, 3}));
  EXPECT_EQ(as_text(seen.data[3]), "hello");
  ASSERT_TRUE(listener.receive(from_hex(v["fin_sid1"]), seen));
  EXPECT_EQ(seen.ended, std::vector<std::uint32_t>{1});
  ASSERT_TRUE(listener.receive(from_hex(v["rst_sid1"]), seen));
  EXPECT_EQ(seen.resets, std::vector<std::uint32_t>{1});
  output(listener);
  ASSERT_TRUE(listener.receive(from_hex(v["ping_syn_0x2a"]), seen));
  EXPECT_EQ(to_hex(output(listener)), v["ping_ack_0x2a"]);
  ASSERT_TRUE(listener.receive(from_hex(v["ping_ack_0x2a"]), seen));
  EXPECT_EQ(seen.pongs, std::vector<std::uint32_t>{0x2a});
  ASSERT_TRUE(listener.receive(from_hex(v["goaway_normal"]), seen));
  EXPECT_EQ(seen.go_aways, std::vector<std::uint32_t>{0});
  EXPECT_EQ(listener.open().error().code, ErrorCode::closed);
}

TEST(YamuxTest, ASenderStopsAtTheWindowAndGoesOnAsItIsRead) {
  Pair pair;
  const std::uint32_t id = pair.a.open().value();
  std::vector<std::uint8_t> bulk(1u << 20);
  Rng rng(1);
  for (auto& byte : bulk) byte = static_cast<std::uint8_t>(rng.next());
  ASSERT_TRUE(pair.a.write(id, bulk));
  pair.run();
  EXPECT_EQ(pair.b_seen.data[id].size(), yamux_window_bytes);
  EXPECT_EQ(pair.a.queued_bytes(), bulk.size() - yamux_window_bytes);
  EXPECT_FALSE(pair.a.has_output());

  // Credit goes back in halves, not for each read.
  std::size_t read = 0;
  int updates = 0;
  while (read < bulk.size()) {
    const std::size_t step = std::min<std::size_t>(1000, pair.b_seen.data[id].size() - read);
    ASSERT_GT(step, 0u) << "stuck at " << read;
    pair.b.consumed(id, step);
    read += step;
    updates += pair.b.has_output() ? 1 : 0;
    pair.run();
  }
  EXPECT_EQ(pair.b_seen.data[id], bulk);
  EXPECT_LE(updates, 8);
  EXPECT_EQ(pair.a.queued_bytes(), 0u);
}

TEST(YamuxTest, AWindowExceededEndsTheSession) {
  YamuxSession session(Role::listener, {});
  Seen seen;
  ASSERT_TRUE(session.receive(data_frame(1, 1, yamux_window_bytes), seen));
  ASSERT_TRUE(session.receive(data_frame(0, 1, 0), seen));
  output(session);
  const auto outcome = session.receive(data_frame(0, 1, 1), seen);
  EXPECT_EQ(outcome.error().code, ErrorCode::malformed);
  EXPECT_EQ(to_hex(output(session)), vectors()["yamux"]["goaway_protocol_error"]);
  EXPECT_EQ(session.receive(frame(2, 1, 0, 1), seen).error().code, ErrorCode::closed)
      << "nothing more is read";
  EXPECT_FALSE(session.open());
}

TEST(YamuxTest, ALargerWindowIsToldAtTheStart) {
  YamuxLimits limits;
  limits.receive_window_bytes = 1u << 20;
  Pair pair(limits);
  const std::uint32_t id = pair.a.open().value();
  pair.run();
  ASSERT_TRUE(pair.a.write(id, std::vector<std::uint8_t>(2u << 20)));
  ASSERT_TRUE(pair.b.write(id, std::vector<std::uint8_t>(2u << 20)));
  pair.run();
  EXPECT_EQ(pair.b_seen.data[id].size(), 1u << 20);
  EXPECT_EQ(pair.a_seen.data[id].size(), 1u << 20);
}

TEST(YamuxTest, HalfCloseThenTheStreamIsForgotten) {
  Pair pair;
  const std::uint32_t id = pair.a.open().value();
  ASSERT_TRUE(pair.a.write(id, as_bytes("question")));
  pair.a.close_write(id);
  EXPECT_FALSE(pair.a.write(id, as_bytes("more")));
  pair.run();
  EXPECT_EQ(pair.b_seen.ended, std::vector<std::uint32_t>{id});
  EXPECT_TRUE(pair.a.has_stream(id) && pair.b.has_stream(id));
  ASSERT_TRUE(pair.b.write(id, as_bytes("answer")));
  pair.b.close_write(id);
  pair.run();
  EXPECT_EQ(as_text(pair.a_seen.data[id]), "answer");
  EXPECT_EQ(pair.a_seen.ended, std::vector<std::uint32_t>{id});
  EXPECT_EQ(pair.a.stream_count(), 0u);
  EXPECT_EQ(pair.b.stream_count(), 0u);
}

TEST(YamuxTest, FinComesAfterAllDataInAFrameOfItsOwn) {
  YamuxSession session(Role::dialer, {});
  const std::uint32_t id = session.open().value();
  ASSERT_TRUE(session.write(id, std::vector<std::uint8_t>(50000)));
  session.close_write(id);
  const auto frames = frames_of(output(session));
  ASSERT_EQ(frames.size(), 6u);  // SYN, 16 + 16 + 16 KiB and the rest, FIN
  for (std::size_t i = 1; i <= 4; ++i) EXPECT_EQ(frames[i].flags, 0);
  EXPECT_EQ(frames[5].flags, 4);
  EXPECT_EQ(frames[5].length, 0u);
}

TEST(YamuxTest, FramesOfFinishedAndUnknownStreamsAreIgnored) {
  Pair pair;
  const std::uint32_t id = pair.a.open().value();
  pair.a.close_write(id);
  pair.run();
  pair.b.close_write(id);
  pair.run();
  Seen seen;
  EXPECT_TRUE(pair.a.receive(frame(1, 0, id, 100), seen));  // window update after FIN, as js sends
  EXPECT_TRUE(pair.a.receive(frame(1, 4, id, 0), seen));    // FIN again
  EXPECT_TRUE(pair.a.receive(frame(1, 8, id, 0), seen));    // reset of what is gone
  EXPECT_TRUE(pair.a.receive(data_frame(0, id, 5000), seen));  // data of what is gone: skipped
  EXPECT_TRUE(pair.a.receive(data_frame(0, 999, 5000), seen));
  EXPECT_TRUE(pair.a.receive(frame(2, 1, 0, 7), seen));  // and the frames after it are read
  EXPECT_EQ(to_hex(output(pair.a)), "000200020000000000000007");
  EXPECT_TRUE(seen.resets.empty() && seen.ended.empty() && seen.data.empty());

  // Data after FIN while we still write: thrown away.
  const std::uint32_t open = pair.a.open().value();
  pair.run();
  ASSERT_TRUE(pair.a.receive(frame(1, 4, open, 0), seen));
  ASSERT_TRUE(pair.a.receive(data_frame(0, open, 100), seen));
  EXPECT_EQ(seen.ended, std::vector<std::uint32_t>{open});
  EXPECT_TRUE(seen.data.empty());
  EXPECT_TRUE(pair.a.write(open, as_bytes("x")));
}

TEST(YamuxTest, AResetDropsWhatIsQueued) {
  Pair pair;
  const std::uint32_t id = pair.a.open().value();
  pair.run();
  ASSERT_TRUE(pair.a.write(id, std::vector<std::uint8_t>(100000)));
  pair.a.reset(id);
  EXPECT_EQ(pair.a.queued_bytes(), yamux_header_bytes);
  pair.run();
  EXPECT_EQ(pair.b_seen.resets, std::vector<std::uint32_t>{id});
  EXPECT_TRUE(pair.b_seen.data[id].empty());
  EXPECT_FALSE(pair.a.write(id, as_bytes("x")));
  // RST on a data frame, with a payload to skip.
  const std::uint32_t other = pair.a.open().value();
  pair.run();
  ASSERT_TRUE(pair.a.receive(data_frame(8, other, 10), pair.a_seen));
  EXPECT_EQ(pair.a_seen.resets, std::vector<std::uint32_t>{other});
  EXPECT_TRUE(pair.a.receive(frame(2, 2, 0, 1), pair.a_seen));
  EXPECT_EQ(pair.a_seen.pongs, std::vector<std::uint32_t>{1});
}

TEST(YamuxTest, StreamsAreLimitedBothWays) {
  YamuxLimits limits;
  limits.inbound_streams_max = 3;
  limits.unacknowledged_streams_max = 2;
  YamuxSession session(Role::listener, limits);
  Seen seen;
  for (std::uint32_t id = 1; id <= 9; id += 2)
    ASSERT_TRUE(session.receive(frame(1, 1, id, 0), seen));
  EXPECT_EQ(seen.opened.size(), 3u);
  int resets = 0;
  for (const Frame& sent : frames_of(output(session))) resets += sent.flags == 8 ? 1 : 0;
  EXPECT_EQ(resets, 2);
  ASSERT_TRUE(session.receive(frame(1, 8, 1, 0), seen));  // one gone, one more may come
  ASSERT_TRUE(session.receive(frame(1, 1, 11, 0), seen));
  EXPECT_EQ(seen.opened.size(), 4u);

  const std::uint32_t first = session.open().value();
  ASSERT_TRUE(session.open());
  EXPECT_EQ(session.open().error().code, ErrorCode::unavailable);
  ASSERT_TRUE(session.receive(frame(1, 2, first, 0), seen));
  ASSERT_TRUE(session.receive(frame(1, 2, first, 0), seen));  // acknowledged twice counts once
  EXPECT_TRUE(session.open());
  EXPECT_FALSE(session.open());
}

TEST(YamuxTest, ViolationsEndTheSession) {
  const std::vector<std::vector<std::uint8_t>> violations{
      {1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0},  // version
      frame(4, 0, 0, 0),                     // type
      frame(0, 0, 0, 0),                     // data for the session
      frame(1, 1, 2, 0),                     // an id of ours
      frame(0, 1, 1, (16u << 20) + 1)};      // a frame larger than any window
  for (const auto& bytes : violations) {
    YamuxSession session(Role::listener, {});
    Seen seen;
    EXPECT_EQ(session.receive(bytes, seen).error().code, ErrorCode::malformed) << to_hex(bytes);
  }
  YamuxSession session(Role::listener, {});
  Seen seen;
  ASSERT_TRUE(session.receive(frame(1, 1, 1, 0), seen));
  EXPECT_FALSE(session.receive(frame(1, 1, 1, 0), seen)) << "opened twice";
}

TEST(YamuxTest, ControlGoesAheadOfDataAndStreamsTakeTurns) {
  YamuxSession session(Role::dialer, {});
  Seen seen;
  const std::uint32_t bulk = session.open().value();
  const std::uint32_t small = session.open().value();
  ASSERT_TRUE(session.write(bulk, std::vector<std::uint8_t>(200000)));
  ASSERT_TRUE(session.write(small, as_bytes("small")));
  ASSERT_TRUE(session.receive(frame(2, 1, 0, 5), seen));
  const auto frames = frames_of(output(session));
  EXPECT_EQ(frames[0].flags, 1);
  EXPECT_EQ(frames[1].flags, 1);
  EXPECT_EQ(frames[2].type, 2) << "the pong";
  EXPECT_EQ(frames[3].id, bulk);
  EXPECT_EQ(frames[3].length, 16384u);
  EXPECT_EQ(frames[4].id, small);
}

TEST(YamuxTest, OutputFitsWhatIsAskedFor) {
  YamuxSession session(Role::dialer, {});
  const std::uint32_t id = session.open().value();
  for (std::uint32_t i = 0; i < 100; ++i) session.ping(i);
  ASSERT_TRUE(session.write(id, std::vector<std::uint8_t>(100000, 7)));
  session.close_write(id);
  std::vector<std::uint8_t> all;
  for (const std::size_t bytes_max : {64u, 64u, 65u, 100u, 1000u, 5000u, 65519u, 65519u, 65519u}) {
    const std::size_t before = all.size();
    session.take_output(all, bytes_max);
    EXPECT_LE(all.size() - before, bytes_max);
  }
  EXPECT_FALSE(session.has_output());
  std::size_t bytes = 0;
  for (const Frame& sent : frames_of(all)) bytes += sent.type == 0 ? sent.length : 0;
  EXPECT_EQ(bytes, 100000u);
}

TEST(YamuxTest, AnySplitGivesTheSame) {
  std::vector<std::uint8_t> stream;
  append_bytes(stream, frame(1, 1, 1, 0));
  append_bytes(stream, data_frame(0, 1, 300));
  append_bytes(stream, data_frame(1 | 4, 3, 20));
  append_bytes(stream, frame(2, 2, 0, 9));
  append_bytes(stream, data_frame(4, 1, 0));
  for (std::size_t step = 1; step <= stream.size(); ++step) {
    YamuxSession session(Role::listener, {});
    Seen seen;
    for (std::size_t at = 0; at < stream.size(); at += step) {
      ASSERT_TRUE(
          session.receive(Bytes(stream).subspan(at, std::min(step, stream.size() - at)), seen));
    }
    EXPECT_EQ(seen.opened, (std::vector<std::uint32_t>{1, 3}));
    EXPECT_EQ(seen.data[1].size(), 300u);
    EXPECT_EQ(seen.data[3].size(), 20u);
    EXPECT_EQ(seen.ended, (std::vector<std::uint32_t>{3, 1}));
    EXPECT_EQ(seen.pongs, std::vector<std::uint32_t>{9});
  }
}

TEST(YamuxTest, RandomTrafficKeepsItsAccounts) {
  Rng rng(20261121);
  Pair pair;
  std::map<std::uint32_t, std::size_t> sent_a;
  for (int step = 0; step < 3000; ++step) {
    const std::uint64_t kind = rng.below(10);
    if (kind == 0 && sent_a.size() < 200) {
      if (const auto id = pair.a.open()) sent_a[*id] = 0;
    } else if (!sent_a.empty()) {
      auto at = sent_a.begin();
      std::advance(at, static_cast<std::ptrdiff_t>(rng.below(sent_a.size())));
      if (kind < 7) {
        const std::vector<std::uint8_t> bytes(rng.below(20000));
        if (pair.a.write(at->first, bytes)) at->second += bytes.size();
      } else if (kind == 7) {
        pair.a.close_write(at->first);
      } else if (kind == 8) {
        pair.b.close_write(at->first);
      }
    }
    if (rng.chance(0.3)) pair.run();
  }
  // The reader catches up until everything has come.
  std::map<std::uint32_t, std::size_t> read;
  for (bool has_read = true; has_read;) {
    pair.run();
    has_read = false;
    for (const auto& [id, bytes] : pair.b_seen.data) {
      if (bytes.size() == read[id]) continue;
      pair.b.consumed(id, bytes.size() - read[id]);
      read[id] = bytes.size();
      has_read = true;
    }
  }
  for (const auto& [id, bytes] : sent_a) EXPECT_EQ(pair.b_seen.data[id].size(), bytes) << id;
  for (const auto& [id, bytes] : sent_a) {
    pair.a.close_write(id);
    pair.b.close_write(id);
  }
  pair.run();
  EXPECT_EQ(pair.a.stream_count(), 0u);
  EXPECT_EQ(pair.b.stream_count(), 0u);
  EXPECT_EQ(pair.a.queued_bytes(), 0u);
  EXPECT_EQ(pair.b.queued_bytes(), 0u);
}

}  // namespace
}  // namespace corelay::libp2p
