/// The golden inputs of the data wire: fixed keys, messages and frames with the meaning of each field. The vectors in
/// proto/vectors are made of them, the tests of frames, headers and sessions use them as samples.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "codec/bytes.h"
#include "dataplane/ingest.h"
#include "dataplane/message.h"
#include "dataplane/session_keys.h"

namespace corelay::dataplane::golden {

using Buffer = std::vector<std::uint8_t>;

/// The next `bytes` bytes of a frame and what they say.
struct Field {
  std::string name;
  std::size_t bytes = 0;
  std::string meaning;
};

struct Frame {
  std::string name;
  std::string about;
  Buffer bytes;
  std::vector<Field> fields;  // in order, covering `bytes`
};

/// Bytes that follow no format: `name` says where they belong, `why` what is wrong with them.
struct Malformed {
  std::string name;
  std::string why;
  Buffer bytes;
};

[[nodiscard]] Buffer from_hex(std::string_view hex);

/// Byte i is (31 i + i div 256) mod 256.
[[nodiscard]] Buffer payload_of(std::size_t bytes);

/// The Ed25519 key pair of the seed 00 01 02 ... 1f, as libsodium expands it.
[[nodiscard]] PublisherKey publisher_key();
[[nodiscard]] Buffer publisher_seed();
[[nodiscard]] Signer signer();

/// 100 bytes on topic "votes": one single frame.
[[nodiscard]] const PreparedMessage& small_message();

/// 5,000 bytes on topic "blocks/v1": 3 generations of 4 shards of 448 bytes, the last one partly padding.
[[nodiscard]] const PreparedMessage& large_message();

/// Generation `generation` of large_message(), padding included.
[[nodiscard]] Buffer large_generation(std::size_t generation);

/// Product in GF(2^8)/0x11d by shift and add, and the sum of products over `shards`: the tests' own, no table, no
/// codec.
[[nodiscard]] std::uint8_t field_product(std::uint8_t a, std::uint8_t b);
[[nodiscard]] Buffer coded_payload(Bytes coefficients, Bytes shards);

/// Coefficients of a seed, the tests' own expansion.
[[nodiscard]] Buffer coefficients_of(std::uint64_t seed, std::size_t k);

/// Every frame kind, form and variant worth a vector.
[[nodiscard]] const std::vector<Frame>& frames();
[[nodiscard]] const Frame& frame(std::string_view name);

/// Frames that parsers must refuse, one wrong thing each.
[[nodiscard]] const std::vector<Malformed>& malformed_frames();

/// Encoded headers that parse_header() must refuse.
[[nodiscard]] const std::vector<Malformed>& malformed_headers();

/// Keys of a session between A and B, as A holds them; swapped() as B does.
[[nodiscard]] SessionKeys session_keys();
[[nodiscard]] SessionKeys swapped(const SessionKeys& keys);

}  // namespace corelay::dataplane::golden
