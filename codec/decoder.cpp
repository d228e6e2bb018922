// The state is a k x k matrix of which only the rows that arrived coded are kept. Packets held are
// numbered by column: packet s stands for column arrivals[s], and once rank is k the coded row for
// column c, read across, says how shard c is made of the packets (kernel/kernel.h, Tracker).
// Putting each payload at the place of its column makes decoding one product of those rows with all
// payloads, whose results replace the payloads of the same columns.
#include "codec/decoder.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "codec/check.h"
#include "codec/kernel/kernel.h"

namespace corelay::codec {
namespace {

// The one column in which a row is 1 while it is 0 in all others, or k.
std::size_t unit_column(const std::uint8_t* row, std::size_t k) noexcept {
  const std::uint8_t* const end = row + k;
  const auto not_zero = [](std::uint8_t value) { return value != 0; };
  const std::uint8_t* const first = std::find_if(row, end, not_zero);
  if (first == end || *first != 1 || std::find_if(first + 1, end, not_zero) != end) return k;
  return static_cast<std::size_t>(first - row);
}

}  // namespace

void Decoder::reset(std::size_t k, std::span<std::uint8_t> storage) noexcept {
  CHECK(k >= 1 && k <= k_max && storage.size() >= storage_bytes(k));
  CHECK(reinterpret_cast<std::uintptr_t>(storage.data()) % 64 == 0);
  storage_ = storage.data();
  k_ = k;
  rank_ = 0;
  coded_ = 0;
  stride_ = (k + 63) / 64 * 64;
  std::memset(work(), 0, 3 * stride_);
  std::fill_n(coded_mask_, std::size(coded_mask_), 0);
  std::fill_n(held_mask_, std::size(held_mask_), 0);
}

Absorbed Decoder::absorb(std::span<const std::uint8_t> coefficients) noexcept {
  if (coefficients.size() != k_ || k_ == 0) return Absorbed::malformed;
  if (rank_ == k_) return Absorbed::complete;
  return take(coefficients.data());
}

Absorbed Decoder::absorb_systematic(std::size_t index) noexcept {
  if (index >= k_) return Absorbed::malformed;
  if (rank_ == k_) return Absorbed::complete;
  if (!has_column(held_mask_, index)) {
    // Reduced rows are not changed by it: what they hold of this column is what they need of this
    // packet.
    hold(index);
    return Absorbed::innovative;
  }
  if (!has_column(coded_mask_, index)) return Absorbed::redundant;
  std::uint8_t unit[k_max] = {};
  unit[index] = 1;
  return take(unit);
}

Absorbed Decoder::take(const std::uint8_t* coefficients) noexcept {
  const Kernel& kernel = active_kernel();
  const Tracker tracker{storage_, work(), slots(), coded_mask_, held_mask_, coded_, stride_};
  const std::size_t column = kernel.reduce(tracker, coefficients, k_);
  if (column == stride_) return Absorbed::redundant;
  kernel.insert(tracker, column);
  ++coded_;
  coded_mask_[column / 64] |= std::uint64_t{1} << (column % 64);
  hold(column);
  return Absorbed::innovative;
}

void Decoder::hold(std::size_t column) noexcept {
  held_mask_[column / 64] |= std::uint64_t{1} << (column % 64);
  arrivals()[rank_++] = static_cast<std::uint8_t>(column);
  if (rank_ == k_) settle();
}

// Shards that arrived after a coded packet had taken their column show up at full rank as rows that
// copy one packet: move that packet to its own column and drop the row.
void Decoder::settle() noexcept {
  for (std::size_t r = 0; r < coded_;) {
    std::uint8_t* const row = storage_ + r * stride_;
    const std::size_t column = unit_column(row, k_);
    if (column == k_) {
      ++r;
      continue;
    }
    swap_columns(column, slots()[r]);
    --coded_;
    std::memmove(row, storage_ + coded_ * stride_, stride_);
    slots()[r] = slots()[coded_];
  }
}

// Exchanges the packets that stand for two columns.
void Decoder::swap_columns(std::size_t a, std::size_t b) noexcept {
  if (a == b) return;
  for (std::size_t r = 0; r < coded_; ++r) {
    std::uint8_t* const row = storage_ + r * stride_;
    std::swap(row[a], row[b]);
  }
  std::uint8_t* const end = arrivals() + k_;
  std::swap(*std::find(arrivals(), end, static_cast<std::uint8_t>(a)),
            *std::find(arrivals(), end, static_cast<std::uint8_t>(b)));
}

void Decoder::decode(std::span<std::uint8_t*> payloads, std::size_t bytes) noexcept {
  CHECK(is_complete() && payloads.size() == k_);
  std::uint8_t* by_column[k_max];
  for (std::size_t s = 0; s < k_; ++s) by_column[arrivals()[s]] = payloads[s];
  std::copy_n(by_column, k_, payloads.begin());
  if (coded_ == 0 || bytes == 0) return;
  active_kernel().multiply_in_place(coded_, k_, storage_, stride_, by_column, slots(), bytes);
}

}  // namespace corelay::codec
