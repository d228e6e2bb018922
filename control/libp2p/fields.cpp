#include "control/libp2p/fields.h"

namespace corelay::libp2p {

bool FieldReader::fail_here() noexcept {
  is_malformed_ = true;
  rest_ = {};
  return false;
}

bool FieldReader::take(std::size_t count, Bytes& out) noexcept {
  if (count > rest_.size()) return fail_here();
  out = rest_.first(count);
  rest_ = rest_.subspan(count);
  return true;
}

bool FieldReader::next(Field& field) noexcept {
  while (!rest_.empty()) {
    const Varint key = read_protobuf_varint(rest_);
    if (key.status != VarintStatus::done || key.value >> 32 != 0 || key.value >> 3 == 0) {
      return fail_here();
    }
    rest_ = rest_.subspan(key.bytes);
    field = Field{static_cast<std::uint32_t>(key.value >> 3), false, 0, {}};
    Bytes skipped;
    switch (key.value & 7) {
      case 0:
      case 2: {
        const Varint value = read_protobuf_varint(rest_);
        if (value.status != VarintStatus::done) return fail_here();
        rest_ = rest_.subspan(value.bytes);
        field.value = value.value;
        field.is_bytes = (key.value & 7) == 2;
        return !field.is_bytes || take(value.value, field.bytes);
      }
      case 1:
        if (!take(8, skipped)) return false;
        break;
      case 5:
        if (!take(4, skipped)) return false;
        break;
      default:
        return fail_here();
    }
  }
  return false;
}

void append_field(std::vector<std::uint8_t>& to, std::uint32_t number, std::uint64_t value) {
  append_varint(to, static_cast<std::uint64_t>(number) << 3);
  append_varint(to, value);
}

void append_field(std::vector<std::uint8_t>& to, std::uint32_t number, Bytes bytes) {
  append_varint(to, static_cast<std::uint64_t>(number) << 3 | 2);
  append_varint(to, bytes.size());
  append_bytes(to, bytes);
}

}  // namespace corelay::libp2p
