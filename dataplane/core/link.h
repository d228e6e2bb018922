/// One neighbour as seen from one lane: what was sent and is not yet known to have arrived, what arrived and is not yet
/// acknowledged, and how fast to send.
///
/// Frames carry a link sequence; the receiver answers with the highest one and a bitmap (proto/wire.md, "feedback"), so
/// every frame ends as acknowledged or lost. Nothing is retransmitted here: the relay hears of each end and decides.
///
/// Pacing follows delivery, not loss: random loss does not slow a link down. The rate is the largest recently delivered
/// rate with a little more to probe, cut while the one-way queueing delay stays above a target; the window is two
/// rounds of it. The one-way delay leaves congestion on the way back out of the measurement. A flow that fills queues
/// until they overflow, as TCP does, would take everything from one that yields to delay: the cut ends at a part of the
/// rate that follows loss in TCP's way, growing slowly and falling when a queue that stands loses packets.
/// Sources: BBR (Cardwell et al., "BBR: Congestion-Based Congestion Control", 2016) for the rate filter, LEDBAT
/// (RFC 6817) for the delay target.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "codec/bytes.h"
#include "dataplane/core/pool.h"
#include "dataplane/instant.h"

namespace corelay::dataplane {

/// What a sent frame was, to be told again when its end is known.
struct SentFrame {
  std::uint32_t message = slot_none;
  std::uint32_t epoch = 0;
  std::uint16_t generation = 0;
  std::uint16_t frame_bytes = 0;
  std::uint8_t flow = 0;
  std::uint8_t kind = 0;  // FrameKind
};

/// The acknowledgement part of a feedback frame.
struct Acknowledgement {
  std::uint32_t highest = 0;
  Duration delay{};              // between that frame's arrival and the feedback
  std::uint32_t number = 0;
  std::uint32_t arrival_us = 0;  // the neighbour's clock when that frame arrived
  Bytes words;
};

class Link {
 public:
  /// `log_frames`: most frames in flight; made a power of two, 128 at least.
  explicit Link(std::size_t log_frames);

  /// Forgets everything and starts at sequence 1. `rtt` is what is believed of the path until it is measured: without
  /// one (0), what has not been heard of after 100 ms is taken for lost, on a path across the world too.
  void reset(Instant now, Duration rtt = {}) noexcept;

  // Sending.

  /// How many frames may be sent now, by window and pacing; 0..`wanted`.
  [[nodiscard]] std::size_t room(Instant now, std::size_t wanted) const noexcept;
  /// True when the log has a free entry: singles, announces and probes need only that.
  [[nodiscard]] bool has_log_room() const noexcept {
    return next_sequence_ - oldest_ < log_.size();
  }
  /// Takes the next sequence for a frame that leaves now.
  [[nodiscard]] std::uint32_t on_sent(Instant now, const SentFrame& frame) noexcept {
    if (inflight_frames_ == 0) timer_base_ = now;
    ++inflight_frames_;
    const Duration cost{static_cast<std::int64_t>((frame.frame_bytes + 60) * ns_per_byte_)};
    // After a pause, pacing owes no more than a millisecond, or one run on a slow path.
    pace_at_ = std::max(pace_at_, now - std::max(milliseconds(1), cost * 16)) + cost;
    Entry& entry = entry_of(next_sequence_);
    entry.frame = frame;
    entry.at = now;
    entry.end = End::pending;
    return static_cast<std::uint32_t>(next_sequence_++);
  }
  /// The relay had nothing for this link although it might have sent: rates measured now are no limit of the path.
  void on_idle() noexcept { is_app_limited_ = true; }
  /// When pacing lets the next frame go.
  [[nodiscard]] Instant pace_at() const noexcept { return pace_at_; }
  [[nodiscard]] std::uint32_t highest_sent() const noexcept { return static_cast<std::uint32_t>(next_sequence_ - 1); }
  [[nodiscard]] std::size_t inflight_frames() const noexcept { return inflight_frames_; }

