/// The fields of a protocol buffers message, read in place, and the heads of those that have a length. For messages
/// that carry many others: nothing is built for them, and nothing is copied.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace corelay::daemon {

struct ProtoField {
  std::uint64_t number = 0;
  bool is_bytes = false;    // otherwise `value` is it
  std::string_view bytes;   // into what is read
  std::uint64_t value = 0;
};

class ProtoFields {
 public:
  explicit ProtoFields(std::string_view message) noexcept : left_(message) {}

  /// The next field: numbers, and what has a length. Nothing at the end, and where the bytes are no such message.
  [[nodiscard]] std::optional<ProtoField> next() noexcept;
  [[nodiscard]] bool is_malformed() const noexcept { return is_malformed_; }

 private:
  [[nodiscard]] bool take_number(std::uint64_t& value) noexcept;

  std::string_view left_;
  bool is_malformed_ = false;
};

/// Appends the tag and length of a field of `size` bytes, which follow. `number` is below 16.
void append_field_head(unsigned number, std::size_t size, std::string& out);
/// At most so many bytes are appended by that.
inline constexpr std::size_t field_head_bytes_max = 11;

}  // namespace corelay::daemon
