/// Where the core leaves what it wants sent and reported. The driver (an lcore, the simulator) empties it after every
/// call; the core checks room before it starts something, so nothing is lost when it is full.
///
/// A frame buffer is laid out so that byte 24 of a frame, where a coded frame's payload row begins, is 64-byte aligned.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <vector>

#include "codec/check.h"
#include "dataplane/command.h"
#include "dataplane/core/frame.h"
#include "dataplane/event.h"

namespace corelay::dataplane {

inline constexpr std::size_t frame_bytes_max = 2048 - 64;

/// A frame for one peer. Consecutive items to one peer of equal size form a run; the last of a run may be shorter.
struct TxItem {
  /// `bytes` up to frame_bytes_max.
  TxItem(std::uint8_t* its_frame, std::uint32_t its_sequence, std::size_t bytes, bool numbered, PeerIndex to) noexcept
      : frame(its_frame), sequence(its_sequence), frame_bytes(bytes & 0x7fff), is_numbered(numbered), peer(to) {}

  std::uint8_t* frame;
  std::uint32_t sequence;  // used when is_numbered
  std::uint16_t frame_bytes : 15;
  std::uint16_t is_numbered : 1;
  PeerIndex peer;

  /// The frame as this peer is to get it, until bytes() of another item with the same frame.
  [[nodiscard]] Bytes bytes() const noexcept {
    if (is_numbered != 0) set_sequence(frame, sequence);
    return {frame, frame_bytes};
  }
};
static_assert(sizeof(TxItem) == 16);

class Outbox {
 public:
  /// Room for `frames_max` distinct frames, four times as many items, and `events_max` events.
  Outbox(std::size_t frames_max, std::size_t events_max)
      : frames_max_(frames_max),
        events_max_(events_max),
        memory_(static_cast<std::uint8_t*>(std::aligned_alloc(64, frames_max * slot_bytes))) {
    CHECK(memory_ != nullptr);
    items_.reserve(frames_max * 4);
    events_.reserve(events_max);
  }

  /// Forgets all frames, items and events; their memory is used again.
  void clear() noexcept {
    frames_used_ = 0;
    items_.clear();
    events_.clear();
  }

  /// Forgets frames and items but keeps the events.
  void clear_frames() noexcept {
    frames_used_ = 0;
    items_.clear();
  }

  /// Hands each event, oldest first, to `take` and forgets those for which it returns true.
  template <class Take>
  void take_events(Take take) noexcept {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < events_.size(); ++i) {
      if (take(events_[i])) continue;
      if (kept != i) events_[kept] = events_[i];
      ++kept;
    }
    events_.resize(kept);
  }

  [[nodiscard]] std::size_t frames_left() const noexcept { return frames_max_ - frames_used_; }
  [[nodiscard]] std::size_t items_left() const noexcept { return frames_max_ * 4 - items_.size(); }
  [[nodiscard]] std::size_t events_left() const noexcept { return events_max_ - events_.size(); }

  /// The next frame buffer (frame_bytes_max writable bytes), taken; nullptr when none is left.
  [[nodiscard]] std::uint8_t* take_frame() noexcept {
    if (frames_used_ == frames_max_) return nullptr;
    return memory_.get() + frames_used_++ * slot_bytes + (64 - 24);
  }

  /// Sends the first `frame_bytes` of a taken frame to `peer`. Needs items_left().
  void send(PeerIndex peer, std::uint8_t* frame, std::size_t frame_bytes) noexcept {
    append(frame, 0, frame_bytes, false, peer);
  }

  /// The same under a link sequence of that peer's: one frame may so go to many peers.
  void send_numbered(PeerIndex peer, std::uint8_t* frame, std::size_t frame_bytes, std::uint32_t sequence) noexcept {
    append(frame, sequence, frame_bytes, true, peer);
  }

  /// False when there is no room.
  bool report(const Event& event) noexcept {
    if (events_.size() == events_max_) return false;
    events_.push_back(event);
    return true;
  }

  [[nodiscard]] std::span<const TxItem> items() const noexcept { return items_; }
  [[nodiscard]] std::span<const Event> events() const noexcept { return events_; }

 private:
  /// Made where it stays: a copy of narrow fields just written waits until they have left the store buffer.
  void append(std::uint8_t* frame, std::uint32_t sequence, std::size_t frame_bytes, bool is_numbered,
              PeerIndex peer) noexcept {
    CHECK(items_.size() < frames_max_ * 4 && frame_bytes <= frame_bytes_max);
    items_.emplace_back(frame, sequence, frame_bytes, is_numbered, peer);
  }

  static constexpr std::size_t slot_bytes = 2048;
  struct Free {
    void operator()(std::uint8_t* p) const noexcept { std::free(p); }
  };
  std::size_t frames_max_;
  std::size_t events_max_;
  std::size_t frames_used_ = 0;
  std::unique_ptr<std::uint8_t, Free> memory_;
  std::vector<TxItem> items_;
  std::vector<Event> events_;
};

}  // namespace corelay::dataplane
