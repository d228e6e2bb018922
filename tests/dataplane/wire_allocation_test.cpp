// The data plane's hot calls allocate nothing: neither through operator new nor inside OpenSSL, on every backend.
#include <gtest/gtest.h>
#include <openssl/crypto.h>

#include <cstdlib>
#include <new>

#include "dataplane/core/header.h"
#include "dataplane/core/session_table.h"
#include "tests/dataplane/wire_golden.h"

namespace {

std::size_t allocations = 0;

void* counted_malloc(std::size_t bytes, const char*, int) {
  ++allocations;
  return std::malloc(bytes);
}
void* counted_realloc(void* memory, std::size_t bytes, const char*, int) {
  ++allocations;
  return std::realloc(memory, bytes);
}
void counted_free(void* memory, const char*, int) { std::free(memory); }

// OpenSSL takes other functions only before its first allocation.
const bool openssl_counts = CRYPTO_set_mem_functions(counted_malloc, counted_realloc, counted_free) == 1;

}  // namespace

void* operator new(std::size_t bytes) {
  ++allocations;
  void* const memory = std::malloc(bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace corelay::dataplane {
namespace {

TEST(Allocation, HashesAndHeaders) {
  ASSERT_TRUE(openssl_counts);
  const PreparedMessage& message = golden::large_message();
  Sha256 sha;
  static_cast<void>(verify_header(message.encoded_header));
  const std::size_t before = allocations;
  ASSERT_GT(before, 0u);  // making the message did allocate: the counting works
  for (int i = 0; i != 10; ++i) {
    sha.update(message.payload);
    static_cast<void>(sha.finish());
    static_cast<void>(digest_of(message.payload));
    static_cast<void>(tag_of(message.header.id, "votes"));
    ASSERT_TRUE(parse_header(message.encoded_header).has_value());
    ASSERT_TRUE(verify_header(message.encoded_header));
  }
  EXPECT_EQ(allocations, before);
}

TEST(Allocation, Sessions) {
  ASSERT_TRUE(openssl_counts);
  for (const AeadBackend backend : {AeadBackend::openssl, probe_aead_backend()}) {
    SessionTable a(0, 4, backend);
    SessionTable b(0, 4, backend);
    const std::vector<std::uint8_t> frame = golden::payload_of(1344);
    std::vector<std::uint8_t> datagram(frame.size() + datagram_overhead_bytes);
    SessionKeys keys = golden::session_keys();
    bool all_opened = true;
    const std::size_t before = allocations;
    for (std::uint32_t i = 0; i != 50; ++i) {
      keys.send.key_id = 100 + i;
      keys.receive.key_id = 200 + i;
      a.install({}, 1, keys);
      b.install({}, 2, golden::swapped(keys));
      for (int n = 0; n != 3; ++n) {
        all_opened =
            a.seal(1, frame, datagram.data()) != 0 && b.open({}, datagram).outcome == Open::opened && all_opened;
        all_opened = b.open({}, datagram).outcome == Open::replayed && all_opened;
      }
      if (i % 5 == 4) {
        a.remove(1);
        b.remove(2);
      }
    }
    EXPECT_EQ(allocations, before) << aead_backend_name(backend);
    EXPECT_TRUE(all_opened);
  }
}

}  // namespace
}  // namespace corelay::dataplane