  /// Takes the acknowledgement part of a feedback frame. `ended(frame, acknowledged)` is called once for every frame
  /// whose end became known. False when the feedback is older than one already taken, or acknowledges what was never
  /// sent; nothing changed then.
  template <class Ended>
  bool on_feedback(Instant now, const Acknowledgement& ack, Ended&& ended) noexcept {
    if (static_cast<std::int32_t>(ack.number - feedback_taken_) <= 0) return false;
    const std::uint32_t back_from_newest = static_cast<std::uint32_t>(next_sequence_ - 1) - ack.highest;
    const bool has_any = !ack.words.empty();
    if (has_any && back_from_newest >= next_sequence_ - 1) return false;
    feedback_taken_ = ack.number;
    // Feedback that was on its way already when the probe left is no answer to it.
    // A round trip that we were only told may be too long: the second answer counts whenever it comes.
    const bool may_be_shorter = !is_rtt_measured_ && probes_unanswered_ >= 2;
    const Duration least = may_be_shorter ? Duration{} : std::min(rtt_min_[0], rtt_min_[1]);
    const bool is_answer = probes_unanswered_ != 0 && now - timer_base_ >= least;
    const Instant probed_at = timer_base_;
    if (!has_any) {
      if (is_answer) {
        probes_unanswered_ = 0;
        timer_base_ = now;
        give_up_before(probed_at, ended);
      }
      return true;
    }
    const std::uint64_t highest = next_sequence_ - 1 - back_from_newest;
    const std::uint64_t delivered_before = delivered_bytes_;
    for (std::size_t w = 0; w < ack.words.size() / 8; ++w) {
      std::uint64_t word = load_le<std::uint64_t>(ack.words.data() + 8 * w);
      while (word != 0) {
        const auto bit = static_cast<std::uint32_t>(__builtin_ctzll(word));
        word &= word - 1;
        const std::uint64_t back = 64 * w + bit;
        if (back >= highest || highest - back < oldest_) break;
        const std::uint64_t sequence = highest - back;
        Entry& entry = entry_of(sequence);
        if (entry.end != End::pending) continue;
        end(entry, End::acknowledged);
        ended(entry.frame, true);
      }
    }
    const std::uint64_t delivered = delivered_bytes_ - delivered_before;
    on_acknowledged(now, highest, ack, delivered);
    sweep(now, ended);
    if (is_answer && delivered == 0) give_up_before(probed_at, ended);  // while news comes in, the rest may be queued
    return true;
  }

  /// To be called when timer_at() has passed: true when a probe should be sent. After two
  /// unanswered probes the frames in flight are given up through `ended`.
  template <class Ended>
  bool on_timer(Instant now, Ended&& ended) noexcept {
    if (now < timer_at()) return false;
    ++probes_unanswered_;
    timer_base_ = now;
    if (probes_unanswered_ >= 2) {
      for (std::uint64_t s = oldest_; s != next_sequence_; ++s) {
        Entry& entry = entry_of(s);
        if (entry.end == End::pending && now - entry.at >= timeout()) {
          end(entry, End::lost);
          ended(entry.frame, false);
        }
      }
      advance_oldest();
    }
    return true;
  }
  /// never when nothing is in flight.
  [[nodiscard]] Instant timer_at() const noexcept;
  /// True when nothing has been heard although several probes were sent.
  [[nodiscard]] bool is_silent() const noexcept { return probes_unanswered_ >= 6; }

  [[nodiscard]] Duration rtt() const noexcept { return smoothed_rtt_; }
  [[nodiscard]] double rate_bytes_per_second() const noexcept { return rate_; }

  // Receiving.

  /// Notes an arrived sequence. False when it is a repeat or too old to tell: the frame is then to be ignored.
  [[nodiscard]] bool on_received(Instant now, std::uint32_t sequence) noexcept {
    return on_received(now, sequence, feedback_wait());
  }
  /// The same for a frame whose acknowledgement may wait so long.
  [[nodiscard]] bool on_received(Instant now, std::uint32_t sequence, Duration wait) noexcept;
  [[nodiscard]] std::uint32_t highest_received() const noexcept {
    return static_cast<std::uint32_t>(highest_received_);
  }
  [[nodiscard]] Instant highest_received_at() const noexcept { return highest_received_at_; }
  /// An announce or a coded frame arrived: many others may follow and their acknowledgements be lost.
  void on_bulk_received() noexcept { bulk_until_ = highest_received_ + bulk_spare_words * 64; }
  /// The bitmap words to send: those of what is new and some before them, since feedback may be lost.
  [[nodiscard]] std::span<const std::uint64_t> ack_words() noexcept;
  [[nodiscard]] std::uint32_t unacknowledged() const noexcept { return unacknowledged_; }
  /// How long feedback on what arrives may wait for more: a tenth of the round trip, 1 to 10 ms.
  [[nodiscard]] Duration feedback_wait() const noexcept {
    return std::clamp(smoothed_rtt_ / 10, milliseconds(1), milliseconds(10));
  }
  /// And on packets that members pass on, of which each brings few and loses what nobody sends again: a quarter of the
  /// round trip, 1 to 25 ms.
  [[nodiscard]] Duration member_feedback_wait() const noexcept {
    return std::clamp(smoothed_rtt_ / 4, milliseconds(1), milliseconds(25));
  }
  /// A feedback frame is being written: returns its number.
  std::uint32_t on_feedback_sent() noexcept;
  /// When a feedback frame is due: never, or at the latest then.
  [[nodiscard]] Instant feedback_at() const noexcept { return feedback_at_; }
  /// Asks for a feedback frame by `at`.
  void want_feedback(Instant at) noexcept {
    if (at < feedback_at_) feedback_at_ = at;
  }

 private:
  enum class End : std::uint8_t { pending, acknowledged, lost };
  struct Entry {
    SentFrame frame;
    Instant at{};
    End end = End::acknowledged;
  };

