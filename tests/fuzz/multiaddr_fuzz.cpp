// Multiaddrs and peer ids, as text and as bytes: what is accepted survives the way there and back.
#include "codec/check.h"
#include "control/libp2p/multiaddr.h"

using namespace corelay;
using namespace corelay::libp2p;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes in(data, size);
  const auto check = [](const Multiaddr& address) {
    CHECK(Multiaddr::parse(address.text()) == address);
    CHECK(Multiaddr::from_bytes(address.bytes()) == address);
    static_cast<void>(address.host());
    static_cast<void>(address.tcp_port());
    const Multiaddr bare = address.without_peer();
    const auto peer = address.peer_id();
    if (peer && !bare.peer_id()) CHECK(bare.with_peer(*peer) == address);
  };
  if (const auto address = Multiaddr::parse(as_text(in))) check(*address);
  if (const auto address = Multiaddr::from_bytes(in)) check(*address);
  if (const auto peer = PeerId::parse(as_text(in))) CHECK(PeerId::parse(peer->text()) == *peer);
  if (const auto peer = PeerId::from_bytes(in)) CHECK(PeerId::parse(peer->text()) == *peer);
  return 0;
}
