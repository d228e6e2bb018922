#include "sim/link_model.h"

#include <algorithm>

namespace corelay::sim {

namespace {

__extension__ using wide = unsigned __int128;
constexpr std::uint64_t second_ns = 1'000'000'000;

Duration below(Duration bound, Rng& rng) {
  return {static_cast<std::int64_t>(
      rng.below(static_cast<std::uint64_t>(std::max<std::int64_t>(bound.ns, 0)) + 1))};
}

}  // namespace

Instant Serializer::take(Instant now, std::size_t bytes) noexcept {
  if (bytes_per_second_ == 0) return now;
  if (now >= free_at_) {
    busy_since_ = now;
    busy_bytes_ = 0;
  }
  busy_bytes_ += bytes;
  // Rounded up, from the start of the busy period: errors do not add up.
  const wide ns =
      (static_cast<wide>(busy_bytes_) * second_ns + bytes_per_second_ - 1) / bytes_per_second_;
  free_at_ = busy_since_ + Duration{static_cast<std::int64_t>(ns)};
  return free_at_;
}

std::uint64_t Serializer::backlog_bytes(Instant now) const noexcept {
  if (bytes_per_second_ == 0 || now >= free_at_) return 0;
  const auto sent_ns = static_cast<std::uint64_t>((now - busy_since_).ns);
  const auto sent =
      static_cast<std::uint64_t>(static_cast<wide>(sent_ns) * bytes_per_second_ / second_ns);
  return busy_bytes_ - std::min(busy_bytes_, sent);
}

LinkModel::LinkModel(const LinkParams& params, std::size_t nodes, std::uint64_t seed)
    : params_(params),
      seed_(seed),
      up_(nodes, Serializer(params.up_bytes_per_second)),
      down_(nodes, Serializer(params.down_bytes_per_second)) {}

Duration LinkModel::delay(std::size_t a, std::size_t b) const noexcept {
  // A function of the pair, so that a large mesh needs no table.
  Rng pair(seed_ ^ (static_cast<std::uint64_t>(std::min(a, b)) << 32) ^
           static_cast<std::uint64_t>(std::max(a, b)));
  static_cast<void>(pair.next());
  return params_.delay_min + below(params_.delay_max - params_.delay_min, pair);
}

Passage LinkModel::send(Instant now, std::size_t from, std::size_t to, std::size_t bytes,
                        Rng& rng) {
  Passage passage;
  if (up_[from].backlog_bytes(now) + bytes > params_.up_queue_bytes &&
      params_.up_bytes_per_second != 0) {
    passage.fate = Fate::up_queue_full;
    return passage;
  }
  const Instant departs = up_[from].take(now, bytes);
  Direction& direction = directions_[static_cast<std::uint64_t>(from) << 32 | to];
  if (is_faulty_ && params_.burst_start > 0) {
    direction.is_bad =
        direction.is_bad ? !rng.chance(params_.burst_end) : rng.chance(params_.burst_start);
    if (direction.is_bad && rng.chance(params_.burst_loss)) passage.fate = Fate::lost_in_burst;
  }
  if (is_faulty_ && params_.loss > 0 && rng.chance(params_.loss) && passage.fate == Fate::passes) {
    passage.fate = Fate::lost;
  }
  if (passage.fate != Fate::passes) return passage;

  const Duration way = delay(from, to);
  passage.arrives = departs + way;
  if (params_.jitter.ns > 0) passage.arrives = passage.arrives + below(params_.jitter, rng);
  passage.arrives = std::max(passage.arrives, direction.last);
  direction.last = passage.arrives;
  if (!is_faulty_) return passage;
  if (params_.reorder > 0 && rng.chance(params_.reorder)) {
    passage.arrives = passage.arrives + below(params_.reorder_delay, rng);
  }
  if (params_.duplicate > 0 && rng.chance(params_.duplicate)) {
    passage.is_twice = true;
    passage.arrives_again = passage.arrives + below(params_.reorder_delay, rng);
  }
  passage.is_corrupt = params_.corrupt > 0 && rng.chance(params_.corrupt);
  return passage;
}

bool LinkModel::receive(Instant now, std::size_t to, std::size_t bytes, Instant& through) noexcept {
  const bool is_full = params_.down_bytes_per_second != 0 &&
                       down_[to].backlog_bytes(now) + bytes > params_.down_queue_bytes;
  if (is_full) return false;
  through = down_[to].take(now, bytes);
  return true;
}

}  // namespace corelay::sim
