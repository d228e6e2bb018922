// Frames of any bytes: no parser reads outside them, and what one accepts it writes back byte for byte.
#include <algorithm>
#include <array>
#include <cstdint>

#include "codec/check.h"
#include "dataplane/core/frame.h"

namespace {

using namespace corelay;
using namespace corelay::dataplane;

std::array<std::uint8_t, 70'000> out;

bool is_out(Bytes frame, std::size_t written) {
  return written == frame.size() && std::equal(frame.begin(), frame.end(), out.begin());
}

void check_coded(Bytes frame) {
  const auto coded = parse_coded(frame);
  if (!coded) return;
  CHECK(frame.size() <= frame_prefix_bytes + vector_wire_bytes_max + shard_wire_bytes_max);
  const std::size_t prefix = write_coded_prefix(*coded, out.data());
  const Bytes rest = coded->row.subspan(prefix - frame_prefix_bytes);
  std::copy(rest.begin(), rest.end(), out.begin() + static_cast<std::ptrdiff_t>(prefix));
  CHECK(is_out(frame, prefix + rest.size()));
}

void check_feedback(Bytes frame) {
  const auto feedback = parse_feedback(frame);
  if (!feedback) return;
  std::array<std::uint64_t, ack_words_max> words{};
  for (std::size_t j = 0; j != feedback->word_count; ++j) words[j] = load_le<std::uint64_t>(&feedback->words[8 * j]);
  FeedbackWriter writer(out.data(), out.size());
  writer.begin(feedback->highest_sequence, feedback->delay_us, feedback->number, feedback->arrival_us,
               std::span<const std::uint64_t>{words}.first(feedback->word_count));
  writer.set_place(feedback->place);
  Bytes statuses = feedback->statuses;
  while (const auto status = next_status(statuses)) CHECK(writer.add(*status));
  CHECK(statuses.empty() && is_out(frame, writer.size()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 65'536) return 0;
  const Bytes frame{data, size};
  const auto kind = frame_kind(frame);
  if (const auto announce = parse_announce(frame)) {
    CHECK(kind == FrameKind::announce && is_out(frame, write_announce(*announce, out.data())));
  }
  check_coded(frame);
  check_feedback(frame);
  if (const auto single = parse_single(frame)) {
    CHECK(kind == FrameKind::single && is_out(frame, write_single(*single, out.data())));
  }
  if (const auto probe = parse_probe(frame)) {
    write_probe(*probe, size, out.data());
    CHECK(kind == FrameKind::probe && is_out(frame, size));
  }
  return 0;
}
