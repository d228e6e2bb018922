#include "dataplane/io/udp_socket.h"

#include <arpa/inet.h>
#include <netinet/udp.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <new>

#include "codec/check.h"
#include "dataplane/dataplane.h"

namespace corelay::dataplane {
namespace {

constexpr std::array<std::uint8_t, 12> mapped_prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/// `text` as an address to bind. Length 0 when it is none.
socklen_t parse_bind_address(const std::string& text, std::uint16_t port, SocketAddress& out) {
  std::memset(&out, 0, sizeof out);
  if (inet_pton(AF_INET, text.c_str(), &out.v4.sin_addr) == 1) {
    out.v4.sin_family = AF_INET;
    out.v4.sin_port = htons(port);
    return sizeof out.v4;
  }
  if (inet_pton(AF_INET6, text.c_str(), &out.v6.sin6_addr) == 1) {
    out.v6.sin6_family = AF_INET6;
    out.v6.sin6_port = htons(port);
    return sizeof out.v6;
  }
  return 0;
}

bool set_option(int fd, int level, int name, int value) noexcept {
  return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

/// The FORCE forms go over the system-wide limit and need CAP_NET_ADMIN.
std::size_t size_buffer(int fd, int force_name, int plain_name, std::size_t bytes) noexcept {
  const int value = static_cast<int>(std::min<std::size_t>(bytes, 1u << 30));
  if (!set_option(fd, SOL_SOCKET, force_name, value)) set_option(fd, SOL_SOCKET, plain_name, value);
  int granted = 0;
  socklen_t length = sizeof granted;
  if (getsockopt(fd, SOL_SOCKET, plain_name, &granted, &length) != 0) return 0;
  return static_cast<std::size_t>(granted) / 2;  // the kernel reports twice what can be used
}

/// A killed process that used io_uring holds its port until the kernel has taken the ring apart, up to a second
/// or two on a busy machine. Returns 0 or the system's reason.
int bind_patiently(int fd, const SocketAddress& address, socklen_t length) noexcept {
  constexpr int pause_ms = 20;
  constexpr int tries_max = bind_wait_ms_max / pause_ms;
  constexpr timespec pause{0, pause_ms * 1'000'000};
  for (int tries = 1;; ++tries) {
    if (bind(fd, &address.any, length) == 0) return 0;
    if (errno != EADDRINUSE || tries == tries_max) return errno;
    nanosleep(&pause, nullptr);
  }
}

}  // namespace

Descriptor::~Descriptor() {
  if (fd_ >= 0) close(fd_);
}

socklen_t to_socket_address(const Endpoint& endpoint, int family, SocketAddress& out) noexcept {
  std::memset(&out, 0, sizeof out);
  if (endpoint.port == 0) return 0;
  const bool mapped = std::equal(mapped_prefix.begin(), mapped_prefix.end(), endpoint.address.begin());
  if (family == AF_INET6) {
    out.v6.sin6_family = AF_INET6;
    out.v6.sin6_port = htons(endpoint.port);
    std::memcpy(&out.v6.sin6_addr, endpoint.address.data(), endpoint.address.size());
    return sizeof out.v6;
  }
  if (!mapped) return 0;
  out.v4.sin_family = AF_INET;
  out.v4.sin_port = htons(endpoint.port);
  std::memcpy(&out.v4.sin_addr, endpoint.address.data() + mapped_prefix.size(), 4);
  return sizeof out.v4;
}

Endpoint to_endpoint(const SocketAddress& address) noexcept {
  Endpoint endpoint;
  if (address.any.sa_family == AF_INET6) {
    std::memcpy(endpoint.address.data(), &address.v6.sin6_addr, endpoint.address.size());
    endpoint.port = ntohs(address.v6.sin6_port);
  } else {
    std::copy(mapped_prefix.begin(), mapped_prefix.end(), endpoint.address.begin());
    std::memcpy(endpoint.address.data() + mapped_prefix.size(), &address.v4.sin_addr, 4);
    endpoint.port = ntohs(address.v4.sin_port);
  }
  return endpoint;
}

Expected<UdpSocket> open_udp_socket(const IoConfig& config) {
  const std::string where = "bind " + config.bind_address + " UDP port " + std::to_string(config.port);
  SocketAddress address;
  socklen_t length = parse_bind_address(config.bind_address, config.port, address);
  if (length == 0) {
    return fail(ErrorCode::invalid_argument, where, "not an IPv4 or IPv6 address: give it in digits");
  }
  UdpSocket udp;
  udp.family = address.any.sa_family;
  udp.descriptor = Descriptor(socket(udp.family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const int fd = udp.descriptor.fd();
  if (fd < 0) return fail(ErrorCode::unavailable, where, "no socket", errno);
  if (udp.family == AF_INET6) set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
  udp.receive_buffer_bytes = size_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, config.socket_buffer_bytes);
  size_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, config.socket_buffer_bytes / 4);
  if (const int reason = bind_patiently(fd, address, length); reason != 0) {
    return fail(reason == EACCES ? ErrorCode::permission_denied : ErrorCode::unavailable, where, "refused", reason);
  }
  length = sizeof address;
  if (getsockname(fd, &address.any, &length) != 0) return fail(ErrorCode::internal, where, "getsockname", errno);
  udp.port = to_endpoint(address).port;
  // A kernel that knows UDP_SEGMENT accepts 0 as "none for this socket"; each send then says its own size.
  udp.gso = config.use_gso && set_option(fd, SOL_UDP, UDP_SEGMENT, 0);
  udp.gro = config.use_gro && set_option(fd, SOL_UDP, UDP_GRO, 1);
  return udp;
}

void DestinationTable::set(PeerIndex peer, const Endpoint& to) noexcept {
  if (peer >= entries_.size()) return;
  Entry& entry = entries_[peer];
  entry.length = to_socket_address(to, family_, entry.address);
  entry.gso = true;
}

void DestinationTable::clear(PeerIndex peer) noexcept {
  if (peer < entries_.size()) entries_[peer] = Entry{};
}

std::uint32_t received_segment_bytes(const msghdr& message, std::uint32_t bytes) noexcept {
  if (message.msg_controllen < sizeof(cmsghdr)) return bytes;
  for (const cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr;
       c = CMSG_NXTHDR(const_cast<msghdr*>(&message), const_cast<cmsghdr*>(c))) {
    if (c->cmsg_level != SOL_UDP || c->cmsg_type != UDP_GRO) continue;
    int segment = 0;
    std::memcpy(&segment, CMSG_DATA(c), sizeof segment);
    if (segment > 0) return std::min(static_cast<std::uint32_t>(segment), bytes);
  }
  return bytes;
}

BufferPool::BufferPool(std::size_t count, std::size_t slot_bytes)
    : count_(count), slot_bytes_(slot_bytes), stride_((slot_bytes + 63) / 64 * 64 | 64) {
  void* const memory = mmap(nullptr, count_ * stride_, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  // Large pages save TLB misses; without them everything still works.
  madvise(memory, count_ * stride_, MADV_HUGEPAGE);
  memory_ = static_cast<std::uint8_t*>(memory);
  free_.reserve(count_);
  for (std::size_t i = count_; i-- > 0;) free_.push_back(static_cast<std::uint32_t>(i));
}

BufferPool::~BufferPool() { munmap(memory_, count_ * stride_); }

void BufferPool::give(std::uint32_t index) noexcept {
  CHECK(index < count_ && free_.size() < count_);
  free_.push_back(index);
}

}  // namespace corelay::dataplane
