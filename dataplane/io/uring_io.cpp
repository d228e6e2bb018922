#include "dataplane/io/uring_io.h"

#include <liburing.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "dataplane/io/udp_socket.h"
#include "dataplane/io/udp_transmit.h"

namespace corelay::dataplane {
namespace {

constexpr unsigned submission_entries = 256;
constexpr unsigned completion_entries = 2048;
constexpr int buffer_group = 0;
// The kernel takes the buffers it has in turn: it gets so many bytes' worth of them and what lies here unread, in runs
// of the usual length, or so many buffers; more would push each other out of the cache.
constexpr std::size_t unread_bytes = 512 << 10;
constexpr std::size_t unread_buffers = 8;
constexpr std::size_t name_bytes = 32;       // what the kernel writes before the payload of a multishot recvmsg:
constexpr std::size_t control_bytes = 80;    // its own 16 bytes, the sender, control messages; 128 in all, so that
constexpr std::size_t payload_offset = sizeof(io_uring_recvmsg_out) + name_bytes + control_bytes;
static_assert(payload_offset == 128);        // the payload stays 64-byte aligned
constexpr std::size_t rx_slot_bytes = payload_offset + 65'536;

constexpr std::uint64_t rx_tag = 1ULL << 32;
constexpr std::uint64_t wake_tag = 2ULL << 32;
constexpr std::uint64_t tx_tag = 3ULL << 32;  // | slot
constexpr std::uint64_t tag_mask = ~0xffff'ffffULL;

class UringIo final : public PacketIo {
 public:
  UringIo(UdpSocket udp, Descriptor wake, const IoConfig& config);
  ~UringIo() override;

  /// Sets the ring up and proves that every part of it works. Errors: unavailable.
  [[nodiscard]] Expected<void> open();

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
  /// A message being sent. Must stay where it is until its completion.
  struct Transmit {
    TxRun run;
    msghdr message{};
    iovec vector{};
    SegmentControl control{};
  };

  Expected<void> open_ring();
  Expected<void> provide_buffers();
  void name_features();
  io_uring_sqe* next_sqe() noexcept;
  void address_socket(io_uring_sqe* sqe) noexcept;
  void arm_receive() noexcept;
  void arm_wake() noexcept;
  void start_send(TxRun& run, DestinationTable::Entry& to) noexcept;
  void provide() noexcept;
  void reap() noexcept;
  void reap_receive(const io_uring_cqe& completion) noexcept;
  void reap_send(const io_uring_cqe& completion) noexcept;
  bool kernel_has_work() const noexcept;
  bool decode(std::uint32_t slot, std::uint32_t length, RxRun& run) noexcept;
  void cancel_all() noexcept;

  UdpSocket udp_;
  Descriptor wake_;
  IoCaps caps_;
  IoStats stats_;
  DestinationTable destinations_;
  UdpTransmit fallback_;
  BufferPool rx_pool_;
  BufferPool tx_pool_;
  std::vector<Transmit> transmits_;  // one a tx slot
  std::vector<RxRun> arrived_;       // a ring, one place a rx slot: received, not yet handed over
  std::size_t arrived_head_ = 0;
  std::size_t arrived_tail_ = 0;

