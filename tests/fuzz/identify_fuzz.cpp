// Identify messages and signed peer records from a peer.
#include "codec/check.h"
#include "control/libp2p/identify.h"
#include "control/libp2p/peer_record.h"

using namespace corelay;
using namespace corelay::libp2p;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes in(data, size);
  static const PeerId peer = Identity::from_seed({1}).peer_id();
  PeerIdentity merged;
  if (merge_identify(in, peer, merged)) {
    CHECK(merged.protocols.size() <= 256 && merged.listen_addresses.size() <= 64);
    CHECK(merged.agent_version.size() <= 256 && merged.protocol_version.size() <= 256);
    for (const Multiaddr& address : merged.listen_addresses)
      CHECK(Multiaddr::parse(address.text()) == address);
  }
  const auto record = open_peer_record(in);
  if (record) CHECK(!record->peer.is_empty());
  return 0;
}
