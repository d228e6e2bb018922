/// Unsigned varints as multiformats and protobuf write them: LEB128, seven bits a byte, least
/// significant first. Multiformats asks for the shortest form and at most nine bytes (63 bits);
/// protobuf takes ten bytes and any form.
/// Source: https://github.com/multiformats/unsigned-varint.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "codec/bytes.h"

namespace corelay::libp2p {

/// What reading a varint from the front of a buffer came to.
enum class VarintStatus : std::uint8_t { done, incomplete, malformed };

struct Varint {
  VarintStatus status = VarintStatus::incomplete;
  std::uint64_t value = 0;
  std::size_t bytes = 0;  // read; 0 unless done
};

/// Reads a multiformats varint: malformed when over nine bytes or not in its shortest form.
[[nodiscard]] inline Varint read_varint(Bytes from) noexcept {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < from.size(); ++i) {
    if (i == 9) return {VarintStatus::malformed, 0, 0};
    value |= static_cast<std::uint64_t>(from[i] & 0x7f) << (7 * i);
    if ((from[i] & 0x80) == 0) {
      if (i > 0 && from[i] == 0) return {VarintStatus::malformed, 0, 0};
      return {VarintStatus::done, value, i + 1};
    }
  }
  return {from.size() >= 9 ? VarintStatus::malformed : VarintStatus::incomplete, 0, 0};
}

/// Reads a protobuf varint: ten bytes at most, longer forms than needed allowed, bits above 64
/// refused.
[[nodiscard]] inline Varint read_protobuf_varint(Bytes from) noexcept {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < from.size() && i < 10; ++i) {
    if (i == 9 && from[i] > 1) return {VarintStatus::malformed, 0, 0};
    value |= static_cast<std::uint64_t>(from[i] & 0x7f) << (7 * i);
    if ((from[i] & 0x80) == 0) return {VarintStatus::done, value, i + 1};
  }
  return {from.size() >= 10 ? VarintStatus::malformed : VarintStatus::incomplete, 0, 0};
}

/// Appends `value` in its shortest form.
inline void append_varint(std::vector<std::uint8_t>& to, std::uint64_t value) {
  while (value >= 0x80) {
    to.push_back(static_cast<std::uint8_t>(value | 0x80));
    value >>= 7;
  }
  to.push_back(static_cast<std::uint8_t>(value));
}

/// Appends raw bytes.
inline void append_bytes(std::vector<std::uint8_t>& to, Bytes bytes) {
  if (bytes.empty()) return;
  const std::size_t at = to.size();
  to.resize(at + bytes.size());
  std::memcpy(to.data() + at, bytes.data(), bytes.size());
}

}  // namespace corelay::libp2p