  explicit Link(std::vector<Entry>&& log) noexcept : log_(std::move(log)) {}
  [[nodiscard]] Entry& entry_of(std::uint64_t sequence) noexcept { return log_[sequence & (log_.size() - 1)]; }
  void end(Entry& entry, End how) noexcept;
  void on_acknowledged(Instant now, std::uint64_t highest, const Acknowledgement& ack, std::uint64_t bytes) noexcept;
  void take_delay(Instant now, Instant sent, std::uint32_t arrival_us) noexcept;
  void take_rtt(Instant now, Duration rtt) noexcept;
  void take_rate(Instant now) noexcept;
  void shift_received(std::uint64_t shift) noexcept;
  void settle_received() noexcept;
  void drain(double delivered, double lost_share) noexcept;
  void advance_oldest() noexcept;
  [[nodiscard]] Duration timeout() const noexcept;
  /// Beyond the round trip that was told, while none was measured: a lost first frame waits for this probe.
  [[nodiscard]] static constexpr Duration first_probe_after() noexcept { return milliseconds(25); }
  void set_pace() noexcept;

  /// The neighbour answered a probe of `probed_at` without naming the last frames sent before it:
  /// it has not had them, and no later frame would show the gap.
  template <class Ended>
  void give_up_before(Instant probed_at, Ended&& ended) noexcept {
    for (std::uint64_t s = std::max(oldest_, highest_acknowledged_ + 1); s < next_sequence_; ++s) {
      Entry& entry = entry_of(s);
      if (entry.end != End::pending) continue;
      if (probed_at - entry.at < milliseconds(5)) break;
      end(entry, End::lost);
      ended(entry.frame, false);
    }
    advance_oldest();
  }

  /// Declares lost what is older than the newest acknowledged frame by more than reordering explains.
  template <class Ended>
  void sweep(Instant now, Ended&& ended) noexcept {
    advance_oldest();
    if (highest_acknowledged_ == 0) return;
    Duration reorder = smoothed_rtt_ / 4;
    if (reorder < microseconds(500)) reorder = microseconds(500);
    if (reorder > milliseconds(20)) reorder = milliseconds(20);
    for (std::uint64_t s = oldest_; s < highest_acknowledged_; ++s) {
      Entry& entry = entry_of(s);
      if (entry.end != End::pending) continue;
      const bool is_late = highest_acknowledged_at_ - entry.at > reorder || highest_acknowledged_ - s > 512 ||
                           now - entry.at > timeout();
      if (!is_late) break;
      end(entry, End::lost);
      ended(entry.frame, false);
    }
    advance_oldest();
  }

  std::vector<Entry> log_;
  // 64 bits wide here; the wire carries the low 32.
  std::uint64_t next_sequence_ = 1;
  std::uint64_t oldest_ = 1;  // every sequence before it has ended
  std::uint64_t highest_acknowledged_ = 0;
  Instant highest_acknowledged_at_{};  // when that frame was sent
  std::uint32_t feedback_taken_ = 0;
  std::size_t inflight_frames_ = 0;
  std::uint64_t delivered_bytes_ = 0;
  Instant timer_base_{};
  std::uint32_t probes_unanswered_ = 0;

  bool is_rtt_measured_ = false;
  Duration smoothed_rtt_{};  // until measured, what reset() was told
  std::array<Duration, 2> rtt_min_{};  // of this and the previous five seconds
  Instant rtt_min_since_{};
  Duration rtt_least_{};  // of all: a queue that stands for minutes is no part of the path
  std::array<std::uint32_t, 2> trip_min_us_{};  // least of arrival clock - sending clock, modulo 2^32
  Instant trip_min_since_{};
  bool has_trip_ = false;
  Duration queue_delay_{};
  double rate_ = 0;  // bytes per second
  std::array<double, 3> rate_samples_{};
  std::size_t rate_sample_ = 0;
  Instant round_at_{};
  std::uint64_t round_delivered_ = 0;
  std::uint32_t round_ended_ = 0;  // frames, of them
  std::uint32_t round_lost_ = 0;
  bool was_cut_ = false;  // held_rate_, in the round before
  double held_rate_ = 0;  // delay alone does not cut below it
  std::uint32_t flat_rounds_ = 0;
  bool is_starting_ = true;
  bool is_app_limited_ = true;
  Instant pace_at_{};
  double ns_per_byte_ = 0;
  std::size_t window_ = 0;  // frames

  std::uint64_t highest_received_ = 0;
  Instant highest_received_at_{};
  std::array<std::uint64_t, 16> received_words_{};  // as on the wire, but for the last in_order_ sequences:
  std::uint64_t in_order_ = 0;                      // shifting all words with each would take longer than the rest
  static constexpr std::size_t bulk_spare_words = 3;
  std::uint64_t bulk_until_ = 0;  // sequence up to which feedback repeats more of what it said before
  std::uint32_t unacknowledged_ = 0;
  std::uint32_t feedback_number_ = 0;
  Instant feedback_at_ = never;
};

}  // namespace corelay::dataplane
