/// Noise records on the wire: a big-endian u16 length, then that many bytes; ciphertext with its
/// tag once the handshake is done.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "codec/bytes.h"
#include "codec/expected.h"
#include "control/libp2p/noise.h"

namespace corelay::libp2p {

inline constexpr std::size_t record_header_bytes = 2;
inline constexpr std::size_t record_overhead_bytes = record_header_bytes + noise_tag_bytes;

/// Cuts a byte stream into records. Holds at most one unfinished record and what was added with it.
class RecordReader {
 public:
  void add(Bytes bytes);
  /// The next whole record without its header; writable, valid until the next call.
  [[nodiscard]] std::optional<MutableBytes> next();
  /// What was added and not taken; empties the reader.
  [[nodiscard]] std::vector<std::uint8_t> take_rest();

 private:
  std::vector<std::uint8_t> held_;
  std::size_t at_ = 0;
};

/// Appends a record that holds `message` as it is (the handshake's).
void append_record(std::vector<std::uint8_t>& to, Bytes message);

/// One direction of the secure channel. The counter ends at 2^32 - 1, where js-libp2p's does: the
/// connection must then be made anew.
class RecordCipher {
 public:
  explicit RecordCipher(const Key32& key) : cipher_(key) {}

  /// Seals the plain bytes at `at`.. of `out`, where record_header_bytes were left free before
  /// them: fills the header in and appends the tag. At most noise_plain_bytes_max bytes. Errors:
  /// closed (counter used up), internal.
  [[nodiscard]] Expected<void> seal(std::vector<std::uint8_t>& out, std::size_t at);
  /// Opens a record in place and returns its plain bytes. Errors: malformed, unauthenticated,
  /// closed.
  [[nodiscard]] Expected<Bytes> open(MutableBytes record);

 private:
  NoiseCipher cipher_;
  std::uint64_t nonce_ = 0;
};

}  // namespace corelay::libp2p
