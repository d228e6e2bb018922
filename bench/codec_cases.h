/// The cases of the codec bench: what is run, against what, and how their results are checked.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "bench/codec_timing.h"

namespace corelay::bench {

/// One comparison, ready to run. Bytes are what one run of a side counts for: source bytes times
/// outputs for products (E, R), payload bytes for decoders (D1-D4, S1), coefficient bytes worked on
/// for the innovation check (D5).
struct Comparison {
  double our_bytes;
  double reference_bytes;
  Repeat ours;
  Repeat reference;
  std::function<bool()> is_right;  // both results against the scalar oracle, on a run of its own
};

struct Case {
  std::string id;
  std::size_t k;
  std::size_t m;
  std::size_t shard_bytes;
  std::string reference;
  double goal;  // the ratio to reach, 0 where there is none
  std::function<Comparison()> prepare;
};

/// E1-E6, R1 and their like.
std::vector<Case> product_cases();
/// D1-D5 and S1.
std::vector<Case> decoder_cases();
/// Any product, against ISA-L with fresh coefficients.
Case custom_case(std::size_t k, std::size_t m, std::size_t shard_bytes);

}  // namespace corelay::bench
