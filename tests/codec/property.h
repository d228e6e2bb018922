/// rapidcheck with a fixed seed, printed, so that a run repeats; RC_PARAMS in the environment
/// overrides it. Few cases under ThreadSanitizer: byte loops take fifty times as long there, and
/// all of this is on one thread.
#pragma once

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <cstdio>
#include <cstdlib>

namespace corelay::codec {

#if defined(__SANITIZE_THREAD__)
inline constexpr const char* property_parameters = "seed=20261121 max_success=20";
#else
inline constexpr const char* property_parameters = "seed=20261121 max_success=400";
#endif

inline const bool property_seed_set = [] {
  setenv("RC_PARAMS", property_parameters, 0);
  std::printf("RC_PARAMS=%s\n", std::getenv("RC_PARAMS"));
  return true;
}();

}  // namespace corelay::codec
