/// Memory with an unreadable page on either side, for kernels that must not touch a byte outside
/// what they were given.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "codec/check.h"

namespace corelay::codec {

/// `bytes` of memory between two pages that fault. Placed so that its end touches the second page,
/// or, with `at_start`, so that its beginning touches the first one. The unused part of the outer
/// page is readable, so a test that wants both sides tight runs both ways.
class Guarded {
 public:
  Guarded(std::size_t bytes, bool at_start) : bytes_(bytes) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t inner = (bytes + page - 1) / page * page;
    mapped_bytes_ = inner + 2 * page;
    mapping_ = mmap(nullptr, mapped_bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(mapping_ != MAP_FAILED);
    auto* const first = static_cast<std::uint8_t*>(mapping_) + page;
    CHECK(inner == 0 || mprotect(first, inner, PROT_READ | PROT_WRITE) == 0);
    data_ = at_start ? first : first + inner - bytes;
  }
  ~Guarded() { munmap(mapping_, mapped_bytes_); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  [[nodiscard]] std::uint8_t* data() const { return data_; }
  [[nodiscard]] std::span<std::uint8_t> span() const { return {data_, bytes_}; }

 private:
  std::size_t bytes_;
  std::size_t mapped_bytes_;
  void* mapping_;
  std::uint8_t* data_;
};

}  // namespace corelay::codec
