/// How often operator new has been called in this test binary, for tests that something does not
/// allocate.
#pragma once

#include <cstddef>

namespace corelay::codec {

[[nodiscard]] std::size_t allocation_count() noexcept;

}  // namespace corelay::codec
