// Reading and writing frames, offset by offset as in proto/wire.md, "Frames". Offsets stand in the code as they stand
// in the tables there.
#include "dataplane/core/frame.h"

#include <algorithm>
#include <cstring>

#include "codec/check.h"

namespace corelay::dataplane {
namespace {

constexpr std::size_t digest_bytes = 16;
constexpr std::size_t feedback_fixed_bytes = 20;
constexpr std::size_t word_bytes = 8;
constexpr std::size_t probe_fixed_bytes = 8;

bool all_zero(Bytes bytes) noexcept {
  return std::all_of(bytes.begin(), bytes.end(), [](std::uint8_t byte) { return byte == 0; });
}

MessageTag load_tag(const std::uint8_t* from) noexcept {
  MessageTag tag;
  std::memcpy(tag.data(), from, tag.size());
  return tag;
}

void copy(std::uint8_t* to, Bytes bytes) noexcept {
  if (!bytes.empty()) std::memcpy(to, bytes.data(), bytes.size());
}

bool is_kind(Bytes frame, FrameKind kind, std::size_t bytes_min) noexcept {
  return frame.size() >= bytes_min && frame[0] == static_cast<std::uint8_t>(kind);
}

bool header_bytes_fit(std::size_t bytes) noexcept { return bytes >= header_bytes_min && bytes <= header_bytes_max; }

bool short_header_bytes_fit(std::size_t bytes) noexcept {
  return bytes >= short_header_bytes_min && bytes <= short_header_bytes_max;
}

/// Bytes of the status that `bytes` starts with, 0 when it is malformed.
std::size_t checked_status_bytes(Bytes bytes) noexcept {
  if (bytes.size() < status_bytes) return 0;
  if (bytes[16] > static_cast<std::uint8_t>(StatusState::refused) || bytes[17] != 0) return 0;
  const std::size_t first = load_le<std::uint16_t>(&bytes[20]);
  const std::size_t count = load_le<std::uint16_t>(&bytes[22]);
  if (first + count > generations_wire_max || bytes.size() < status_bytes + count) return 0;
  const Bytes deficits = bytes.subspan(status_bytes, count);
  const auto is_invalid = [](std::uint8_t d) { return d > k_wire_max && d != deficit_held_back; };
  if (std::any_of(deficits.begin(), deficits.end(), is_invalid)) return 0;
  return status_bytes + count;
}

bool read_coded(Bytes frame, CodedFrame& coded) noexcept {
  if (!is_kind(frame, FrameKind::coded, frame_prefix_bytes)) return false;
  const std::uint8_t form = frame[1] & 0x0f;
  const std::uint8_t hop = frame[1] >> 4;
  if (form > static_cast<std::uint8_t>(CodedForm::systematic)) return false;
  if (hop > static_cast<std::uint8_t>(Hop::second)) return false;
  coded.form = static_cast<CodedForm>(form);
  coded.hop = static_cast<Hop>(hop);
  coded.generation = load_le<std::uint16_t>(&frame[2]);
  coded.sequence = load_le<std::uint32_t>(&frame[4]);
  coded.tag = load_tag(&frame[8]);
  coded.row = frame.subspan(frame_prefix_bytes);
  if (coded.generation >= generations_wire_max) return false;
  if (coded.form == CodedForm::vector) {
    return coded.row.size() >= 2 && coded.row.size() <= vector_wire_bytes_max + shard_wire_bytes_max;
  }
  if (coded.row.size() <= row_head_bytes || coded.row.size() > row_head_bytes + shard_wire_bytes_max) return false;
  coded.seed = load_le<std::uint64_t>(coded.row.data());
  return coded.form != CodedForm::systematic || coded.seed < k_wire_max;
}

}  // namespace

std::optional<FrameKind> frame_kind(Bytes frame) noexcept {
  if (frame.empty() || frame[0] < static_cast<std::uint8_t>(FrameKind::announce) ||
      frame[0] > static_cast<std::uint8_t>(FrameKind::probe)) {
    return std::nullopt;
  }
  return static_cast<FrameKind>(frame[0]);
}

std::optional<AnnounceFrame> parse_announce(Bytes frame) noexcept {
  if (!is_kind(frame, FrameKind::announce, frame_prefix_bytes) || frame[1] > 1) return std::nullopt;
  if (!all_zero(frame.subspan(12, 12))) return std::nullopt;
  AnnounceFrame announce;
  announce.is_spread = frame[1] != 0;
  announce.first_digest = load_le<std::uint16_t>(&frame[2]);
  announce.sequence = load_le<std::uint32_t>(&frame[4]);
  announce.digest_count = load_le<std::uint16_t>(&frame[8]);
  const std::size_t header_bytes = load_le<std::uint16_t>(&frame[10]);
  const std::size_t digests_bytes = announce.digest_count * digest_bytes;
  if (!header_bytes_fit(header_bytes)) return std::nullopt;
  if (frame.size() != frame_prefix_bytes + header_bytes + digests_bytes) return std::nullopt;
  announce.header = frame.subspan(frame_prefix_bytes, header_bytes);
  announce.digests = frame.subspan(frame_prefix_bytes + header_bytes);
  const std::size_t generations = load_le<std::uint16_t>(&announce.header[6]);
  if (std::size_t{announce.first_digest} + announce.digest_count > generations) return std::nullopt;
  return announce;
}

std::size_t write_announce(const AnnounceFrame& announce, std::uint8_t* out) noexcept {
  CHECK(announce.digests.size() == announce.digest_count * digest_bytes);
  CHECK(header_bytes_fit(announce.header.size()));
  std::memset(out, 0, frame_prefix_bytes);
  out[0] = static_cast<std::uint8_t>(FrameKind::announce);
  out[1] = announce.is_spread ? 1 : 0;
  store_le(out + 2, announce.first_digest);
  store_le(out + 4, announce.sequence);
  store_le(out + 8, announce.digest_count);
  store_le(out + 10, static_cast<std::uint16_t>(announce.header.size()));
  copy(out + frame_prefix_bytes, announce.header);
  copy(out + frame_prefix_bytes + announce.header.size(), announce.digests);
  return frame_prefix_bytes + announce.header.size() + announce.digests.size();
}

/// Filled where it stays, since copying narrow fields just written waits for each of them.
std::optional<CodedFrame> parse_coded(Bytes frame) noexcept {
  std::optional<CodedFrame> coded(std::in_place);
  if (!read_coded(frame, *coded)) coded.reset();
  return coded;
}

std::size_t write_coded_prefix(const CodedFrame& coded, std::uint8_t* out) noexcept {
  out[0] = static_cast<std::uint8_t>(FrameKind::coded);
  const unsigned hop = static_cast<unsigned>(coded.hop);
  out[1] = static_cast<std::uint8_t>(hop << 4 | static_cast<unsigned>(coded.form));
  store_le(out + 2, coded.generation);
  store_le(out + 4, coded.sequence);
  copy(out + 8, coded.tag);
  if (coded.form == CodedForm::vector) return frame_prefix_bytes;
  store_le(out + frame_prefix_bytes, coded.seed);
  return frame_prefix_bytes + row_head_bytes;
}

std::optional<FeedbackFrame> parse_feedback(Bytes frame) noexcept {
  if (!is_kind(frame, FrameKind::feedback, feedback_fixed_bytes)) return std::nullopt;
  FeedbackFrame feedback;
  feedback.place = frame[1];
  feedback.status_count = frame[2];
  feedback.word_count = frame[3];
  feedback.highest_sequence = load_le<std::uint32_t>(&frame[4]);
  feedback.delay_us = load_le<std::uint32_t>(&frame[8]);
  feedback.number = load_le<std::uint32_t>(&frame[12]);
  feedback.arrival_us = load_le<std::uint32_t>(&frame[16]);
  if (feedback.word_count > ack_words_max) return std::nullopt;
  const std::size_t words_bytes = feedback.word_count * word_bytes;
  if (frame.size() < feedback_fixed_bytes + words_bytes) return std::nullopt;
  feedback.words = frame.subspan(feedback_fixed_bytes, words_bytes);
  feedback.statuses = frame.subspan(feedback_fixed_bytes + words_bytes);
  Bytes rest = feedback.statuses;
  for (std::size_t i = 0; i != feedback.status_count; ++i) {
    const std::size_t bytes = checked_status_bytes(rest);
    if (bytes == 0) return std::nullopt;
    rest = rest.subspan(bytes);
  }
  if (!rest.empty()) return std::nullopt;
  return feedback;
}

std::optional<StatusFrame> next_status(Bytes& statuses) noexcept {
  const std::size_t bytes = checked_status_bytes(statuses);
  if (bytes == 0) return std::nullopt;
  StatusFrame status;
  status.tag = load_tag(statuses.data());
  status.state = static_cast<StatusState>(statuses[16]);
  status.want = load_le<std::uint16_t>(&statuses[18]);
  status.first_generation = load_le<std::uint16_t>(&statuses[20]);
  status.deficits = statuses.subspan(status_bytes, bytes - status_bytes);
  statuses = statuses.subspan(bytes);
  return status;
}

void FeedbackWriter::begin(std::uint32_t highest_sequence, std::uint32_t delay_us, std::uint32_t number,
                           std::uint32_t arrival_us, std::span<const std::uint64_t> words) noexcept {
  CHECK(words.size() <= ack_words_max);
  size_ = feedback_fixed_bytes + words.size() * word_bytes;
  count_ = 0;
  CHECK(size_ <= capacity_);
  out_[0] = static_cast<std::uint8_t>(FrameKind::feedback);
  out_[1] = 0;
  out_[2] = 0;
  out_[3] = static_cast<std::uint8_t>(words.size());
  store_le(out_ + 4, highest_sequence);
  store_le(out_ + 8, delay_us);
  store_le(out_ + 12, number);
  store_le(out_ + 16, arrival_us);
  for (std::size_t i = 0; i != words.size(); ++i) store_le(out_ + feedback_fixed_bytes + i * word_bytes, words[i]);
}

bool FeedbackWriter::add(const StatusFrame& status) noexcept {
  CHECK(status.first_generation + status.deficits.size() <= generations_wire_max);
  const std::size_t bytes = status_bytes + status.deficits.size();
  if (count_ == 255 || size_ + bytes > capacity_) return false;
  std::uint8_t* const at = out_ + size_;
  copy(at, status.tag);
  at[16] = static_cast<std::uint8_t>(status.state);
  at[17] = 0;
  store_le(at + 18, status.want);
  store_le(at + 20, status.first_generation);
  store_le(at + 22, static_cast<std::uint16_t>(status.deficits.size()));
  copy(at + status_bytes, status.deficits);
  size_ += bytes;
  out_[2] = static_cast<std::uint8_t>(++count_);
  return true;
}

std::optional<SingleFrame> parse_single(Bytes frame) noexcept {
  if (!is_kind(frame, FrameKind::single, frame_prefix_bytes) || frame[1] > hops_wire_max) return std::nullopt;
  SingleFrame single;
  single.hops = frame[1];
  const std::size_t header_bytes = load_le<std::uint16_t>(&frame[2]);
  single.sequence = load_le<std::uint32_t>(&frame[4]);
  single.tag = load_tag(&frame[8]);
  if (!short_header_bytes_fit(header_bytes) || frame.size() < frame_prefix_bytes + header_bytes) return std::nullopt;
  single.header = frame.subspan(frame_prefix_bytes, header_bytes);
  single.payload = frame.subspan(frame_prefix_bytes + header_bytes);
  if (single.payload.size() > shard_wire_bytes_max) return std::nullopt;
  return single;
}

std::size_t write_single(const SingleFrame& single, std::uint8_t* out) noexcept {
  CHECK(short_header_bytes_fit(single.header.size()) && single.hops <= hops_wire_max);
  out[0] = static_cast<std::uint8_t>(FrameKind::single);
  out[1] = single.hops;
  store_le(out + 2, static_cast<std::uint16_t>(single.header.size()));
  store_le(out + 4, single.sequence);
  copy(out + 8, single.tag);
  copy(out + frame_prefix_bytes, single.header);
  copy(out + frame_prefix_bytes + single.header.size(), single.payload);
  return frame_prefix_bytes + single.header.size() + single.payload.size();
}

std::optional<ProbeFrame> parse_probe(Bytes frame) noexcept {
  if (!is_kind(frame, FrameKind::probe, probe_fixed_bytes) || frame[1] > 1) return std::nullopt;
  if (!all_zero(frame.subspan(2, 2)) || !all_zero(frame.subspan(probe_fixed_bytes))) return std::nullopt;
  return ProbeFrame{frame[1] == 0, load_le<std::uint32_t>(&frame[4])};
}

void write_probe(const ProbeFrame& probe, std::size_t frame_bytes, std::uint8_t* out) noexcept {
  CHECK(frame_bytes >= probe_fixed_bytes);
  std::memset(out, 0, frame_bytes);
  out[0] = static_cast<std::uint8_t>(FrameKind::probe);
  out[1] = probe.ask ? 0 : 1;
  store_le(out + 4, probe.highest_sequence);
}

void set_sequence(std::uint8_t* frame, std::uint32_t sequence) noexcept { store_le(frame + 4, sequence); }

}  // namespace corelay::dataplane
