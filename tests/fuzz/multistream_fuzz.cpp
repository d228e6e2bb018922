// multistream-select from both sides, in steps the input chooses.
#include "codec/check.h"
#include "control/libp2p/multistream.h"

using namespace corelay;
using namespace corelay::libp2p;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::size_t step = data[1] == 0 ? size : data[1];
  Negotiation negotiation =
      data[0] % 2 == 0 ? Negotiation::listen([](std::string_view text) { return text == "/noise"; })
                       : Negotiation::dial({"/noise", "/yamux/1.0.0"});
  Bytes rest(data + 2, size - 2);
  std::size_t sent = negotiation.take_output().size();
  while (!rest.empty() && !negotiation.is_done()) {
    const Bytes part = rest.first(std::min(step, rest.size()));
    const auto used = negotiation.receive(part);
    sent += negotiation.take_output().size();
    if (!used) return 0;
    CHECK(*used <= part.size());
    CHECK(*used == part.size() || negotiation.is_done());
    rest = rest.subspan(*used);
  }
  CHECK(sent <= 64 + 4 * size);  // answers stay in proportion
  if (negotiation.is_done())
    CHECK(negotiation.protocol() == "/noise" || negotiation.protocol() == "/yamux/1.0.0");
  return 0;
}
