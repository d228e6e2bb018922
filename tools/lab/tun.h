/// A TUN device in another network namespace, as a descriptor in this process. Whole IP packets, one a read or write.
#pragma once

#include <string>
#include <utility>

#include "codec/expected.h"

namespace corelay::lab {

/// Owns a descriptor.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) noexcept : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor();
  [[nodiscard]] int get() const noexcept { return fd_; }

 private:
  int fd_;
};

/// Makes the device `name` in the namespace behind `netns` (a path such as /run/netns/node1) and returns its
/// descriptor, which does not block. The device goes with the descriptor. Errors: unavailable, with the system's word,
/// where namespaces or TUN devices are not permitted. The caller's own namespace is the same afterwards.
[[nodiscard]] Expected<Descriptor> open_tun(const std::string& netns, const std::string& name);

}  // namespace corelay::lab
