/// The neighbours of the relay that relay_bench measures: one upstream that pours coded packets in, and sinks that
/// open, count and acknowledge what comes out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "bench/relay_peers.h"
#include "dataplane/core/session_table.h"
#include "dataplane/io/packet_io.h"

namespace corelay::bench {

/// A signed message and every frame the upstream sends of it, made beforehand.
struct UpstreamMessage {
  std::unique_ptr<PreparedMessage> prepared;
  std::vector<std::vector<std::uint8_t>> announces;
  std::vector<std::uint8_t> coded;  // k * generations coded frames in vector form, `frame_bytes` each, in sending order
  std::size_t frame_bytes = 0;
  std::size_t frame_count = 0;
};

/// Messages of `bytes` bytes. Coefficients are random, so nothing is systematic; frames of four in turn from each
/// generation, as a relay sends them.
[[nodiscard]] std::vector<UpstreamMessage> prepare_upstream(std::size_t count, std::size_t bytes,
                                                            const RelayParams& params);

class World {
 public:
  /// Joins `sinks` sinks and the upstream to `relay` and sets its route.
  World(dataplane::Dataplane& relay, std::size_t sinks);

  /// Sends `messages` (none of them sent before) through the relay until every sink holds every message or nothing
  /// moves any more. Returns the coded datagrams that the sinks received.
  [[nodiscard]] std::uint64_t run(std::span<const UpstreamMessage> messages);

 private:
  /// One sink's count of one message.
  struct Progress {
    std::vector<std::uint16_t> received;  // a generation
    std::size_t missing = 0;
    std::uint16_t k = 0;
    bool is_told = false;  // that it is whole
  };
  struct Sink {
    std::unique_ptr<dataplane::PacketIo> io;
    ReceivedLink link;
    std::vector<Progress> progress;  // a message
    std::vector<bool> is_open;       // messages heard of
    Instant answered{};
    bool must_answer = false;
  };

  bool feed(std::span<const UpstreamMessage> messages);
  void feed_run(const UpstreamMessage& message);
  void hear_upstream();
  std::size_t hear_sink(std::size_t index, std::span<const UpstreamMessage> messages);
  void take(Sink& sink, std::span<std::uint8_t> frame, Instant now);
  void answer(std::size_t index, std::span<const UpstreamMessage> messages, Instant now);
  void send_single(dataplane::PacketIo& io, PeerIndex session, std::span<const std::uint8_t> frame);
  bool is_done() const;

  dataplane::Dataplane& relay_;
  dataplane::SessionTable sessions_;  // 0 the upstream's, then the sinks'
  std::unique_ptr<dataplane::PacketIo> upstream_;
  std::vector<Sink> sinks_;
  std::unordered_map<std::uint64_t, std::size_t> message_of_tag_;
  std::size_t message_ = 0;  // being fed
  std::size_t frame_ = 0;    // of it
  std::uint32_t sequence_ = 0;
  std::uint32_t acknowledged_ = 0;
  std::uint64_t counted_ = 0;
  std::vector<std::uint8_t> scratch_ = std::vector<std::uint8_t>(4096);
};

}  // namespace corelay::bench
