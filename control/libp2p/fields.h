/// Protobuf fields, read and written one at a time. libp2p signs and hashes its messages, so they
/// must come out in field order with shortest varints on every build; four small messages do not
/// need generated code for that. Unknown fields are the reader's to skip. Groups (wire types 3 and
/// 4) are refused.
#pragma once

#include <cstdint>
#include <vector>

#include "codec/bytes.h"
#include "control/libp2p/varint.h"

namespace corelay::libp2p {

/// One field: a varint in `value` or a length-delimited run in `bytes` (into the message given to
/// the reader). Fixed 32 and 64 bit fields are skipped by the reader.
struct Field {
  std::uint32_t number = 0;
  bool is_bytes = false;
  std::uint64_t value = 0;
  Bytes bytes;
};

class FieldReader {
 public:
  explicit FieldReader(Bytes message) noexcept : rest_(message) {}

  /// The next field, in wire order. False at the end or at the first malformed field;
  /// is_malformed() tells which.
  [[nodiscard]] bool next(Field& field) noexcept;
  [[nodiscard]] bool is_malformed() const noexcept { return is_malformed_; }

 private:
  bool fail_here() noexcept;
  bool take(std::size_t count, Bytes& out) noexcept;

  Bytes rest_;
  bool is_malformed_ = false;
};

/// Appends a varint field, also when the value is 0.
void append_field(std::vector<std::uint8_t>& to, std::uint32_t number, std::uint64_t value);
/// Appends a length-delimited field, also when it is empty.
void append_field(std::vector<std::uint8_t>& to, std::uint32_t number, Bytes bytes);

}  // namespace corelay::libp2p
