/// CHECK stops the process when one of our own invariants is broken, in every build. It is for bugs, never for
/// input: what comes from outside is answered by an Outcome or an Error.
/// DCHECK is CHECK for tests that cost more than O(1); it is compiled only in debug builds.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace corelay {

[[noreturn]] inline void check_failed(const char* condition, const char* file, int line) noexcept {
  std::fprintf(stderr, "CHECK failed: %s at %s:%d\n", condition, file, line);
  std::abort();
}

}  // namespace corelay

#define CHECK(condition) \
  (static_cast<bool>(condition) ? static_cast<void>(0) \
                                : ::corelay::check_failed(#condition, __FILE__, __LINE__))
#if !defined(NDEBUG) && defined(CORELAY_DEBUG_CHECKS)
#define DCHECK(condition) CHECK(condition)
#else
#define DCHECK(condition) static_cast<void>(sizeof(static_cast<bool>(condition)))
#endif
