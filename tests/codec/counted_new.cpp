// Replaces operator new for the whole binary by one that counts.
#include "tests/codec/counted_new.h"

#include <cstdlib>
#include <new>

namespace corelay::codec {
namespace {
std::size_t count = 0;

void* count_and_allocate(std::size_t bytes) {
  ++count;
  void* const memory = std::malloc(bytes == 0 ? 1 : bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void* count_and_allocate(std::size_t bytes, std::align_val_t alignment) {
  ++count;
  const auto unit = static_cast<std::size_t>(alignment);
  void* const memory = std::aligned_alloc(unit, (bytes + unit - 1) / unit * unit);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
}  // namespace

std::size_t allocation_count() noexcept { return count; }

}  // namespace corelay::codec

void* operator new(std::size_t bytes) { return corelay::codec::count_and_allocate(bytes); }
void* operator new[](std::size_t bytes) { return corelay::codec::count_and_allocate(bytes); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return corelay::codec::count_and_allocate(bytes, alignment);
}
void* operator new[](std::size_t bytes, std::align_val_t alignment) {
  return corelay::codec::count_and_allocate(bytes, alignment);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
