/// A bound UDP socket with the offloads this kernel has (each call on it says MSG_DONTWAIT; io_uring arms its own
/// polls), and what both socket backends share about addresses: conversion between Endpoint and sockaddr, and the
/// table of destinations.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "codec/expected.h"
#include "dataplane/command.h"
#include "dataplane/io/packet_io.h"

namespace corelay::dataplane {

/// A file descriptor, closed at the end.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) noexcept : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor();
  [[nodiscard]] int fd() const noexcept { return fd_; }
  [[nodiscard]] bool is_open() const noexcept { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

/// Room for either address family.
union SocketAddress {
  sockaddr any;
  sockaddr_in v4;
  sockaddr_in6 v6;
};

/// The address of `endpoint` for a socket of `family`. Returns its length, 0 when that family cannot reach it.
socklen_t to_socket_address(const Endpoint& endpoint, int family, SocketAddress& out) noexcept;
/// IPv4 comes back as IPv4-mapped.
[[nodiscard]] Endpoint to_endpoint(const SocketAddress& address) noexcept;

struct UdpSocket {
  Descriptor descriptor;
  int family = AF_INET;
  std::uint16_t port = 0;
  bool gso = false;  // UDP_SEGMENT is known to the kernel
  bool gro = false;  // UDP_GRO is switched on
  std::size_t receive_buffer_bytes = 0;  // granted
};

/// Binds as `config` says and probes the offloads it allows. Errors: invalid_argument for the address, unavailable or
/// permission_denied with the system's reason.
[[nodiscard]] Expected<UdpSocket> open_udp_socket(const IoConfig& config);

/// Where each peer receives, and whether GSO works on the way there.
class DestinationTable {
 public:
  DestinationTable(std::size_t peers_max, int family) : family_(family), entries_(peers_max) {}

  struct Entry {
    SocketAddress address{};
    socklen_t length = 0;  // 0: no destination
    bool gso = true;       // false after the system refused a GSO send on this path
  };

  void set(PeerIndex peer, const Endpoint& to) noexcept;
  void clear(PeerIndex peer) noexcept;
  /// nullptr when the peer has no destination.
  [[nodiscard]] Entry* find(PeerIndex peer) noexcept {
    return peer < entries_.size() && entries_[peer].length != 0 ? &entries_[peer] : nullptr;
  }

 private:
  int family_;
  std::vector<Entry> entries_;
};

/// The segment size of a received message: what UDP_GRO says, or the whole of it.
[[nodiscard]] std::uint32_t received_segment_bytes(const msghdr& message, std::uint32_t bytes) noexcept;

/// Page-aligned slots of one size for runs, and a stack of the free ones: the last one freed is taken first, while its
/// bytes are still in the cache. The stride is not a power of two, so that the heads of slots do not share cache sets.
class BufferPool {
 public:
  BufferPool(std::size_t count, std::size_t slot_bytes);
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  [[nodiscard]] std::size_t count() const noexcept { return count_; }
  [[nodiscard]] std::size_t slot_bytes() const noexcept { return slot_bytes_; }
  [[nodiscard]] std::size_t free_count() const noexcept { return free_.size(); }
  [[nodiscard]] std::uint8_t* slot(std::uint32_t index) const noexcept { return memory_ + index * stride_; }
  [[nodiscard]] std::uint32_t take() noexcept {
    if (free_.empty()) return no_buffer;
    const std::uint32_t index = free_.back();
    free_.pop_back();
    return index;
  }
  void give(std::uint32_t index) noexcept;

 private:
  std::size_t count_;
  std::size_t slot_bytes_;
  std::size_t stride_;
  std::uint8_t* memory_ = nullptr;
  std::vector<std::uint32_t> free_;
};

}  // namespace corelay::dataplane
