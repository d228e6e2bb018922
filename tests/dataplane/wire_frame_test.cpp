// Frames: what is written is read back, what does not follow wire.md is refused, and no parser looks past its bytes.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <memory>

#include "dataplane/core/frame.h"
#include "tests/dataplane/wire_golden.h"

namespace corelay::dataplane {
namespace {

using golden::Buffer;

/// Parses with the parser of the frame's kind and writes what it found again; nothing when it is malformed.
std::optional<Buffer> parse_and_write(Bytes frame) {
  const auto kind = frame_kind(frame);
  if (!kind) return std::nullopt;
  Buffer out(frame.size() + 64, 0xee);
  std::size_t written = 0;
  switch (*kind) {
    case FrameKind::announce: {
      const auto parsed = parse_announce(frame);
      if (!parsed) return std::nullopt;
      written = write_announce(*parsed, out.data());
      break;
    }
    case FrameKind::coded: {
      const auto parsed = parse_coded(frame);
      if (!parsed) return std::nullopt;
      written = write_coded_prefix(*parsed, out.data());
      const Bytes rest = parsed->row.subspan(written - frame_prefix_bytes);
      std::copy(rest.begin(), rest.end(), out.begin() + static_cast<std::ptrdiff_t>(written));
      written += rest.size();
      break;
    }
    case FrameKind::feedback: {
      const auto parsed = parse_feedback(frame);
      if (!parsed) return std::nullopt;
      std::vector<std::uint64_t> words;
      for (std::size_t j = 0; j != parsed->word_count; ++j)
        words.push_back(load_le<std::uint64_t>(&parsed->words[8 * j]));
      FeedbackWriter writer(out.data(), out.size());
      writer.begin(parsed->highest_sequence, parsed->delay_us, parsed->number, parsed->arrival_us, words);
      writer.set_place(parsed->place);
      Bytes statuses = parsed->statuses;
      while (const auto status = next_status(statuses)) EXPECT_TRUE(writer.add(*status));
      EXPECT_EQ(writer.status_count(), parsed->status_count);
      written = writer.size();
      break;
    }
    case FrameKind::single: {
      const auto parsed = parse_single(frame);
      if (!parsed) return std::nullopt;
      written = write_single(*parsed, out.data());
      break;
    }
    case FrameKind::probe: {
      const auto parsed = parse_probe(frame);
      if (!parsed) return std::nullopt;
      write_probe(*parsed, frame.size(), out.data());
      written = frame.size();
      break;
    }
  }
  out.resize(written);
  return out;
}

/// A copy in memory of exactly its size, so that a sanitizer sees a read behind it.
std::optional<Buffer> parse_exact(const Buffer& frame, std::size_t bytes) {
  const std::unique_ptr<std::uint8_t[]> exact(new std::uint8_t[bytes]);
  std::copy_n(frame.begin(), bytes, exact.get());
  return parse_and_write({exact.get(), bytes});
}

TEST(Frame, GoldenFramesAreReadAndWrittenBack) {
  for (const golden::Frame& frame : golden::frames()) {
    const auto again = parse_exact(frame.bytes, frame.bytes.size());
    ASSERT_TRUE(again.has_value()) << frame.name;
    EXPECT_EQ(to_hex(*again), to_hex(frame.bytes)) << frame.name;
  }
}

TEST(Frame, MalformedFramesAreRefused) {
  for (const golden::Malformed& frame : golden::malformed_frames()) {
    EXPECT_FALSE(parse_exact(frame.bytes, frame.bytes.size()).has_value()) << frame.name << ": " << frame.why;
  }
}

TEST(Frame, EveryTruncationIsRefusedOrIsAWholeShorterFrame) {
  for (const golden::Frame& frame : golden::frames()) {
    const auto kind = frame_kind(frame.bytes);
    const bool has_free_length = kind == FrameKind::coded || kind == FrameKind::single || kind == FrameKind::probe;
    for (std::size_t bytes = 0; bytes != frame.bytes.size(); ++bytes) {
      const auto again = parse_exact(frame.bytes, bytes);
      if (!has_free_length) {
        EXPECT_FALSE(again.has_value()) << frame.name << " cut to " << bytes;
      }
      if (again) {
        EXPECT_TRUE(std::equal(again->begin(), again->end(), frame.bytes.begin(),
                               frame.bytes.begin() + static_cast<std::ptrdiff_t>(bytes)));
      }
    }
  }
}

TEST(Frame, OneKindIsNotReadAsAnother) {
  for (const golden::Frame& frame : golden::frames()) {
    const auto kind = frame_kind(frame.bytes);
    EXPECT_EQ(parse_announce(frame.bytes).has_value(), kind == FrameKind::announce) << frame.name;
    EXPECT_EQ(parse_coded(frame.bytes).has_value(), kind == FrameKind::coded) << frame.name;
    EXPECT_EQ(parse_feedback(frame.bytes).has_value(), kind == FrameKind::feedback) << frame.name;
    EXPECT_EQ(parse_single(frame.bytes).has_value(), kind == FrameKind::single) << frame.name;
    EXPECT_EQ(parse_probe(frame.bytes).has_value(), kind == FrameKind::probe) << frame.name;
  }
}

TEST(Frame, FieldsAreWhereTheTablesSay) {
  const auto coded = parse_coded(golden::frame("coded-seed").bytes);
  ASSERT_TRUE(coded.has_value());
  EXPECT_EQ(coded->form, CodedForm::seed);
  EXPECT_EQ(coded->sequence, 4u);
  EXPECT_EQ(coded->seed, 0x0123456789abcdefu);
  EXPECT_EQ(coded->tag, golden::large_message().tag);
  EXPECT_EQ(coded->row.size(), 8u + 448u);

  const auto vector = parse_coded(golden::frame("coded-vector").bytes);
  ASSERT_TRUE(vector.has_value());
  EXPECT_EQ(vector->generation, 2);
  EXPECT_EQ(vector->row.size(), 2u + 448u);
  EXPECT_EQ(vector->row[1], 0x9e);

  const auto announce = parse_announce(golden::frame("announce-part").bytes);
  ASSERT_TRUE(announce.has_value());
  EXPECT_EQ(announce->first_digest, 2);
  EXPECT_EQ(announce->digest_count, 1);
  EXPECT_TRUE(
      std::equal(announce->digests.begin(), announce->digests.end(), golden::large_message().digests[2].begin()));

  const auto feedback = parse_feedback(golden::frame("feedback-rich").bytes);
  ASSERT_TRUE(feedback.has_value());
  EXPECT_EQ(feedback->highest_sequence, 4'000'000'000u);
  EXPECT_EQ(feedback->delay_us, 65'536u);
  EXPECT_EQ(feedback->number, 3u);
  EXPECT_EQ(feedback->word_count, 3);
  Bytes statuses = feedback->statuses;
  const auto status = next_status(statuses);
  ASSERT_TRUE(status.has_value());
  EXPECT_EQ(status->state, StatusState::wanting);
  EXPECT_EQ(status->want, 12);
  EXPECT_EQ(to_hex(status->deficits), "040080");

  const auto probe = parse_probe(golden::frame("probe-padding").bytes);
  ASSERT_TRUE(probe.has_value());
  EXPECT_FALSE(probe->ask);
  EXPECT_EQ(probe->highest_sequence, 41u);
}

TEST(Frame, SetSequenceChangesNothingElse) {
  for (const std::string_view name : {"announce", "coded-seed", "coded-vector", "single"}) {
    Buffer frame = golden::frame(name).bytes;
    const Buffer before = frame;
    set_sequence(frame.data(), 0xdeadbeef);
    EXPECT_EQ(load_le<std::uint32_t>(&frame[4]), 0xdeadbeefu);
    set_sequence(frame.data(), load_le<std::uint32_t>(&before[4]));
    EXPECT_EQ(frame, before);
    EXPECT_TRUE(parse_and_write(frame).has_value());
  }
}

TEST(FeedbackWriter, StopsWhereTheBufferOrTheCountEnds) {
  Buffer out(20 + 3 * status_bytes + 5, 0xee);
  FeedbackWriter writer(out.data(), out.size());
  writer.begin(5, 6, 7, 8, {});
  const std::array<std::uint8_t, 6> deficits{};
  StatusFrame status;
  EXPECT_TRUE(writer.add(status));
  EXPECT_TRUE(writer.add(status));
  status.deficits = deficits;
  EXPECT_FALSE(writer.add(status));
  EXPECT_EQ(writer.size(), 20 + 2 * status_bytes);
  status.deficits = Bytes{deficits}.first(5);
  EXPECT_TRUE(writer.add(status));
  EXPECT_FALSE(writer.add({}));
  EXPECT_EQ(writer.size(), out.size());
  EXPECT_TRUE(parse_feedback(out).has_value());

  Buffer large(20 + 300 * status_bytes);
  FeedbackWriter full(large.data(), large.size());
  full.begin(5, 6, 7, 8, {});
  std::size_t added = 0;
  while (full.add({})) ++added;
  EXPECT_EQ(added, 255u);
  EXPECT_TRUE(parse_feedback(Bytes{large}.first(full.size())).has_value());
}

RC_GTEST_PROP(FrameProperty, CodedRoundTrip, (std::uint16_t generation, std::uint32_t sequence, std::uint64_t seed)) {
  CodedFrame coded;
  coded.form = static_cast<CodedForm>(*rc::gen::inRange(0, 3));
  coded.hop = static_cast<Hop>(*rc::gen::inRange(0, 3));
  coded.generation = generation % generations_wire_max;
  coded.sequence = sequence;
  coded.seed = coded.form == CodedForm::systematic ? seed % k_wire_max : seed;
  const auto payload =
      *rc::gen::container<Buffer>(*rc::gen::inRange<std::size_t>(2, 1473), rc::gen::arbitrary<std::uint8_t>());
  Buffer frame(32 + payload.size());
  const std::size_t prefix = write_coded_prefix(coded, frame.data());
  std::copy(payload.begin(), payload.end(), frame.begin() + static_cast<std::ptrdiff_t>(prefix));
  frame.resize(prefix + payload.size());
  const auto parsed = parse_coded(frame);
  RC_ASSERT(parsed.has_value());
  RC_ASSERT(parsed->form == coded.form && parsed->hop == coded.hop);
  RC_ASSERT(parsed->generation == coded.generation && parsed->sequence == sequence);
  if (coded.form != CodedForm::vector) RC_ASSERT(parsed->seed == coded.seed);
  RC_ASSERT(std::equal(payload.rbegin(), payload.rend(), parsed->row.rbegin()));
  RC_ASSERT(parse_and_write(frame) == frame);
}

RC_GTEST_PROP(FrameProperty, FeedbackRoundTrip, (std::uint32_t highest, std::uint32_t delay_us, std::uint32_t number)) {
  const auto words = *rc::gen::container<std::vector<std::uint64_t>>(*rc::gen::inRange<std::size_t>(0, 17),
                                                                     rc::gen::arbitrary<std::uint64_t>());
  const auto sizes = *rc::gen::container<std::vector<std::size_t>>(rc::gen::inRange<std::size_t>(0, 40));
  Buffer frame(1344);
  FeedbackWriter writer(frame.data(), frame.size());
  writer.begin(highest, delay_us, number, ~number, words);
  const Buffer deficits(40, 77);
  std::size_t added = 0;
  for (const std::size_t size : sizes) {
    StatusFrame status;
    status.tag.fill(static_cast<std::uint8_t>(added));
    status.state = static_cast<StatusState>(added % 4);
    status.want = static_cast<std::uint16_t>(added * 257);
    status.first_generation = static_cast<std::uint16_t>(generations_wire_max - size);
    status.deficits = Bytes{deficits}.first(size);
    if (writer.add(status)) ++added;
  }
  frame.resize(writer.size());
  const auto parsed = parse_feedback(frame);
  RC_ASSERT(parsed.has_value());
  RC_ASSERT(parsed->highest_sequence == highest && parsed->delay_us == delay_us && parsed->number == number);
  RC_ASSERT(parsed->arrival_us == ~number);
  RC_ASSERT(parsed->word_count == words.size() && parsed->status_count == added);
  RC_ASSERT(parse_and_write(frame) == frame);
}

/// Golden frames with a few bytes changed and a new length: whatever a parser takes, it can write back the same.
RC_GTEST_PROP(FrameProperty, WhatIsAcceptedIsCanonical, ()) {
  Buffer frame = golden::frames()[*rc::gen::inRange<std::size_t>(0, golden::frames().size())].bytes;
  if (*rc::gen::inRange(0, 3) == 0) frame.resize(*rc::gen::inRange<std::size_t>(0, frame.size() + 9));
  for (int changes = *rc::gen::inRange(0, 4); changes != 0 && !frame.empty(); --changes) {
    const std::size_t span = *rc::gen::element<std::size_t>(4, 24, 64, frame.size());
    frame[*rc::gen::inRange<std::size_t>(0, std::min(span, frame.size()))] = *rc::gen::arbitrary<std::uint8_t>();
  }
  const auto again = parse_exact(frame, frame.size());
  RC_CLASSIFY(again.has_value(), "accepted");
  if (again) RC_ASSERT(*again == frame);
}

}  // namespace
}  // namespace corelay::dataplane
