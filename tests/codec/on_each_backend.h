/// A fixture that runs each of its tests once on every backend this CPU has.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "codec/field.h"

namespace corelay::codec {

class OnEachBackend : public testing::TestWithParam<Backend> {
 protected:
  void SetUp() override { ASSERT_TRUE(force_backend(GetParam())); }
  void TearDown() override { ASSERT_TRUE(force_backend(available_backends().back())); }
};

inline std::string backend_of(const testing::TestParamInfo<Backend>& info) {
  return std::string(backend_name(info.param));
}

}  // namespace corelay::codec

#define CORELAY_ON_EACH_BACKEND(Fixture) \
  INSTANTIATE_TEST_SUITE_P(              \
      Backend, Fixture,                  \
      testing::ValuesIn(available_backends().begin(), available_backends().end()), backend_of)
