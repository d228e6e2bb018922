#include "dataplane/lcore/run_sender.h"

#include <algorithm>
#include <span>
#include <utility>

namespace corelay::dataplane {
namespace {

constexpr std::size_t runs_per_call = 4;  // so that the kernel copies what was sealed while it is in the cache

}  // namespace

RunSender::RunSender(PacketIo& io, SessionTable& sessions, Counters& counters, std::size_t peers_max,
                     Duration give_up)
    : io_(io),
      sessions_(sessions),
      counters_(counters),
      give_up_after_(give_up),
      segments_max_(io.caps().segments_max),
      bytes_max_(io.caps().bytes_max),
      open_of_peer_(peers_max, no_run) {
  open_.reserve(peers_max);
  ready_.reserve(4 * peers_max + 64);
}

bool RunSender::send(Instant now, Outbox& outbox) noexcept {
  const std::span<const TxItem> items = outbox.items();
  bool moved = false;
  for (;;) {
    const std::size_t before = cursor_;
    while (cursor_ < items.size() && ready_.size() < runs_per_call && append(items[cursor_])) ++cursor_;
    if (cursor_ == items.size() || ready_.size() < runs_per_call) close_all();
    const bool sent = transmit();
    moved |= sent || cursor_ != before;
    if (cursor_ == items.size() && ready_.empty()) break;
    if (sent || cursor_ != before) continue;
    if (!blocked_ || moved) blocked_since_ = now;
    blocked_ = true;
    if (now - blocked_since_ < give_up_after_) return false;
    give_up(outbox);
    break;
  }
  blocked_ = false;
  cursor_ = 0;
  outbox.clear_frames();
  return true;
}

/// Seals one item into the run of its peer. False when it needs a buffer and none is free.
bool RunSender::append(const TxItem& item) noexcept {
  const std::size_t datagram_bytes = item.frame_bytes + datagram_overhead_bytes;
  if (item.peer >= open_of_peer_.size() || datagram_bytes > bytes_max_) {
    counters_.add(Counter::drop_tx_error_total);
    return true;
  }
  std::uint16_t index = open_of_peer_[item.peer];
  if (index != no_run) {
    const Open& open = open_[index];
    if (datagram_bytes > open.run.segment_bytes || open.run.bytes + datagram_bytes > bytes_max_) {
      close(item.peer);
      index = no_run;
    }
  }
  if (index == no_run) index = open_run(item, datagram_bytes);
  if (index == no_run) return false;

  Open& open = open_[index];
  const std::size_t sealed = sessions_.seal(item.peer, item.bytes(), open.write);
  if (sealed == 0) {
    counters_.add(Counter::drop_tx_error_total);
    return true;
  }
  open.write += sealed;
  open.run.bytes += static_cast<std::uint32_t>(sealed);
  ++open.segments;
  if (sealed < open.run.segment_bytes || open.segments == segments_max_) close(item.peer);
  return true;
}

std::uint16_t RunSender::open_run(const TxItem& item, std::size_t datagram_bytes) noexcept {
  const TxBuffer buffer = io_.tx_alloc();
  if (buffer.data == nullptr) return no_run;
  const auto index = static_cast<std::uint16_t>(open_.size());
  open_.push_back({{buffer.data, 0, static_cast<std::uint16_t>(datagram_bytes), item.peer, buffer.token},
                   buffer.data,
                   0});
  open_of_peer_[item.peer] = index;
  return index;
}

/// Moves the run of `peer` to the ready ones; the last open run takes its place.
void RunSender::close(PeerIndex peer) noexcept {
  const std::uint16_t index = std::exchange(open_of_peer_[peer], no_run);
  const Open& open = open_[index];
  if (open.run.bytes == 0) {
    io_.tx_free(open.run.token);
  } else {
    ready_.push_back(open.run);
  }
  if (index + 1u != open_.size()) {
    open_[index] = open_.back();
    open_of_peer_[open_[index].run.peer] = index;
  }
  open_.pop_back();
}

void RunSender::close_all() noexcept {
  for (const Open& open : open_) {
    open_of_peer_[open.run.peer] = no_run;
    if (open.run.bytes == 0) {
      io_.tx_free(open.run.token);
    } else {
      ready_.push_back(open.run);
    }
  }
  open_.clear();
}

/// Hands the ready runs over; true when the backend took something.
bool RunSender::transmit() noexcept {
  if (ready_.empty()) return false;
  const std::uint64_t bytes_before = io_.stats().tx_bytes;
  const std::size_t accepted = io_.tx_burst(ready_);
  ready_.erase(ready_.begin(), ready_.begin() + static_cast<std::ptrdiff_t>(accepted));
  return accepted != 0 || io_.stats().tx_bytes != bytes_before;
}

void RunSender::give_up(Outbox& outbox) noexcept {
  close_all();
  std::uint64_t dropped = outbox.items().size() - cursor_;
  for (const TxRun& run : ready_) {
    dropped += segment_count(run.bytes, run.segment_bytes);
    io_.tx_free(run.token);
  }
  ready_.clear();
  counters_.add(Counter::drop_tx_full_total, dropped);
}

}  // namespace corelay::dataplane
