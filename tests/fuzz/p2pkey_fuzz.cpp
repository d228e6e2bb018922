// p2p.key files. With an even first byte the checksum is made right, so that the JSON behind it is
// reached.
#include "codec/check.h"
#include "control/libp2p/key_file.h"

using namespace corelay;
using namespace corelay::libp2p;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  std::vector<std::uint8_t> file(data + 1, data + size);
  if (data[0] % 2 == 0 && file.size() >= 8)
    store_le(file.data(), crc64_iso(Bytes(file).subspan(8)));
  const auto seed = parse_key_file(file);
  if (!seed) {
    CHECK(seed.error().code == ErrorCode::malformed ||
          seed.error().code == ErrorCode::invalid_argument);
    return 0;
  }
  const Identity identity = Identity::from_seed(*seed);
  CHECK(!identity.peer_id().is_empty());
  return 0;
}
