#include "dataplane/io/memory_io.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "dataplane/io/udp_socket.h"

namespace corelay::dataplane {
namespace {

constexpr std::size_t slot_bytes = 65'536;
constexpr std::size_t plain_slots_per_buffer = 8;  // without GRO a run takes a buffer a datagram
constexpr Endpoint loopback{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1}, 0};

}  // namespace

class MemoryIo final : public PacketIo {
 public:
  MemoryIo(MemoryNetwork& network, std::uint16_t port, const IoConfig& config)
      : network_(network),
        port_(port),
        destinations_(config.peers_max),
        rx_pool_(config.use_gro ? config.rx_buffers : config.rx_buffers * plain_slots_per_buffer, slot_bytes),
        tx_pool_(config.tx_buffers, run_bytes_max) {
    caps_.gso = config.use_gso;
    caps_.gro = config.use_gro;
    caps_.name = "memory";
    arrived_.reserve(rx_pool_.count());
    held_.reserve(network.held_runs_max_);
    network_.ends_[port_] = this;
  }
  ~MemoryIo() override { network_.ends_.erase(port_); }

  const IoCaps& caps() const noexcept override { return caps_; }
  const IoStats& stats() const noexcept override { return stats_; }
  std::uint16_t port() const noexcept override { return port_; }
  void set_destination(PeerIndex peer, const Endpoint& to) noexcept override {
    if (peer < destinations_.size()) destinations_[peer] = to.port;
  }
  void clear_destination(PeerIndex peer) noexcept override {
    if (peer < destinations_.size()) destinations_[peer] = 0;
  }

  std::size_t rx_burst(std::span<RxRun> out) noexcept override {
    const std::size_t count = std::min(out.size(), arrived_.size());
    for (std::size_t i = 0; i < count; ++i) {
      out[i] = arrived_[i];
      ++stats_.rx_runs;
      stats_.rx_datagrams += segment_count(out[i].bytes, out[i].segment_bytes);
      stats_.rx_bytes += out[i].bytes;
    }
    arrived_.erase(arrived_.begin(), arrived_.begin() + static_cast<std::ptrdiff_t>(count));
    return count;
  }
  void release(std::span<const RxRun> done) noexcept override {
    for (const RxRun& run : done) rx_pool_.give(run.token);
  }
  TxBuffer tx_alloc() noexcept override {
    const std::uint32_t token = tx_pool_.take();
    if (token == no_buffer) return {};
    return {tx_pool_.slot(token), token};
  }
  void tx_free(std::uint32_t token) noexcept override { tx_pool_.give(token); }

  std::size_t tx_burst(std::span<TxRun> runs) noexcept override {
    for (std::size_t i = 0; i < runs.size(); ++i) {
      const TxRun& run = runs[i];
      if (run.peer >= destinations_.size() || destinations_[run.peer] == 0) {
        stats_.tx_errors += segment_count(run.bytes, run.segment_bytes);
        tx_pool_.give(run.token);
        continue;
      }
      if (held_.size() == network_.held_runs_max_) {
        ++stats_.tx_would_block;
        return i;
      }
      ++stats_.tx_runs;
      stats_.tx_datagrams += segment_count(run.bytes, run.segment_bytes);
      stats_.tx_bytes += run.bytes;
      held_.push_back(run);
      if (network_.flowing_) deliver_held();
    }
    return runs.size();
  }

  void wait(Duration, bool) noexcept override {}  // one thread: nothing could end the wait
  void wake() noexcept override {}

  void deliver_held() noexcept {
    for (const TxRun& run : held_) {
      const auto end = network_.ends_.find(destinations_[run.peer]);
      if (end != network_.ends_.end()) end->second->take_in(run, port_);
      tx_pool_.give(run.token);
    }
    held_.clear();
  }

 private:
  /// As the system would: whole where both ends take runs, one datagram at a time otherwise.
  void take_in(const TxRun& run, std::uint16_t from_port) noexcept {
    const std::uint32_t step = caps_.gro ? run.bytes : std::uint32_t{run.segment_bytes};
    for (std::uint32_t offset = 0; offset < run.bytes; offset += step) {
      const std::uint32_t bytes = std::min(step, run.bytes - offset);
      const std::uint32_t slot = rx_pool_.take();
      if (slot == no_buffer) {
        ++stats_.rx_starved;
        return;
      }
      std::memcpy(rx_pool_.slot(slot), run.data + offset, bytes);
      Endpoint from = loopback;
      from.port = from_port;
      arrived_.push_back({rx_pool_.slot(slot), bytes, std::min(std::uint32_t{run.segment_bytes}, bytes), from, slot});
    }
  }

  MemoryNetwork& network_;
  std::uint16_t port_;
  IoCaps caps_;
  IoStats stats_;
  std::vector<std::uint16_t> destinations_;
  BufferPool rx_pool_;
  BufferPool tx_pool_;
  std::vector<RxRun> arrived_;
  std::vector<TxRun> held_;
};

std::unique_ptr<PacketIo> MemoryNetwork::open(const IoConfig& config) {
  const std::uint16_t port = config.port != 0 ? config.port : next_port_++;
  return std::make_unique<MemoryIo>(*this, port, config);
}

void MemoryNetwork::set_flowing(bool flowing) noexcept {
  flowing_ = flowing;
  if (!flowing_) return;
  for (const auto& [port, end] : ends_) end->deliver_held();
}

}  // namespace corelay::dataplane
