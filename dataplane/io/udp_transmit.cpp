#include "dataplane/io/udp_transmit.h"

#include <netinet/udp.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace corelay::dataplane {

void attach_segment_size(msghdr& message, SegmentControl& control, std::uint16_t segment_bytes) noexcept {
  message.msg_control = control.bytes.data();
  message.msg_controllen = control.bytes.size();
  cmsghdr* const c = CMSG_FIRSTHDR(&message);
  c->cmsg_level = SOL_UDP;
  c->cmsg_type = UDP_SEGMENT;
  c->cmsg_len = CMSG_LEN(sizeof segment_bytes);
  std::memcpy(CMSG_DATA(c), &segment_bytes, sizeof segment_bytes);
}

bool is_gso_refusal(int error) noexcept { return error == EIO || error == EINVAL || error == EMSGSIZE; }

std::size_t UdpTransmit::send(std::span<TxRun> runs) noexcept {
  std::size_t done = 0;
  for (;;) {
    done += skip_unreachable(runs.subspan(done));
    if (done == runs.size()) return done;
    const std::size_t count = prepare(runs.subspan(done));
    const int sent = sendmmsg(fd_, headers_.data(), static_cast<unsigned>(count), MSG_DONTWAIT);
    const int error = errno;
    for (int i = 0; i < sent; ++i) {
      TxRun& run = runs[done];
      const auto bytes = static_cast<std::uint32_t>(vectors_[static_cast<std::size_t>(i)].iov_len);
      stats_.tx_datagrams += advance(run, bytes);
      stats_.tx_bytes += bytes;
      if (run.bytes != 0) continue;
      ++stats_.tx_runs;
      ++done;
    }
    if (sent > 0) continue;  // the error behind a short count comes back with the next call
    if (error == EINTR) continue;
    if (!handle_error(error, runs[done])) return done;
    if (runs[done].bytes == 0) ++done;
  }
}

/// Counts runs without a destination, up to the first with one.
std::size_t UdpTransmit::skip_unreachable(std::span<TxRun> runs) noexcept {
  std::size_t skipped = 0;
  while (skipped < runs.size() && destinations_.find(runs[skipped].peer) == nullptr) {
    TxRun& run = runs[skipped++];
    stats_.tx_errors += advance(run, run.bytes);
  }
  return skipped;
}

/// Fills the message headers from the front of `runs`, which has a destination. Returns how many.
std::size_t UdpTransmit::prepare(std::span<const TxRun> runs) noexcept {
  std::size_t count = 0;
  for (const TxRun& run : runs) {
    DestinationTable::Entry* const to = destinations_.find(run.peer);
    if (to == nullptr) break;
    const std::uint32_t step = is_gso(*to) ? run.bytes : std::uint32_t{run.segment_bytes};
    for (std::uint32_t offset = 0; offset < run.bytes; offset += step) {
      if (count == messages_max) return count;
      vectors_[count] = {const_cast<std::uint8_t*>(run.data) + offset, std::min(step, run.bytes - offset)};
      msghdr& message = headers_[count].msg_hdr;
      message = msghdr{};
      message.msg_name = &to->address;
      message.msg_namelen = to->length;
      message.msg_iov = &vectors_[count];
      message.msg_iovlen = 1;
      if (step > run.segment_bytes) attach_segment_size(message, controls_[count], run.segment_bytes);
      ++count;
    }
  }
  return count;
}

/// After a send that took nothing. False when the system is full; otherwise the head of `run` was given up or will go
/// out another way.
bool UdpTransmit::handle_error(int error, TxRun& run) noexcept {
  if (error == EAGAIN || error == EWOULDBLOCK || error == ENOBUFS || error == ENOMEM) {
    ++stats_.tx_would_block;
    return false;
  }
  DestinationTable::Entry* const to = destinations_.find(run.peer);
  if (run.bytes > run.segment_bytes && is_gso(*to)) {
    if (is_gso_refusal(error)) {
      to->gso = false;
      ++stats_.gso_refused;
      return true;
    }
    stats_.tx_errors += advance(run, run.bytes);
    return true;
  }
  stats_.tx_errors += advance(run, std::min(run.bytes, std::uint32_t{run.segment_bytes}));
  return true;
}

/// Takes `bytes` off the front of `run`; returns how many datagrams they were.
std::uint32_t UdpTransmit::advance(TxRun& run, std::uint32_t bytes) noexcept {
  run.data += bytes;
  run.bytes -= bytes;
  return segment_count(bytes, run.segment_bytes);
}

}  // namespace corelay::dataplane
