#include "control/daemon/proto_fields.h"

namespace corelay::daemon {

bool ProtoFields::take_number(std::uint64_t& value) noexcept {
  value = 0;
  for (unsigned shift = 0; shift < 64 && !left_.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(left_.front());
    left_.remove_prefix(1);
    value |= static_cast<std::uint64_t>(byte & 127) << shift;
    if (byte < 128) return true;
  }
  is_malformed_ = true;
  return false;
}

std::optional<ProtoField> ProtoFields::next() noexcept {
  ProtoField field;
  std::uint64_t tag = 0;
  if (left_.empty() || is_malformed_ || !take_number(tag)) return std::nullopt;
  field.number = tag >> 3;
  field.is_bytes = (tag & 7) == 2;
  if (!field.is_bytes && (tag & 7) != 0) {
    is_malformed_ = true;
    return std::nullopt;
  }
  if (!take_number(field.value)) return std::nullopt;
  if (!field.is_bytes) return field;
  if (field.value > left_.size()) {
    is_malformed_ = true;
    return std::nullopt;
  }
  field.bytes = left_.substr(0, field.value);
  left_.remove_prefix(field.value);
  return field;
}

void append_field_head(unsigned number, std::size_t size, std::string& out) {
  out.push_back(static_cast<char>(number << 3 | 2));
  for (; size >= 128; size >>= 7) out.push_back(static_cast<char>(size | 128));
  out.push_back(static_cast<char>(size));
}

}  // namespace corelay::daemon
