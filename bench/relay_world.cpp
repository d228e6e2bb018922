#include "bench/relay_world.h"

#include <algorithm>
#include <cstring>

#include "codec/bytes.h"
#include "codec/check.h"
#include "codec/decoder.h"
#include "codec/encoder.h"
#include "codec/rng.h"
#include "dataplane/core/frame.h"
#include "dataplane/core/header.h"
#include "dataplane/io/socket_io.h"

namespace corelay::bench {

using namespace dataplane;

namespace {

constexpr PeerIndex upstream_session = 0;
constexpr std::uint32_t in_flight_max = 2048;     // frames of the upstream not yet acknowledged
constexpr std::size_t frames_per_turn = 4;        // of one generation, then the next
constexpr std::size_t messages_behind_max = 2;    // how far the slowest sink may lag behind the upstream
constexpr std::uint32_t answer_after_frames = 64;
constexpr Duration answer_after = microseconds(500);
constexpr Duration stall = seconds(5);

std::uint64_t key_of(const MessageTag& tag) { return load_le<std::uint64_t>(tag.data()); }

std::vector<std::vector<std::uint8_t>> make_announces(const PreparedMessage& message, std::size_t frame_max) {
  std::vector<std::vector<std::uint8_t>> frames;
  const std::size_t each = (frame_max - frame_prefix_bytes - message.encoded_header.size()) / sizeof(Digest);
  for (std::size_t first = 0; first < message.digests.size(); first += each) {
    const std::size_t count = std::min(each, message.digests.size() - first);
    AnnounceFrame announce;
    announce.first_digest = static_cast<std::uint16_t>(first);
    announce.digest_count = static_cast<std::uint16_t>(count);
    announce.header = message.encoded_header;
    announce.digests = {message.digests[first].data(), count * sizeof(Digest)};
    frames.emplace_back(frame_max);
    frames.back().resize(write_announce(announce, frames.back().data()));
  }
  return frames;
}

/// All coded frames of one message: dense random combinations, each innovative, so that k of them are enough.
void code_message(UpstreamMessage& message, Rng& rng) {
  const MessageHeader& header = message.prepared->header;
  const std::size_t k = header.k;
  const std::size_t shard = header.shard_bytes;
  std::vector<std::uint8_t> padded = message.prepared->payload;
  padded.resize(k * shard * header.generations);
  message.frame_bytes = frame_prefix_bytes + codec::packed_bytes(k) + shard;
  message.frame_count = k * header.generations;
  message.coded.resize(message.frame_bytes * message.frame_count);
  std::vector<const std::uint8_t*> shards(k);
  const std::size_t storage_bytes = (codec::Decoder::storage_bytes(k) + 63) / 64 * 64;
  std::vector<std::uint8_t> storage(storage_bytes * header.generations + 64);
  std::uint8_t* aligned = storage.data();
  while (reinterpret_cast<std::uintptr_t>(aligned) % 64 != 0) ++aligned;
  std::vector<codec::Decoder> ranks(header.generations);
  std::vector<std::uint8_t> vector(k);
  for (std::size_t g = 0; g < ranks.size(); ++g) ranks[g].reset(k, {aligned + g * storage_bytes, storage_bytes});
  std::size_t next = 0;
  for (std::size_t row = 0; row < k; row += frames_per_turn) {
    for (std::size_t g = 0; g < header.generations; ++g) {
      for (std::size_t i = 0; i < k; ++i) shards[i] = padded.data() + (g * k + i) * shard;
      const std::size_t count = std::min(frames_per_turn, k - row);
      std::array<std::uint64_t, frames_per_turn> seeds{};
      std::array<std::uint8_t*, frames_per_turn> out{};
      for (std::size_t i = 0; i < count; ++i) {
        std::uint8_t* const frame = message.coded.data() + (next + i) * message.frame_bytes;
        CodedFrame coded;
        coded.generation = static_cast<std::uint16_t>(g);
        coded.tag = message.prepared->tag;
        write_coded_prefix(coded, frame);
        do {
          seeds[i] = rng.next();
          codec::expand_seed(seeds[i], vector);
        } while (ranks[g].absorb(vector) != codec::Absorbed::innovative);
        codec::pack_coefficients(vector, frame + frame_prefix_bytes);
        out[i] = frame + message.frame_bytes - shard;
      }
      codec::encode({seeds.data(), count}, shards, {out.data(), count}, shard);
      next += count;
    }
  }
}

std::unique_ptr<PacketIo> open_end(std::uint16_t relay_port) {
  IoConfig config;
  config.bind_address = "127.0.0.1";
  config.peers_max = 1;
  config.rx_buffers = 16;
  config.tx_buffers = 16;
  auto io = open_socket_io(config);
  CHECK(io);
  (*io)->set_destination(0, loopback(relay_port));
  return std::move(*io);
}

}  // namespace

std::vector<UpstreamMessage> prepare_upstream(std::size_t count, std::size_t bytes, const RelayParams& params) {
  auto prepared = make_messages(count, bytes, 3, params);
  std::vector<UpstreamMessage> messages(count);
  Rng rng(4);
  for (std::size_t i = 0; i < count; ++i) {
    messages[i].prepared = std::move(prepared[i]);
    messages[i].announces =
        make_announces(*messages[i].prepared, params.path_mtu_bytes - datagram_overhead_bytes);
    code_message(messages[i], rng);
  }
  return messages;
}

World::World(Dataplane& relay, std::size_t sinks) : relay_(relay), sessions_(0, sinks + 1), sinks_(sinks) {
  const Instant now = read_clock();
  const std::uint16_t port = relay.lcores()[0].port;
  RouteSet route;
  route.topic = topic_hash(bench_topic);
  route.count = static_cast<std::uint8_t>(sinks);
  for (std::size_t i = 0; i <= sinks; ++i) {
    auto io = open_end(port);
    const auto peer = static_cast<PeerIndex>(i);
    const SessionEnds ends = make_session(500 + i);
    CHECK(relay.command_all(PeerUp{peer, loopback(io->port()), ends.there, 1400}));
    sessions_.install(now, peer, ends.here);
    if (i == 0) {
      upstream_ = std::move(io);
    } else {
      sinks_[i - 1].io = std::move(io);
      route.next_hops[i - 1] = peer;
    }
  }
  CHECK(relay.command_all(route));
  for (Instant t = now; t - now < milliseconds(20);) t = read_clock();
}

std::uint64_t World::run(std::span<const UpstreamMessage> messages) {
  message_of_tag_.clear();
  message_ = 0;
  counted_ = 0;
  for (std::size_t i = 0; i < messages.size(); ++i) message_of_tag_[key_of(messages[i].prepared->tag)] = i;
  for (Sink& sink : sinks_) {
    sink.is_open.assign(messages.size(), false);
    sink.progress.clear();
    for (const UpstreamMessage& message : messages) {
      Progress progress;
      progress.received.assign(message.prepared->header.generations, 0);
      progress.missing = message.frame_count;
      progress.k = message.prepared->header.k;
      sink.progress.push_back(std::move(progress));
    }
  }
  Instant moved = read_clock();
  while (!is_done()) {
    bool is_moving = false;
    while (feed(messages)) is_moving = true;
    hear_upstream();
    for (std::size_t i = 0; i < sinks_.size(); ++i) is_moving |= hear_sink(i, messages) != 0;
    const Instant now = read_clock();
    if (is_moving) moved = now;
    if (now - moved > stall) break;
  }
  return counted_;
}

bool World::is_done() const {
  return std::all_of(sinks_.begin(), sinks_.end(), [](const Sink& sink) {
    return std::all_of(sink.progress.begin(), sink.progress.end(), [](const Progress& p) { return p.is_told; });
  });
}

void World::send_single(PacketIo& io, PeerIndex session, std::span<const std::uint8_t> frame) {
  const TxBuffer buffer = io.tx_alloc();
  CHECK(buffer.data != nullptr);
  const std::size_t bytes = sessions_.seal(session, frame, buffer.data);
  TxRun run{buffer.data, static_cast<std::uint32_t>(bytes), static_cast<std::uint16_t>(bytes), 0, buffer.token};
  if (io.tx_burst({&run, 1}) == 0) io.tx_free(buffer.token);
}

/// Sends the next run while the relay keeps up. False when it may not.
bool World::feed(std::span<const UpstreamMessage> messages) {
  if (message_ == messages.size() || sequence_ - acknowledged_ >= in_flight_max) return false;
  for (const Sink& sink : sinks_) {
    if (message_ >= messages_behind_max && sink.progress[message_ - messages_behind_max].missing != 0) return false;
  }
  const UpstreamMessage& message = messages[message_];
  if (frame_ == 0) {
    for (const auto& announce : message.announces) {
      std::copy(announce.begin(), announce.end(), scratch_.begin());
      set_sequence(scratch_.data(), ++sequence_);
      send_single(*upstream_, upstream_session, {scratch_.data(), announce.size()});
    }
  }
  feed_run(message);
  if (frame_ == message.frame_count) {
    ++message_;
    frame_ = 0;
  }
  return true;
}

void World::feed_run(const UpstreamMessage& message) {
  const std::size_t datagram_bytes = message.frame_bytes + datagram_overhead_bytes;
  const TxBuffer buffer = upstream_->tx_alloc();
  CHECK(buffer.data != nullptr);
  std::uint32_t bytes = 0;
  while (frame_ < message.frame_count && bytes + datagram_bytes <= run_bytes_max) {
    std::memcpy(scratch_.data(), message.coded.data() + frame_++ * message.frame_bytes, message.frame_bytes);
    set_sequence(scratch_.data(), ++sequence_);
    bytes += static_cast<std::uint32_t>(
        sessions_.seal(upstream_session, {scratch_.data(), message.frame_bytes}, buffer.data + bytes));
  }
  TxRun run{buffer.data, bytes, static_cast<std::uint16_t>(datagram_bytes), 0, buffer.token};
  if (upstream_->tx_burst({&run, 1}) == 0) upstream_->tx_free(buffer.token);
}

void World::hear_upstream() {
  std::array<RxRun, 16> runs;
  const std::size_t count = upstream_->rx_burst(runs);
  const Instant now = read_clock();
  for (const RxRun& run : std::span(runs).first(count)) {
    for (std::uint32_t at = 0; at < run.bytes; at += run.segment_bytes) {
      const std::uint32_t bytes = std::min(run.segment_bytes, run.bytes - at);
      const Opened opened = sessions_.open(now, {run.data + at, bytes});
      CHECK(opened.outcome == Open::opened);
      const auto feedback = parse_feedback(opened.frame);
      if (feedback) acknowledged_ = std::max(acknowledged_, feedback->highest_sequence);
    }
  }
  upstream_->release(std::span(runs).first(count));
}

std::size_t World::hear_sink(std::size_t index, std::span<const UpstreamMessage> messages) {
  Sink& sink = sinks_[index];
  std::array<RxRun, 16> runs;
  const std::size_t count = sink.io->rx_burst(runs);
  const Instant now = read_clock();
  for (const RxRun& run : std::span(runs).first(count)) {
    for (std::uint32_t at = 0; at < run.bytes; at += run.segment_bytes) {
      const std::uint32_t bytes = std::min(run.segment_bytes, run.bytes - at);
      const Opened opened = sessions_.open(now, {run.data + at, bytes});
      CHECK(opened.outcome == Open::opened && opened.peer == index + 1);
      take(sink, opened.frame, now);
    }
  }
  sink.io->release(std::span(runs).first(count));
  const bool is_due = sink.link.fresh() >= answer_after_frames ||
                      (now - sink.answered > answer_after && sink.link.highest() != 0);
  if (sink.must_answer || is_due) answer(index, messages, now);
  return count;
}

void World::take(Sink& sink, std::span<std::uint8_t> frame, Instant now) {
  if (const auto coded = parse_coded(frame)) {
    sink.link.note(coded->sequence, now);
    ++counted_;
    const auto found = message_of_tag_.find(key_of(coded->tag));
    if (found == message_of_tag_.end()) return;  // of an earlier run
    Progress& progress = sink.progress[found->second];
    std::uint16_t& received = progress.received[coded->generation];
    if (received == progress.k) return;
    ++received;
    if (--progress.missing == 0) sink.must_answer = true;
  } else if (const auto announce = parse_announce(frame)) {
    sink.link.note(announce->sequence, now);
    const auto header = parse_header(announce->header);
    CHECK(header);
    const auto found = message_of_tag_.find(key_of(tag_of(header->id, header->topic())));
    if (found == message_of_tag_.end()) return;
    sink.is_open[found->second] = true;
    sink.must_answer = true;
  } else if (const auto probe = parse_probe(frame)) {
    sink.must_answer = sink.must_answer || probe->ask;
  }
}

void World::answer(std::size_t index, std::span<const UpstreamMessage> messages, Instant now) {
  Sink& sink = sinks_[index];
  FeedbackWriter writer(scratch_.data(), 1400 - datagram_overhead_bytes);
  writer.begin(sink.link.highest(), sink.link.delay_us(now), sink.link.next_number(), sink.link.highest_us(),
               sink.link.words());
  std::array<std::uint8_t, generations_wire_max> deficits{};
  for (std::size_t m = 0; m < messages.size(); ++m) {
    Progress& progress = sink.progress[m];
    if (!sink.is_open[m] || progress.is_told) continue;
    const MessageHeader& header = messages[m].prepared->header;
    StatusFrame status;
    status.tag = messages[m].prepared->tag;
    if (progress.missing == 0) {
      status.state = StatusState::full;
      progress.is_told = writer.add(status);
      continue;
    }
    for (std::size_t g = 0; g < header.generations; ++g) {
      deficits[g] = static_cast<std::uint8_t>(header.k - std::min(header.k, progress.received[g]));
    }
    status.want = static_cast<std::uint16_t>(std::min<std::size_t>(progress.missing, 0xffff));
    status.deficits = {deficits.data(), header.generations};
    writer.add(status);
  }
  send_single(*sink.io, static_cast<PeerIndex>(index + 1), {scratch_.data(), writer.size()});
  sink.link.clear_fresh();
  sink.answered = now;
  sink.must_answer = false;
}

}  // namespace corelay::bench
