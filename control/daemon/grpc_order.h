/// What gRPC puts in order between its threads, told to ThreadSanitizer: Debian's gRPC is not instrumented, so that an
/// object it hands from one thread to another looks raced for. Nothing at all in other builds.
#pragma once

#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace corelay::daemon {

/// Before a call after which gRPC may call back on another thread: what was done to `object` so far comes first.
inline void give_to_grpc([[maybe_unused]] void* object) noexcept {
#if defined(__SANITIZE_THREAD__)
  __tsan_release(object);
#endif
}

/// First in a callback: it comes after what gave `object` to gRPC.
inline void take_from_grpc([[maybe_unused]] void* object) noexcept {
#if defined(__SANITIZE_THREAD__)
  __tsan_acquire(object);
#endif
}

}  // namespace corelay::daemon
