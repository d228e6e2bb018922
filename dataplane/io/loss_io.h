/// A decorator over any backend that loses received datagrams, each with the same probability, independently. For tests
/// and measurements: the system under it and the lcore above it run as they always do.
#pragma once

#include <cstdint>
#include <memory>

#include "codec/rng.h"
#include "dataplane/io/packet_io.h"

namespace corelay::dataplane {

class LossIo final : public PacketIo {
 public:
  /// Loses the share `loss` (0 to 1) of what `inner` receives. The same seed loses the same datagrams of a sequence.
  LossIo(std::unique_ptr<PacketIo> inner, double loss, std::uint64_t seed);

  const IoCaps& caps() const noexcept override { return inner_->caps(); }
  const IoStats& stats() const noexcept override { return inner_->stats(); }
  std::uint16_t port() const noexcept override { return inner_->port(); }
  void set_destination(PeerIndex peer, const Endpoint& to) noexcept override { inner_->set_destination(peer, to); }
  void clear_destination(PeerIndex peer) noexcept override { inner_->clear_destination(peer); }
  std::size_t rx_burst(std::span<RxRun> out) noexcept override;
  void release(std::span<const RxRun> done) noexcept override { inner_->release(done); }
  TxBuffer tx_alloc() noexcept override { return inner_->tx_alloc(); }
  void tx_free(std::uint32_t token) noexcept override { inner_->tx_free(token); }
  std::size_t tx_burst(std::span<TxRun> runs) noexcept override { return inner_->tx_burst(runs); }
  void wait(Duration timeout, bool transmit) noexcept override { inner_->wait(timeout, transmit); }
  void wake() noexcept override { inner_->wake(); }

  /// Datagrams lost on purpose so far.
  [[nodiscard]] std::uint64_t lost() const noexcept { return lost_; }

 private:
  bool thin_out(RxRun& run) noexcept;

  std::unique_ptr<PacketIo> inner_;
  double loss_;
  Rng rng_;
  std::uint64_t lost_ = 0;
};

}  // namespace corelay::dataplane
