#include "dataplane/core/link.h"

#include <algorithm>
#include <bit>

namespace corelay::dataplane {
namespace {

constexpr double start_rate = 25e6;          // bytes per second assumed before anything was measured
constexpr double rate_floor = 250e3;         // never slower: one full frame each 5 ms or so
constexpr std::size_t window_start = 64;     // frames a round, until something was measured
constexpr Duration window_start_round = milliseconds(50);  // on a longer path as many each such time,
constexpr std::size_t window_start_max = 512;              // or its first round trip would carry next to nothing
constexpr std::size_t window_floor = 32;
constexpr Duration delay_target = milliseconds(8);
constexpr Duration rtt_window = seconds(5);
constexpr std::size_t run_frames = 48;       // a paced link may always send one run at once
constexpr double probe_gain = 1.15;
constexpr double probe_limit = 1.5;
constexpr double drain_gain = 0.9;
constexpr double drain_step = 0.7;
constexpr Duration trip_window = seconds(30);  // clocks drift apart by a millisecond or two in it
// What a link holds against flows that fill the queue. Links share a bottleneck with others of their node, so each of
// them counts as a third of a flow.
constexpr double held_share = 0.4;           // of what was delivered while no queue stood
constexpr double held_step_bytes = 1400.0 / 3;  // more in flight each round without loss
constexpr double held_cut = 0.75;
constexpr double flooded_loss = 0.15;        // far too much is being sent
constexpr double flooded_cut = 0.5;
constexpr std::uint32_t feedback_every = 32;  // frames

}  // namespace

Link::Link(std::size_t log_frames) : log_(std::bit_ceil(std::max<std::size_t>(log_frames, 128))) {}

void Link::reset(Instant now, Duration rtt) noexcept {
  std::vector<Entry> log = std::move(log_);
  *this = Link(std::move(log));
  rate_ = start_rate;
  smoothed_rtt_ = rtt_least_ = rtt_min_[0] = rtt_min_[1] = rtt;
  round_at_ = rtt_min_since_ = timer_base_ = pace_at_ = now;
  set_pace();
}

/// What each frame needs of rate and round trip, worked out when they change.
void Link::set_pace() noexcept {
  const double rate = std::max(is_starting_ ? rate_ * 2.0 : rate_, rate_floor);
  ns_per_byte_ = 1e9 / rate;
  if (!is_rtt_measured_) {
    const std::int64_t rounds = smoothed_rtt_.ns * static_cast<std::int64_t>(window_start) / window_start_round.ns;
    window_ = std::clamp(static_cast<std::size_t>(rounds), window_start, std::min(window_start_max, log_.size() - 64));
    return;
  }
  // Queueing on the way out is held by the rate, not here; a long way back must not close the window.
  const double round = static_cast<double>(smoothed_rtt_.ns + milliseconds(2).ns) * 1e-9;
  const double frames = 1.5 * rate_ * round / 1400.0;
  window_ = std::clamp(static_cast<std::size_t>(frames), window_floor, log_.size() - 64);
}

std::size_t Link::room(Instant now, std::size_t wanted) const noexcept {
  if (pace_at_ > now || !has_log_room() || probes_unanswered_ >= 3) return 0;
  if (inflight_frames_ >= window_) return 0;
  const std::size_t log_left = log_.size() - (next_sequence_ - oldest_);
  return std::min({wanted, window_ - inflight_frames_, log_left, run_frames});
}

void Link::end(Entry& entry, End how) noexcept {
  entry.end = how;
  --inflight_frames_;
  ++round_ended_;
  if (how == End::lost) ++round_lost_;
  if (how == End::acknowledged) delivered_bytes_ += entry.frame.frame_bytes;
}

void Link::advance_oldest() noexcept {
  while (oldest_ != next_sequence_ && entry_of(oldest_).end != End::pending) ++oldest_;
}

void Link::on_acknowledged(Instant now, std::uint64_t highest, const Acknowledgement& ack,
                           std::uint64_t bytes) noexcept {
  probes_unanswered_ = 0;
  timer_base_ = now;
  if (highest > highest_acknowledged_) {
    highest_acknowledged_ = highest;
    // A frame given up before its acknowledgement came is forgotten: it tells nothing about time, and a guess would
    // stand as the least delay for seconds.
    const bool is_remembered = highest >= oldest_;
    highest_acknowledged_at_ = is_remembered ? entry_of(highest).at : now;
    if (is_remembered) {
      take_rtt(now, std::max(now - highest_acknowledged_at_ - ack.delay, microseconds(1)));
      take_delay(now, highest_acknowledged_at_, ack.arrival_us);
    }
  }
  if (bytes != 0) take_rate(now);
  set_pace();
}

void Link::take_rtt(Instant now, Duration rtt) noexcept {
  if (!is_rtt_measured_) {
    is_rtt_measured_ = true;
    smoothed_rtt_ = rtt_least_ = rtt_min_[0] = rtt_min_[1] = rtt;
    rtt_min_since_ = now;
    return;
  }
  if (now - rtt_min_since_ > rtt_window) {
    rtt_min_[1] = rtt_min_[0];
    rtt_min_[0] = rtt;
    rtt_min_since_ = now;
  }
  rtt_min_[0] = std::min(rtt_min_[0], rtt);
  rtt_least_ = std::min(rtt_least_, rtt);
  smoothed_rtt_ = (smoothed_rtt_ * 7 + rtt) / 8;
}

/// One-way delay against the least of the last seconds. The clocks share no origin: only differences are used.
void Link::take_delay(Instant now, Instant sent, std::uint32_t arrival_us) noexcept {
  const auto trip = arrival_us - static_cast<std::uint32_t>(sent.ns / 1000);
  const auto is_less = [](std::uint32_t a, std::uint32_t b) { return static_cast<std::int32_t>(a - b) < 0; };
  if (!has_trip_) {
    trip_min_us_ = {trip, trip};
    trip_min_since_ = now;
    has_trip_ = true;
  }
  if (now - trip_min_since_ > trip_window) {
    trip_min_us_ = {trip, trip_min_us_[0]};
    trip_min_since_ = now;
  }
  if (is_less(trip, trip_min_us_[0])) trip_min_us_[0] = trip;
  const std::uint32_t least = is_less(trip_min_us_[0], trip_min_us_[1]) ? trip_min_us_[0] : trip_min_us_[1];
  queue_delay_ = (queue_delay_ * 3 + microseconds(trip - least)) / 4;
}

void Link::take_rate(Instant now) noexcept {
  const Duration round = std::max(smoothed_rtt_, milliseconds(2));
  const Duration elapsed = now - round_at_;
  if (elapsed < round) return;
  const double sample =
      static_cast<double>(delivered_bytes_ - round_delivered_) * 1e9 / static_cast<double>(elapsed.ns);
  const bool was_app_limited = is_app_limited_;
  round_at_ = now;
  round_delivered_ = delivered_bytes_;
  is_app_limited_ = false;
  const double lost_share = round_ended_ == 0 ? 0 : static_cast<double>(round_lost_) / round_ended_;
  round_ended_ = round_lost_ = 0;
  // Where the queue has stood for so long that the least delay holds it too, much loss with long round trips tells.
  const bool is_flooded = lost_share > flooded_loss && smoothed_rtt_ - rtt_least_ > delay_target;
  if (queue_delay_ > delay_target || is_flooded) return drain(sample, lost_share);
  // A pause between messages says nothing about the path, unless it was faster than believed.
  if (was_app_limited && sample < rate_) return;
  if (is_starting_) {
    flat_rounds_ = sample > rate_ * 1.25 ? 0 : flat_rounds_ + 1;
    rate_ = std::max(rate_, sample);
    if (flat_rounds_ < 3) return;
    is_starting_ = false;
    rate_samples_.fill(sample);
    rate_ = sample;
  }
  rate_samples_[rate_sample_++ % rate_samples_.size()] = sample;
  const double delivered = *std::max_element(rate_samples_.begin(), rate_samples_.end());
  held_rate_ = std::max(held_rate_, delivered * held_share);
  // Probe, never far above what was last delivered.
  if (!was_app_limited) rate_ = std::max(rate_floor, std::min(rate_ * probe_gain, delivered * probe_limit));
}

/// A queue stands on the way: what is delivered is our share of the path, and going a little below it drains the queue
/// without spiralling down. A link that had little to send is cut step by step, since its share is not known. A queue
/// that others keep full does not drain: there is a rate at which we stay, which goes by loss.
void Link::drain(double delivered, double lost_share) noexcept {
  is_starting_ = false;
  if (held_rate_ == 0) held_rate_ = std::max(rate_floor, delivered * held_share);
  // One overflow loses packets for a round trip, which may be in two rounds.
  const bool is_cut = lost_share > 0 && !was_cut_;
  was_cut_ = is_cut;
  if (is_cut) {
    held_rate_ = std::max(rate_floor, held_rate_ * (lost_share > flooded_loss ? flooded_cut : held_cut));
  } else if (lost_share == 0 && rate_ <= held_rate_) {
    held_rate_ += held_step_bytes * 1e9 / static_cast<double>(std::max(smoothed_rtt_, milliseconds(2)).ns);
  }
  rate_samples_[rate_sample_++ % rate_samples_.size()] = delivered;
  const double share = *std::max_element(rate_samples_.begin(), rate_samples_.end());
  rate_ = std::max({rate_floor, held_rate_, std::min(rate_, share * drain_gain), rate_ * drain_step});
}

Duration Link::timeout() const noexcept {
  Duration base = smoothed_rtt_ * 3 + milliseconds(5);
  if (smoothed_rtt_.ns == 0) base = milliseconds(100);
  return std::max(base, milliseconds(10));
}

Instant Link::timer_at() const noexcept {
  if (inflight_frames_ == 0) return never;
  if (!is_rtt_measured_ && probes_unanswered_ == 0) return timer_base_ + smoothed_rtt_ + first_probe_after();
  const std::uint32_t doublings = std::min(probes_unanswered_, 6u);
  return timer_base_ + std::min(timeout() * (std::int64_t{1} << doublings), seconds(1));
}

/// Makes room for sequences that are newer by `shift`, 1 or more. Nearly always it is less than a word: the first loop
/// has no branches.
void Link::shift_received(std::uint64_t shift) noexcept {
  const std::size_t words = shift / 64;
  const std::size_t bits = shift % 64;
  if (words == 0) {
    for (std::size_t w = received_words_.size() - 1; w != 0; --w) {
      received_words_[w] = received_words_[w] << bits | received_words_[w - 1] >> (64 - bits);
    }
    received_words_[0] <<= bits;
    return;
  }
  for (std::size_t w = received_words_.size(); w-- > 0;) {
    std::uint64_t value = w >= words ? received_words_[w - words] << bits : 0;
    if (bits != 0 && w > words) value |= received_words_[w - words - 1] >> (64 - bits);
    received_words_[w] = value;
  }
}

/// Notes the sequences that came in order since the words were last right.
void Link::settle_received() noexcept {
  if (in_order_ == 0) return;
  shift_received(in_order_);
  const std::size_t words = std::min<std::size_t>(in_order_ / 64, received_words_.size());
  std::fill_n(received_words_.begin(), words, ~std::uint64_t{0});
  if (words < received_words_.size()) received_words_[words] |= (std::uint64_t{1} << in_order_ % 64) - 1;
  in_order_ = 0;
}

bool Link::on_received(Instant now, std::uint32_t wire_sequence, Duration wait) noexcept {
  constexpr std::uint64_t span = 64 * 16;
  const auto ahead = static_cast<std::int32_t>(wire_sequence - static_cast<std::uint32_t>(highest_received_));
  const auto wide = static_cast<std::int64_t>(highest_received_) + ahead;
  if (wide <= 0) return false;
  const auto sequence = static_cast<std::uint64_t>(wide);
  if (sequence == highest_received_ + 1) {
    ++in_order_;
    highest_received_ = sequence;
    highest_received_at_ = now;
  } else if (sequence > highest_received_) {
    settle_received();
    shift_received(sequence - highest_received_);
    received_words_[0] |= 1;
    highest_received_ = sequence;
    highest_received_at_ = now;
  } else {
    settle_received();
    const std::uint64_t back = highest_received_ - sequence;
    if (back >= span) return false;
    std::uint64_t& word = received_words_[back / 64];
    const std::uint64_t bit = std::uint64_t{1} << (back % 64);
    if ((word & bit) != 0) return false;
    word |= bit;
  }
  ++unacknowledged_;
  want_feedback(unacknowledged_ >= feedback_every ? now : now + wait);
  return true;
}

std::span<const std::uint64_t> Link::ack_words() noexcept {
  settle_received();
  if (highest_received_ == 0) return {};
  const std::size_t spare = highest_received_ <= bulk_until_ ? bulk_spare_words : 2;
  const std::size_t words = std::min<std::size_t>(unacknowledged_ / 64 + spare, received_words_.size());
  return {received_words_.data(), words};
}

std::uint32_t Link::on_feedback_sent() noexcept {
  unacknowledged_ = 0;
  feedback_at_ = never;
  return ++feedback_number_;
}

}  // namespace corelay::dataplane
