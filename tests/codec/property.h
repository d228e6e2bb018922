/// rapidcheck with a fixed seed, printed, so that a run repeats; RC_PARAMS in the environment
/// overrides it.
#pragma once

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <cstdio>
#include <cstdlib>

namespace corelay::codec {

inline const bool property_seed_set = [] {
  setenv("RC_PARAMS", "seed=20261121 max_success=400", 0);
  std::printf("RC_PARAMS=%s\n", std::getenv("RC_PARAMS"));
  return true;
}();

}  // namespace corelay::codec
