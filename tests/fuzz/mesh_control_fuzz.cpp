// Control messages from two peers, of which one is hostile: the input is cut into messages by a
// length byte pair, each given to a Mesh that takes part in a topic, with time going on between
// them. Bounds are checked after every message.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "codec/bytes.h"
#include "codec/check.h"
#include "control/mesh/mesh.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace corelay;
  mesh::MeshParams params;
  params.topics_max = 16;
  params.known_peers_max = 16;
  mesh::Mesh mesh(params, "me", {"/ip4/10.0.0.1/tcp/7070"}, 1);
  mesh::MeshOutbox out;
  dataplane::Instant now{};
  CHECK(mesh.subscribe(now, "t", out));
  for (const char* peer : {"a", "b"}) {
    mesh.on_connected(now, peer, *peer == 'a', out);
    mesh.on_session(now, peer, out);
  }
  Bytes rest{data, size};
  while (rest.size() >= 2) {
    const std::size_t length =
        std::min<std::size_t>(rest[0] + 256u * (rest[1] & 0x7fu), rest.size() - 2);
    const std::string peer = (rest[1] & 0x80) != 0 ? "b" : "a";
    out.clear();
    static_cast<void>(mesh.on_control(now, peer, rest.subspan(2, length), out));
    rest = rest.subspan(2 + length);
    now = now + dataplane::milliseconds(400);
    mesh.on_tick(now, out);
    CHECK(mesh.address_book().size() <= params.known_peers_max);
    CHECK(mesh.known_topics().size() <= 1 + 2 * params.topics_max);
    CHECK(mesh.mesh_peers("t").size() <= 2);
    CHECK(mesh.connected_peers().size() == 2);
    for (const mesh::MeshAction& action : out) {
      const auto* control = std::get_if<mesh::SendControl>(&action);
      CHECK(control == nullptr || control->bytes.size() <= mesh::control_bytes_max);
    }
  }
  return 0;
}
