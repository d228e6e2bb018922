/// Sends runs with sendmmsg(): one message a run where the peer's path takes GSO, one a datagram where it does not.
/// The socket backend sends everything this way, the io_uring backend what it cannot send as a GSO run.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <span>

#include "dataplane/io/packet_io.h"
#include "dataplane/io/udp_socket.h"

namespace corelay::dataplane {

/// A UDP_SEGMENT control message, aligned as the system wants it.
union SegmentControl {
  cmsghdr align;
  std::array<char, CMSG_SPACE(sizeof(std::uint16_t))> bytes;
};

/// Fills `control` with the segment size and points `message` at it.
void attach_segment_size(msghdr& message, SegmentControl& control, std::uint16_t segment_bytes) noexcept;

/// True when `error` from a GSO send means that this path takes no GSO.
[[nodiscard]] bool is_gso_refusal(int error) noexcept;

class UdpTransmit {
 public:
  UdpTransmit(int fd, bool gso, DestinationTable& destinations, IoStats& stats) noexcept
      : fd_(fd), gso_(gso), destinations_(destinations), stats_(stats) {}

  /// As PacketIo::tx_burst, without the buffers: the caller takes back those of the accepted prefix.
  [[nodiscard]] std::size_t send(std::span<TxRun> runs) noexcept;

  /// Whether a run to this destination goes out as one message.
  [[nodiscard]] bool is_gso(const DestinationTable::Entry& to) const noexcept { return gso_ && to.gso; }

 private:
  static constexpr std::size_t messages_max = 64;

  std::size_t skip_unreachable(std::span<TxRun> runs) noexcept;
  std::size_t prepare(std::span<const TxRun> runs) noexcept;
  bool handle_error(int error, TxRun& run) noexcept;
  static std::uint32_t advance(TxRun& run, std::uint32_t bytes) noexcept;

  int fd_;
  bool gso_;
  DestinationTable& destinations_;
  IoStats& stats_;
  std::array<mmsghdr, messages_max> headers_{};
  std::array<iovec, messages_max> vectors_{};
  std::array<SegmentControl, messages_max> controls_{};
};

}  // namespace corelay::dataplane
