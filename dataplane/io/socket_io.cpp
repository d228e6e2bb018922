#include "dataplane/io/socket_io.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <vector>

#include "dataplane/io/udp_socket.h"
#include "dataplane/io/udp_transmit.h"

namespace corelay::dataplane {
namespace {

constexpr std::size_t receive_max = 16;                // messages a system call
constexpr std::size_t plain_slots_per_buffer = 8;      // without GRO slots are small, so there can be more
constexpr std::size_t plain_slot_bytes = 2048;
constexpr std::size_t gro_slot_bytes = 65'536;

class SocketIo final : public PacketIo {
 public:
  SocketIo(UdpSocket udp, Descriptor wake, const IoConfig& config);

  const IoCaps& caps() const noexcept override { return caps_; }
  const IoStats& stats() const noexcept override { return stats_; }
  std::uint16_t port() const noexcept override { return udp_.port; }
  void set_destination(PeerIndex peer, const Endpoint& to) noexcept override { destinations_.set(peer, to); }
  void clear_destination(PeerIndex peer) noexcept override { destinations_.clear(peer); }
  std::size_t rx_burst(std::span<RxRun> out) noexcept override;
  void release(std::span<const RxRun> done) noexcept override;
  TxBuffer tx_alloc() noexcept override;
  void tx_free(std::uint32_t token) noexcept override { tx_pool_.give(token); }
  std::size_t tx_burst(std::span<TxRun> runs) noexcept override;
  void wait(Duration timeout, bool transmit) noexcept override;
  void wake() noexcept override;

 private:
  /// One message header with the receive buffer it points at, if any.
  struct Receive {
    SocketAddress from{};
    iovec vector{};
    alignas(cmsghdr) std::array<char, 64> control{};
    std::uint32_t slot = no_buffer;
  };

  std::size_t arm(std::size_t wanted) noexcept;

  UdpSocket udp_;
  Descriptor wake_;
  IoCaps caps_;
  IoStats stats_;
  DestinationTable destinations_;
  UdpTransmit transmit_;
  BufferPool rx_pool_;
  BufferPool tx_pool_;
  std::array<mmsghdr, receive_max> headers_{};
  std::array<Receive, receive_max> receives_{};
};

SocketIo::SocketIo(UdpSocket udp, Descriptor wake, const IoConfig& config)
    : udp_(std::move(udp)),
      wake_(std::move(wake)),
      destinations_(config.peers_max, udp_.family),
      transmit_(udp_.descriptor.fd(), udp_.gso, destinations_, stats_),
      rx_pool_(udp_.gro ? config.rx_buffers : config.rx_buffers * plain_slots_per_buffer,
               udp_.gro ? gro_slot_bytes : plain_slot_bytes),
      tx_pool_(config.tx_buffers, run_bytes_max) {
  caps_.gso = udp_.gso;
  caps_.gro = udp_.gro;
  caps_.name = "socket (recvmmsg, sendmmsg";
  if (udp_.gso) caps_.name += ", GSO";
  if (udp_.gro) caps_.name += ", GRO";
  caps_.name += ")";
}

/// Gives the first headers a buffer each; returns how many of them are ready.
std::size_t SocketIo::arm(std::size_t wanted) noexcept {
  for (std::size_t i = 0; i < wanted; ++i) {
    Receive& receive = receives_[i];
    if (receive.slot != no_buffer) continue;
    receive.slot = rx_pool_.take();
    if (receive.slot == no_buffer) return i;
    receive.vector = {rx_pool_.slot(receive.slot), rx_pool_.slot_bytes()};
    msghdr& message = headers_[i].msg_hdr;
    message.msg_name = &receive.from;
    message.msg_namelen = sizeof receive.from;
    message.msg_iov = &receive.vector;
    message.msg_iovlen = 1;
    message.msg_control = receive.control.data();
    message.msg_controllen = receive.control.size();
  }
  return wanted;
}

std::size_t SocketIo::rx_burst(std::span<RxRun> out) noexcept {
  const std::size_t wanted = std::min(out.size(), receive_max);
  const std::size_t armed = arm(wanted);
  if (armed == 0) {
    if (wanted != 0) ++stats_.rx_starved;
    return 0;
  }
  const int got = recvmmsg(udp_.descriptor.fd(), headers_.data(), static_cast<unsigned>(armed), MSG_DONTWAIT, nullptr);
  std::size_t count = 0;
  for (std::size_t i = 0; got > 0 && i < static_cast<std::size_t>(got); ++i) {
    Receive& receive = receives_[i];
    const msghdr& message = headers_[i].msg_hdr;
    const std::uint32_t bytes = headers_[i].msg_len;
    const std::uint32_t slot = std::exchange(receive.slot, no_buffer);
    if ((message.msg_flags & MSG_TRUNC) != 0 || bytes == 0) {
      ++(bytes == 0 ? stats_.rx_empty : stats_.rx_truncated);
      rx_pool_.give(slot);
      continue;
    }
    RxRun& run = out[count++];
    run.data = rx_pool_.slot(slot);
    run.bytes = bytes;
    run.segment_bytes = received_segment_bytes(message, bytes);
    run.from = to_endpoint(receive.from);
    run.token = slot;
    ++stats_.rx_runs;
    stats_.rx_datagrams += segment_count(run.bytes, run.segment_bytes);
    stats_.rx_bytes += bytes;
  }
  return count;
}

void SocketIo::release(std::span<const RxRun> done) noexcept {
  for (const RxRun& run : done) rx_pool_.give(run.token);
}

TxBuffer SocketIo::tx_alloc() noexcept {
  const std::uint32_t token = tx_pool_.take();
  if (token == no_buffer) return {};
  return {tx_pool_.slot(token), token};
}

std::size_t SocketIo::tx_burst(std::span<TxRun> runs) noexcept {
  const std::size_t accepted = transmit_.send(runs);
  for (const TxRun& run : runs.first(accepted)) tx_pool_.give(run.token);
  return accepted;
}

void SocketIo::wait(Duration timeout, bool transmit) noexcept {
  if (timeout.ns <= 0) return;
  std::array<pollfd, 2> polled{{{udp_.descriptor.fd(), POLLIN, 0}, {wake_.fd(), POLLIN, 0}}};
  if (transmit) polled[0].events |= POLLOUT;
  const timespec limit{timeout.ns / 1'000'000'000, timeout.ns % 1'000'000'000};
  if (ppoll(polled.data(), polled.size(), &limit, nullptr) > 0 && polled[1].revents != 0) {
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t drained = read(wake_.fd(), &count, sizeof count);
  }
}

void SocketIo::wake() noexcept {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_.fd(), &one, sizeof one);
}

}  // namespace

Expected<std::unique_ptr<PacketIo>> open_socket_io(const IoConfig& config) {
  Expected<UdpSocket> udp = open_udp_socket(config);
  if (!udp) return tl::make_unexpected(udp.error());
  Descriptor wake(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!wake.is_open()) return fail(ErrorCode::unavailable, "open socket backend", "no eventfd", errno);
  return std::make_unique<SocketIo>(std::move(*udp), std::move(wake), config);
}

}  // namespace corelay::dataplane
