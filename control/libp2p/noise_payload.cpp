#include "control/libp2p/noise_payload.h"

#include "control/libp2p/fields.h"
#include "control/libp2p/public_key.h"

namespace corelay::libp2p {
namespace {

constexpr std::string_view signature_prefix = "noise-libp2p-static-key:";
constexpr std::size_t muxers_max = 16;

std::vector<std::uint8_t> signed_bytes(Bytes noise_static_key) {
  std::vector<std::uint8_t> bytes;
  append_bytes(bytes, as_bytes(signature_prefix));
  append_bytes(bytes, noise_static_key);
  return bytes;
}

tl::unexpected<Error> bad_payload(const char* what) {
  return fail(ErrorCode::malformed, "noise payload", what);
}

}  // namespace

std::vector<std::uint8_t> format_noise_payload(const Identity& identity, Bytes noise_static_key,
                                               std::span<const std::string_view> muxers) {
  std::vector<std::uint8_t> payload;
  append_field(payload, 1, format_key_message(KeyType::ed25519, identity.public_key()));
  append_field(payload, 2, identity.sign(signed_bytes(noise_static_key)));
  std::vector<std::uint8_t> extensions;
  for (const std::string_view muxer : muxers) append_field(extensions, 2, as_bytes(muxer));
  if (!muxers.empty()) append_field(payload, 4, extensions);
  return payload;
}

Expected<NoisePeer> parse_noise_payload(Bytes payload, Bytes noise_static_key) {
  Bytes key;
  Bytes signature;
  NoisePeer peer;
  FieldReader reader(payload);
  for (Field field; reader.next(field);) {
    if (!field.is_bytes) continue;
    if (field.number == 1) key = field.bytes;
    if (field.number == 2) signature = field.bytes;
    if (field.number != 4) continue;
    FieldReader extensions(field.bytes);
    for (Field extension; extensions.next(extension);) {
      if (extension.number != 2 || !extension.is_bytes) continue;
      if (peer.muxers.size() == muxers_max) return bad_payload("over 16 muxers");
      peer.muxers.emplace_back(as_text(extension.bytes));
    }
    if (extensions.is_malformed()) return bad_payload("bad extensions");
  }
  if (reader.is_malformed() || key.empty() || signature.empty())
    return bad_payload("not a handshake payload");
  const auto id = peer_id_of(key);
  if (!id) return tl::make_unexpected(id.error());
  const auto verified = verify(key, signed_bytes(noise_static_key), signature);
  if (!verified) return tl::make_unexpected(verified.error());
  peer.peer = *id;
  return peer;
}

}  // namespace corelay::libp2p