  io_uring ring_{};
  bool ring_open_ = false;
  bool deferred_ = false;
  bool file_registered_ = false;
  bool buffers_registered_ = false;
  io_uring_buf_ring* buffer_ring_ = nullptr;
  std::size_t buffer_ring_bytes_ = 0;
  msghdr rx_message_{};
  std::uint64_t wake_count_ = 0;
  std::size_t sends_in_flight_ = 0;
  std::size_t provided_ = 0;         // receive buffers the kernel may use
  std::size_t usual_run_bytes_ = 0;  // of those received lately
  int receive_error_ = 0;     // of the last receive that ended
  bool receive_armed_ = false;
  bool wake_armed_ = false;
};

UringIo::UringIo(UdpSocket udp, Descriptor wake, const IoConfig& config)
    : udp_(std::move(udp)),
      wake_(std::move(wake)),
      destinations_(config.peers_max, udp_.family),
      fallback_(udp_.descriptor.fd(), udp_.gso, destinations_, stats_),
      rx_pool_(std::bit_ceil(config.rx_buffers), rx_slot_bytes),
      tx_pool_(config.tx_buffers, run_bytes_max),
      transmits_(config.tx_buffers),
      arrived_(rx_pool_.count()) {
  rx_message_.msg_namelen = name_bytes;
  rx_message_.msg_controllen = control_bytes;
}

UringIo::~UringIo() {
  if (ring_open_) {
    cancel_all();
    // The port must be free when this returns, and a ring is torn down later than it is closed.
    if (file_registered_) io_uring_unregister_files(&ring_);
    if (buffers_registered_) io_uring_unregister_buf_ring(&ring_, buffer_group);
    io_uring_queue_exit(&ring_);
  }
  if (buffer_ring_ != nullptr) munmap(buffer_ring_, buffer_ring_bytes_);
}

Expected<void> UringIo::open() {
  if (Expected<void> opened = open_ring(); !opened) return opened;
  if (Expected<void> provided = provide_buffers(); !provided) return provided;
  const int fd = udp_.descriptor.fd();
  file_registered_ = io_uring_register_files(&ring_, &fd, 1) == 0;
  io_uring_register_ring_fd(&ring_);
  arm_receive();
  arm_wake();
  if (const int submitted = io_uring_submit(&ring_); submitted < 0) {
    return fail(ErrorCode::unavailable, "open io_uring", "submission refused", -submitted);
  }
  reap();
  if (!receive_armed_) {
    return fail(ErrorCode::unavailable, "open io_uring", "no multishot recvmsg", -receive_error_);
  }
  name_features();
  return {};
}

/// The newest way of running completions first; each is one kernel generation older.
Expected<void> UringIo::open_ring() {
  constexpr unsigned always = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL;
  constexpr std::array<unsigned, 3> ways{
      IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
      IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
      0U,
  };
  int refused = 0;
  for (const unsigned way : ways) {
    io_uring_params params{};
    params.flags = always | way;
    params.cq_entries = completion_entries;
    refused = io_uring_queue_init_params(submission_entries, &ring_, &params);
    if (refused != 0) continue;
    ring_open_ = true;
    deferred_ = (way & IORING_SETUP_DEFER_TASKRUN) != 0;
    return {};
  }
  return fail(ErrorCode::unavailable, "open io_uring", "refused", -refused);
}

Expected<void> UringIo::provide_buffers() {
  const std::size_t count = rx_pool_.count();
  buffer_ring_bytes_ = count * sizeof(io_uring_buf);
  void* const memory =
      mmap(nullptr, buffer_ring_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return fail(ErrorCode::unavailable, "open io_uring", "no memory", errno);
  buffer_ring_ = static_cast<io_uring_buf_ring*>(memory);
  io_uring_buf_ring_init(buffer_ring_);
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<std::uintptr_t>(buffer_ring_);
  registration.ring_entries = static_cast<std::uint32_t>(count);
  registration.bgid = buffer_group;
  if (const int refused = io_uring_register_buf_ring(&ring_, &registration, 0); refused != 0) {
    return fail(ErrorCode::unavailable, "open io_uring", "no provided buffer ring", -refused);
  }
  buffers_registered_ = true;
  provide();
  return {};
}

void UringIo::name_features() {
  caps_.gso = udp_.gso;
  caps_.gro = udp_.gro;
  caps_.name = "uring (multishot, buffer ring";
  if (deferred_) caps_.name += ", deferred";
  if (file_registered_) caps_.name += ", registered file";
  if (udp_.gso) caps_.name += ", GSO";
  if (udp_.gro) caps_.name += ", GRO";
  caps_.name += ")";
}

/// Makes room by submitting what is there; a submission never has to wait for completions.
io_uring_sqe* UringIo::next_sqe() noexcept {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  if (sqe == nullptr) {
    io_uring_submit(&ring_);
    sqe = io_uring_get_sqe(&ring_);
  }
  return sqe;
}

void UringIo::address_socket(io_uring_sqe* sqe) noexcept {
  if (!file_registered_) return;
  sqe->fd = 0;
  sqe->flags |= IOSQE_FIXED_FILE;
}

void UringIo::arm_receive() noexcept {
  io_uring_sqe* const sqe = next_sqe();
  if (sqe == nullptr) return;
  io_uring_prep_recvmsg_multishot(sqe, udp_.descriptor.fd(), &rx_message_, 0);
  address_socket(sqe);
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = buffer_group;
  sqe->user_data = rx_tag;
  receive_armed_ = true;
}

void UringIo::arm_wake() noexcept {
  io_uring_sqe* const sqe = next_sqe();
  if (sqe == nullptr) return;
  io_uring_prep_read(sqe, wake_.fd(), &wake_count_, sizeof wake_count_, 0);
  sqe->user_data = wake_tag;
  wake_armed_ = true;
}

/// Hands the kernel free receive buffers, those used last first: few while runs are long, all while they are short.
void UringIo::provide() noexcept {
  const std::size_t unread = arrived_tail_ - arrived_head_;
  const std::size_t most = std::max(unread_buffers, unread_bytes / std::max<std::size_t>(1, usual_run_bytes_));
  const std::size_t wanted = most > unread ? most - unread : 0;
  const int mask = io_uring_buf_ring_mask(static_cast<std::uint32_t>(rx_pool_.count()));
  int added = 0;
  for (; provided_ < wanted && rx_pool_.free_count() != 0; ++provided_) {
    const std::uint32_t slot = rx_pool_.take();
    io_uring_buf_ring_add(buffer_ring_, rx_pool_.slot(slot), static_cast<unsigned>(rx_slot_bytes),
                          static_cast<unsigned short>(slot), mask, added++);
  }
  io_uring_buf_ring_advance(buffer_ring_, added);
}

bool UringIo::kernel_has_work() const noexcept {
  return (__atomic_load_n(ring_.sq.kflags, __ATOMIC_RELAXED) &
          (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

/// Empties the completion ring: arrivals are put in line, buffers sent are free again.
void UringIo::reap() noexcept {
  unsigned head = 0;
  unsigned seen = 0;
  io_uring_cqe* completion = nullptr;
  io_uring_for_each_cqe(&ring_, head, completion) {
    ++seen;
    switch (completion->user_data & tag_mask) {
      case rx_tag: reap_receive(*completion); break;
      case tx_tag: reap_send(*completion); break;
      case wake_tag: wake_armed_ = false; break;
      default: break;
    }
  }
  if (seen != 0) io_uring_cq_advance(&ring_, seen);
  provide();
}

void UringIo::reap_receive(const io_uring_cqe& completion) noexcept {
  if ((completion.flags & IORING_CQE_F_MORE) == 0) receive_armed_ = false;
  if (completion.res < 0) {
    receive_error_ = completion.res;
    if (completion.res == -ENOBUFS && rx_pool_.free_count() == 0) ++stats_.rx_starved;
    return;
  }
  if ((completion.flags & IORING_CQE_F_BUFFER) == 0) return;
  const std::uint32_t slot = completion.flags >> IORING_CQE_BUFFER_SHIFT;
  --provided_;
  RxRun run;
  if (decode(slot, static_cast<std::uint32_t>(completion.res), run)) {
    arrived_[arrived_tail_++ % arrived_.size()] = run;
  } else {
    rx_pool_.give(slot);
  }
}

/// Reads what the kernel wrote into a receive buffer. False for a datagram that is not handed over.
bool UringIo::decode(std::uint32_t slot, std::uint32_t length, RxRun& run) noexcept {
  std::uint8_t* const memory = rx_pool_.slot(slot);
  io_uring_recvmsg_out header;
  std::memcpy(&header, memory, sizeof header);
  const auto bytes = length <= payload_offset ? 0U : static_cast<std::uint32_t>(length - payload_offset);
  if ((header.flags & MSG_TRUNC) != 0 || bytes == 0) {
    ++(bytes == 0 ? stats_.rx_empty : stats_.rx_truncated);
    return false;
  }
  SocketAddress from{};
  std::memcpy(&from, memory + sizeof header, std::min<std::size_t>(header.namelen, sizeof from));
  msghdr control{};
  control.msg_control = memory + sizeof header + name_bytes;
  control.msg_controllen = header.controllen;
  usual_run_bytes_ = (usual_run_bytes_ * 7 + bytes) / 8;
  run.data = memory + payload_offset;
  run.bytes = bytes;
  run.segment_bytes = received_segment_bytes(control, bytes);
  run.from = to_endpoint(from);
  run.token = slot;
  return true;
}

std::size_t UringIo::rx_burst(std::span<RxRun> out) noexcept {
  reap();
  if (arrived_head_ == arrived_tail_ && kernel_has_work()) {
    io_uring_get_events(&ring_);
    reap();
  }
  if (!receive_armed_ && arrived_head_ == arrived_tail_ && provided_ != 0) {
    arm_receive();
    io_uring_submit(&ring_);
    reap();
  }
  const std::size_t count = std::min(out.size(), arrived_tail_ - arrived_head_);
  for (RxRun& run : out.first(count)) {
    run = arrived_[arrived_head_++ % arrived_.size()];
    ++stats_.rx_runs;
    stats_.rx_datagrams += segment_count(run.bytes, run.segment_bytes);
    stats_.rx_bytes += run.bytes;
  }
  return count;
}

void UringIo::release(std::span<const RxRun> done) noexcept {
  for (const RxRun& run : done) rx_pool_.give(run.token);
  provide();
}

TxBuffer UringIo::tx_alloc() noexcept {
  std::uint32_t token = tx_pool_.take();
  if (token == no_buffer) {
    if (kernel_has_work()) io_uring_get_events(&ring_);
    reap();
    token = tx_pool_.take();
  }
  if (token == no_buffer) {
    ++stats_.tx_would_block;
    return {};
  }
  return {tx_pool_.slot(token), token};
}

/// Hands one message to the ring. Its buffer is the kernel's until reap_send().
void UringIo::start_send(TxRun& run, DestinationTable::Entry& to) noexcept {
  Transmit& transmit = transmits_[run.token];
  transmit.run = run;
  transmit.vector = {const_cast<std::uint8_t*>(run.data), run.bytes};
  transmit.message = msghdr{};
  transmit.message.msg_name = &to.address;
  transmit.message.msg_namelen = to.length;
  transmit.message.msg_iov = &transmit.vector;
  transmit.message.msg_iovlen = 1;
  if (run.bytes > run.segment_bytes) attach_segment_size(transmit.message, transmit.control, run.segment_bytes);
  io_uring_sqe* const sqe = next_sqe();
  if (sqe == nullptr) {  // the kernel takes no submissions: as good as a refused send
    stats_.tx_errors += segment_count(run.bytes, run.segment_bytes);
    tx_pool_.give(run.token);
    return;
  }
  io_uring_prep_sendmsg(sqe, udp_.descriptor.fd(), &transmit.message, 0);
  address_socket(sqe);
  sqe->user_data = tx_tag | run.token;
  ++sends_in_flight_;
}

std::size_t UringIo::tx_burst(std::span<TxRun> runs) noexcept {
  std::size_t accepted = 0;
  for (; accepted < runs.size(); ++accepted) {
    TxRun& run = runs[accepted];
    DestinationTable::Entry* const to = destinations_.find(run.peer);
    if (to != nullptr && (run.bytes <= run.segment_bytes || fallback_.is_gso(*to))) {
      start_send(run, *to);
      continue;
    }
    io_uring_submit(&ring_);  // keeps the order of runs to one peer
    const std::uint32_t token = run.token;
    if (fallback_.send(runs.subspan(accepted, 1)) == 0) break;
    tx_pool_.give(token);
  }
  io_uring_submit(&ring_);
  reap();
  return accepted;
}

void UringIo::reap_send(const io_uring_cqe& completion) noexcept {
  Transmit& transmit = transmits_[completion.user_data & ~tag_mask];
  TxRun run = transmit.run;
  --sends_in_flight_;
  if (completion.res >= 0) {
    ++stats_.tx_runs;
    stats_.tx_datagrams += segment_count(run.bytes, run.segment_bytes);
    stats_.tx_bytes += run.bytes;
  } else {
    DestinationTable::Entry* const to = destinations_.find(run.peer);
    if (run.bytes > run.segment_bytes && is_gso_refusal(-completion.res) && to != nullptr) {
      if (std::exchange(to->gso, false)) ++stats_.gso_refused;
      static_cast<void>(fallback_.send({&run, 1}));
    }
    stats_.tx_errors += segment_count(run.bytes, run.segment_bytes);
  }
  tx_pool_.give(run.token);
}

void UringIo::wait(Duration timeout, bool transmit) noexcept {
  static_cast<void>(transmit);  // the completion of a send ends the wait by itself
  reap();
  if (timeout.ns <= 0 || arrived_head_ != arrived_tail_) return;
  if (!wake_armed_) arm_wake();
  if (!receive_armed_ && provided_ != 0) arm_receive();
  __kernel_timespec limit{timeout.ns / 1'000'000'000, timeout.ns % 1'000'000'000};
  io_uring_cqe* completion = nullptr;
  io_uring_submit_and_wait_timeout(&ring_, &completion, 1, &limit, nullptr);
}

void UringIo::wake() noexcept {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_.fd(), &one, sizeof one);
}

/// Nothing may touch our memory after this: waits for the end of every request, and that comes at once.
void UringIo::cancel_all() noexcept {
  constexpr int rounds_max = 1000;
  io_uring_sync_cancel_reg everything{};
  everything.flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL;
  everything.timeout = {-1, -1};
  for (int i = 0; i < rounds_max && (receive_armed_ || wake_armed_ || sends_in_flight_ != 0); ++i) {
    io_uring_register_sync_cancel(&ring_, &everything);
    io_uring_get_events(&ring_);
    reap();
  }
}

}  // namespace

Expected<std::unique_ptr<PacketIo>> open_uring_io(const IoConfig& config) {
  Expected<UdpSocket> udp = open_udp_socket(config);
  if (!udp) return tl::make_unexpected(udp.error());
  Descriptor wake(eventfd(0, EFD_CLOEXEC));
  if (!wake.is_open()) return fail(ErrorCode::unavailable, "open io_uring", "no eventfd", errno);
  auto io = std::make_unique<UringIo>(std::move(*udp), std::move(wake), config);
  if (Expected<void> opened = io->open(); !opened) return tl::make_unexpected(opened.error());
  return io;
}

Expected<void> probe_uring() {
  io_uring ring{};
  if (const int refused = io_uring_queue_init(1, &ring, 0); refused < 0) {
    return fail(ErrorCode::unavailable, "open io_uring", "refused", -refused);
  }
  io_uring_queue_exit(&ring);
  return {};
}

}  // namespace corelay::dataplane
