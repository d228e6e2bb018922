/// Memory laid out as the product lays it out: rows of bytes, 64-byte aligned, an odd multiple of
/// 64 bytes apart.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "codec/check.h"
#include "codec/rng.h"

namespace corelay::bench {

class Rows {
 public:
  Rows(std::size_t count, std::size_t bytes)
      : bytes_(bytes),
        stride_(odd_lines(bytes) * 64),
        memory_(allocate(count * stride_)),
        list_(count) {
    for (std::size_t i = 0; i < count; ++i) list_[i] = memory_.get() + i * stride_;
  }
  Rows(std::size_t count, std::size_t bytes, Rng& rng) : Rows(count, bytes) {
    for (std::uint8_t* const row : list_) {
      for (std::size_t i = 0; i < bytes_; ++i) row[i] = static_cast<std::uint8_t>(rng.next());
    }
  }

  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  [[nodiscard]] std::uint8_t* operator[](std::size_t i) const { return list_[i]; }
  [[nodiscard]] std::uint8_t* const* list() const { return list_.data(); }
  [[nodiscard]] const std::vector<std::uint8_t*>& pointers() const { return list_; }
  [[nodiscard]] std::vector<const std::uint8_t*> const_pointers() const {
    return {list_.begin(), list_.end()};
  }

 private:
  struct Free {
    void operator()(std::uint8_t* memory) const { std::free(memory); }
  };

  // At least one line more than the row needs, so that rows of a power of two do not share cache
  // sets.
  static std::size_t odd_lines(std::size_t bytes) { return ((bytes + 63) / 64 + 1) | 1; }

  static std::uint8_t* allocate(std::size_t bytes) {
    void* const memory = std::aligned_alloc(64, bytes);
    CHECK(memory != nullptr);
    return static_cast<std::uint8_t*>(memory);
  }

  std::size_t bytes_;
  std::size_t stride_;
  std::unique_ptr<std::uint8_t[], Free> memory_;
  std::vector<std::uint8_t*> list_;
};

}  // namespace corelay::bench
