#include "dataplane/io/loss_io.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace corelay::dataplane {

LossIo::LossIo(std::unique_ptr<PacketIo> inner, double loss, std::uint64_t seed)
    : inner_(std::move(inner)), loss_(loss), rng_(seed) {}

std::size_t LossIo::rx_burst(std::span<RxRun> out) noexcept {
  const std::size_t count = inner_->rx_burst(out);
  std::size_t kept = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (!thin_out(out[i])) {
      inner_->release(out.subspan(i, 1));
      continue;
    }
    if (kept != i) out[kept] = out[i];
    ++kept;
  }
  return kept;
}

/// Moves the datagrams that survive together. False when none does.
bool LossIo::thin_out(RxRun& run) noexcept {
  std::uint32_t kept = 0;
  for (std::uint32_t offset = 0; offset < run.bytes; offset += run.segment_bytes) {
    const std::uint32_t bytes = std::min(run.segment_bytes, run.bytes - offset);
    if (rng_.chance(loss_)) {
      ++lost_;
      continue;
    }
    if (kept != offset) std::memmove(run.data + kept, run.data + offset, bytes);
    kept += bytes;
  }
  run.bytes = kept;
  return kept != 0;
}

}  // namespace corelay::dataplane
