/// The frames of proto/wire.md as structs: parse_*() checks everything the bytes alone can tell and never reads past
/// them; write_*() gives the same bytes back. Views point into the frame they were parsed from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "codec/bytes.h"
#include "dataplane/message.h"

namespace corelay::dataplane {

enum class FrameKind : std::uint8_t { announce = 1, coded = 2, feedback = 3, single = 4, probe = 5 };
enum class CodedForm : std::uint8_t { vector = 0, seed = 1, systematic = 2 };
/// Of a coded frame on its way through two hops to all members of a topic.
enum class Hop : std::uint8_t { none = 0, first = 1, second = 2 };
enum class StatusState : std::uint8_t { wanting = 0, full = 1, unknown = 2, refused = 3 };

inline constexpr std::size_t frame_prefix_bytes = 24;   // of announce, coded and single
inline constexpr std::size_t row_head_bytes = 8;        // of a coded frame behind it: seed or shard index
inline constexpr std::size_t k_wire_max = 128;
inline constexpr std::size_t vector_wire_bytes_max = k_wire_max / 2;  // half a byte for each coefficient
inline constexpr std::uint8_t deficit_held_back = 255;  // lacks it, and takes it from another
inline constexpr std::size_t shard_wire_bytes_max = 1472;
inline constexpr std::size_t generations_wire_max = 1024;
inline constexpr std::size_t ack_words_max = 16;
inline constexpr std::size_t status_bytes = 24;         // without the per-generation list
inline constexpr std::size_t header_bytes_min = 124 + 1 + 64;
inline constexpr std::size_t header_bytes_max = 124 + 255 + 64;
inline constexpr std::size_t short_header_bytes_min = 50 + 1 + 64;  // of a single frame
inline constexpr std::size_t short_header_bytes_max = 50 + 255 + 64;
inline constexpr std::uint8_t hops_wire_max = 15;

/// The kind of a frame, or nothing for an empty frame or an unknown kind.
[[nodiscard]] std::optional<FrameKind> frame_kind(Bytes frame) noexcept;

struct AnnounceFrame {
  std::uint32_t sequence = 0;
  std::uint16_t first_digest = 0;
  std::uint16_t digest_count = 0;
  Bytes header;   // encoded signed header
  Bytes digests;  // 16 bytes each
  bool is_spread = false;  // the message goes to all members in two hops
};
[[nodiscard]] std::optional<AnnounceFrame> parse_announce(Bytes frame) noexcept;
/// Writes at `out` (24 + header + digests bytes) and returns the frame's length.
std::size_t write_announce(const AnnounceFrame& announce, std::uint8_t* out) noexcept;

struct CodedFrame {
  CodedForm form = CodedForm::vector;
  std::uint16_t generation = 0;
  std::uint32_t sequence = 0;
  MessageTag tag{};
  std::uint64_t seed = 0;  // seed or shard index; unused for vector
  Bytes row;               // everything after the 24-byte prefix: packed vector || payload, or 8 bytes || payload
  Hop hop = Hop::none;
};
/// Needs no geometry: splitting `row` is the receiver's, who knows k (row_size below).
[[nodiscard]] std::optional<CodedFrame> parse_coded(Bytes frame) noexcept;
/// Writes the 24-byte prefix, and for seed and systematic forms the 8 bytes after it. Returns the bytes written; the
/// caller puts vector and payload, or payload, behind them.
std::size_t write_coded_prefix(const CodedFrame& coded, std::uint8_t* out) noexcept;

struct StatusFrame {
  MessageTag tag{};
  StatusState state = StatusState::wanting;
  std::uint16_t want = 0;
  std::uint16_t first_generation = 0;
  Bytes deficits;  // k - rank of each listed generation
};
struct FeedbackFrame {
  std::uint32_t highest_sequence = 0;
  std::uint32_t delay_us = 0;
  std::uint32_t number = 0;
  std::uint32_t arrival_us = 0;  // the receiver's clock when the highest arrived
  std::uint8_t word_count = 0;
  std::uint8_t status_count = 0;
  Bytes words;     // 8 * word_count
  Bytes statuses;  // checked: next_status() walks it without failing
  std::uint8_t place = 0;  // of who gets this among the neighbours of who sends it, 1 to 255; 0: not told
};
[[nodiscard]] std::optional<FeedbackFrame> parse_feedback(Bytes frame) noexcept;
/// Takes the first status off `statuses` (from a parsed FeedbackFrame); nothing when it is empty.
[[nodiscard]] std::optional<StatusFrame> next_status(Bytes& statuses) noexcept;

/// Builds a feedback frame in a buffer of `capacity` bytes. begin() first, then statuses while they fit, then size().
class FeedbackWriter {
 public:
  FeedbackWriter(std::uint8_t* out, std::size_t capacity) noexcept : out_(out), capacity_(capacity) {}
  void begin(std::uint32_t highest_sequence, std::uint32_t delay_us, std::uint32_t number, std::uint32_t arrival_us,
             std::span<const std::uint64_t> words) noexcept;
  void set_place(std::uint8_t place) noexcept { out_[1] = place; }
  /// False, writing nothing, when it does not fit.
  bool add(const StatusFrame& status) noexcept;
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t status_count() const noexcept { return count_; }

 private:
  std::uint8_t* out_;
  std::size_t capacity_;
  std::size_t size_ = 0;
  std::size_t count_ = 0;
};

struct SingleFrame {
  std::uint32_t sequence = 0;
  std::uint8_t hops = 0;  // relays between the publisher and who sends this
  MessageTag tag{};
  Bytes header;  // short form: what the payload does not say (dataplane/core/header.h)
  Bytes payload;
};
[[nodiscard]] std::optional<SingleFrame> parse_single(Bytes frame) noexcept;
std::size_t write_single(const SingleFrame& single, std::uint8_t* out) noexcept;

struct ProbeFrame {
  bool ask = true;
  std::uint32_t highest_sequence = 0;
};
[[nodiscard]] std::optional<ProbeFrame> parse_probe(Bytes frame) noexcept;
/// Writes a probe of `frame_bytes` (>= 8) in all.
void write_probe(const ProbeFrame& probe, std::size_t frame_bytes, std::uint8_t* out) noexcept;

/// Overwrites the link sequence of an announce, coded or single frame already written.
void set_sequence(std::uint8_t* frame, std::uint32_t sequence) noexcept;

}  // namespace corelay::dataplane
