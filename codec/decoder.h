/// Progressive decoding in two phases. While packets arrive only their coefficient vectors are
/// worked on: absorb() keeps them in reduced form together with the transform that made it, so
/// innovation is known at once and a redundant packet never costs a payload byte. At rank k,
/// decode() does one blocked product over the payloads. Missing shards alone are computed: a
/// systematic packet is already its shard.
///
/// The decoder holds no payload and allocates nothing: the caller gives it storage, keeps payload
/// number r where it likes (r = rank before the innovative absorb), and passes the payload pointers
/// in arrival order to decode().
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "codec/field.h"

namespace corelay::codec {

/// What one coded packet did to a generation. Only innovative changes the decoder.
enum class Absorbed : std::uint8_t {
  innovative,  // rank grew by one
  redundant,   // a combination of what is held
  complete,    // rank was k already
  malformed,   // not k coefficients
};

class Decoder {
 public:
  /// Bytes of storage a generation of k shards needs (64-byte aligned by the caller): at most k
  /// rows that arrived coded, and three rows of bookkeeping.
  [[nodiscard]] static constexpr std::size_t storage_bytes(std::size_t k) noexcept {
    const std::size_t stride = (k + 63) / 64 * 64;
    return (k + 3) * stride;
  }

  Decoder() noexcept = default;

  /// Starts a generation of k shards (1..256) with rank 0. `storage` holds at least
  /// storage_bytes(k), 64-byte aligned, and stays the caller's; the decoder uses it until the next
  /// reset().
  void reset(std::size_t k, std::span<std::uint8_t> storage) noexcept;

  /// Takes the coefficient vector of one packet (k bytes, copied). Cost: O(k * rank) bytes of field
  /// work.
  [[nodiscard]] Absorbed absorb(std::span<const std::uint8_t> coefficients) noexcept;

  /// As absorb(), for the packet that is shard `index` itself; index >= k is malformed.
  [[nodiscard]] Absorbed absorb_systematic(std::size_t index) noexcept;

  [[nodiscard]] std::size_t k() const noexcept { return k_; }
  [[nodiscard]] std::size_t rank() const noexcept { return rank_; }
  [[nodiscard]] bool is_complete() const noexcept { return k_ != 0 && rank_ == k_; }

  /// At full rank: turns the k payloads (`bytes` each, in arrival order) into the k shards, in
  /// place, and permutes `payloads` so that payloads[i] is shard i. Systematic payloads are not
  /// touched. Cost: one missing x k product; bench: tools/bench codec, rows D1-D3 and S1.
  void decode(std::span<std::uint8_t*> payloads, std::size_t bytes) noexcept;

 private:
  // Storage: coded rows (up to k of them), work, slots, arrivals (stride_ bytes each).
  [[nodiscard]] std::uint8_t* work() const noexcept { return storage_ + k_ * stride_; }
  [[nodiscard]] std::uint8_t* slots() const noexcept { return work() + stride_; }
  [[nodiscard]] std::uint8_t* arrivals() const noexcept { return work() + 2 * stride_; }

  [[nodiscard]] Absorbed take(const std::uint8_t* coefficients) noexcept;
  void hold(std::size_t column) noexcept;
  void settle() noexcept;
  void swap_columns(std::size_t a, std::size_t b) noexcept;

  std::uint8_t* storage_ = nullptr;
  std::size_t k_ = 0;
  std::size_t rank_ = 0;
  std::size_t coded_ = 0;  // rows held; the other rank_ - coded_ packets are their shards
  std::size_t stride_ = 0;
  std::uint64_t coded_mask_[k_max / 64] = {};  // bit per column: a coded row stands for it
  std::uint64_t held_mask_[k_max / 64] = {};   // any packet stands for it
};

}  // namespace corelay::codec
