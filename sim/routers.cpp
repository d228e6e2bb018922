#include "sim/routers.h"

#include <array>

namespace corelay::sim {

std::span<const RouterEntry> router_entries() {
  static const std::array entries{
      RouterEntry{"corelay", "this product's relay and mesh", make_corelay_router},
      RouterEntry{"corelay-two-hop", "the same with router = \"two-hop\": all nodes are members",
                  make_corelay_two_hop, true},
      RouterEntry{"gossipsub-v1.1", "copies to all mesh peers at once, each a share of the uplink",
                  make_gossip_v11},
      RouterEntry{"gossipsub-v1.1-seq", "v1.1, one copy after the other",
                  make_gossip_v11_sequential},
      RouterEntry{"gossipsub-v1.2", "v1.1 with IDONTWANT", make_gossip_v12},
      RouterEntry{"gossipsub-v1.2-seq", "v1.2, one copy after the other: gossip at its best",
                  make_gossip_v12_sequential},
      RouterEntry{"gossipsub-v1.2-lazy", "v1.2 with IHAVE and IWANT", make_gossip_v12_lazy},
      RouterEntry{"gossipsub-parts", "v1.2 sequential, messages cut into 64 KiB parts",
                  make_gossip_parts},
      RouterEntry{"rs-bitmap", "Reed-Solomon 16+16 with have-lists, as specified by ethp2p",
                  make_rs_bitmap},
      RouterEntry{"rs-bitmap-tuned", "the same with have-lists from the first shard on",
                  make_rs_bitmap_tuned},
      RouterEntry{"rs-bitmap-64", "the same with 64+64 shards", make_rs_bitmap_64},
      RouterEntry{"raintree", "Pocket's tree with its cleanup", make_raintree, true},
      RouterEntry{"raintree-bare", "the tree alone", make_raintree_bare, true},
      RouterEntry{"two-hop", "RaptorCast-like: a part to each node, from each to all",
                  make_two_hop, true},
      RouterEntry{"oracle", "perfect knowledge of every neighbour, packet by packet", make_oracle},
      RouterEntry{"star", "the publisher sends everybody a copy", make_star, true},
      RouterEntry{"bound", "the lower bound: delay and message over the slower access link",
                  make_bound},
  };
  return entries;
}

}  // namespace corelay::sim
