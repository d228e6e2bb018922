// Encoded headers of any bytes: what parse_header() accepts keeps every limit and is written back byte for byte;
// verify_header() survives anything.
#include <algorithm>
#include <array>
#include <cstdint>

#include "codec/check.h"
#include "dataplane/core/frame.h"
#include "dataplane/core/header.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace corelay;
  using namespace corelay::dataplane;
  const Bytes encoded{data, size};
  static_cast<void>(verify_header(encoded));
  const auto header = parse_header(encoded);
  if (!header) return 0;
  std::array<std::uint8_t, header_bytes_max> out;
  CHECK(write_header(*header, out.data()) == size && std::equal(encoded.begin(), encoded.end(), out.begin()));
  CHECK(header->k >= 1 && header->k <= k_wire_max && header->generations >= 1);
  CHECK(header->generations <= generations_wire_max && header->shard_bytes <= shard_wire_bytes_max);
  const std::uint64_t generation_bytes = std::uint64_t{header->k} * header->shard_bytes;
  CHECK(header->size_bytes <= header->generations * generation_bytes);
  CHECK(header->size_bytes == 0 || (header->generations - 1u) * generation_bytes < header->size_bytes);
  static_cast<void>(tag_of(header->id, header->topic()));
  return 0;
}
