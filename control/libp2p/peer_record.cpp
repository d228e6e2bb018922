#include "control/libp2p/peer_record.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "control/libp2p/fields.h"
#include "control/libp2p/public_key.h"

namespace corelay::libp2p {
namespace {

constexpr std::size_t addresses_max = 64;

struct RecordForm {
  std::string_view domain;
  std::string_view payload_type;
};
constexpr std::array<RecordForm, 2> forms{
    {{"libp2p-peer-record", "\x03\x01"}, {"libp2p-routing-state", "/libp2p/routing-state-record"}}};

std::vector<std::uint8_t> signed_bytes(const RecordForm& form, Bytes payload) {
  std::vector<std::uint8_t> bytes;
  for (const Bytes part : {as_bytes(form.domain), as_bytes(form.payload_type), payload}) {
    append_varint(bytes, part.size());
    append_bytes(bytes, part);
  }
  return bytes;
}

tl::unexpected<Error> bad_record(const char* what) {
  return fail(ErrorCode::malformed, "peer record", what);
}

Expected<PeerRecord> parse_payload(Bytes payload) {
  PeerRecord record;
  FieldReader reader(payload);
  for (Field field; reader.next(field);) {
    if (field.number == 1 && field.is_bytes) {
      const auto peer = PeerId::from_bytes(field.bytes);
      if (!peer) return tl::make_unexpected(peer.error());
      record.peer = *peer;
    } else if (field.number == 2 && !field.is_bytes) {
      record.sequence = field.value;
    } else if (field.number == 3 && field.is_bytes && record.addresses.size() < addresses_max) {
      FieldReader info(field.bytes);
      for (Field inner; info.next(inner);) {
        if (inner.number != 1 || !inner.is_bytes) continue;
        const auto address = Multiaddr::from_bytes(inner.bytes);
        if (address) record.addresses.push_back(*address);
      }
    }
  }
  if (reader.is_malformed() || record.peer.is_empty()) return bad_record("not a record");
  return record;
}

}  // namespace

std::vector<std::uint8_t> seal_peer_record(const Identity& identity, std::uint64_t sequence,
                                           std::span<const Multiaddr> addresses) {
  std::vector<std::uint8_t> payload;
  append_field(payload, 1, identity.peer_id().bytes());
  append_field(payload, 2, sequence);
  for (const Multiaddr& address : addresses) {
    std::vector<std::uint8_t> info;
    append_field(info, 1, address.bytes());
    append_field(payload, 3, info);
  }
  std::vector<std::uint8_t> envelope;
  append_field(envelope, 1, format_key_message(KeyType::ed25519, identity.public_key()));
  append_field(envelope, 2, as_bytes(forms[0].payload_type));
  append_field(envelope, 3, payload);
  append_field(envelope, 5, identity.sign(signed_bytes(forms[0], payload)));
  return envelope;
}

Expected<PeerRecord> open_peer_record(Bytes envelope) {
  Bytes key;
  Bytes type;
  Bytes payload;
  Bytes signature;
  FieldReader reader(envelope);
  for (Field field; reader.next(field);) {
    if (!field.is_bytes) continue;
    if (field.number == 1) key = field.bytes;
    if (field.number == 2) type = field.bytes;
    if (field.number == 3) payload = field.bytes;
    if (field.number == 5) signature = field.bytes;
  }
  if (reader.is_malformed()) return bad_record("not an envelope");
  const auto* form = std::ranges::find(forms, as_text(type), &RecordForm::payload_type);
  if (form == forms.end()) return bad_record("unknown payload type");
  const auto verified = verify(key, signed_bytes(*form, payload), signature);
  if (!verified) return tl::make_unexpected(verified.error());
  auto record = parse_payload(payload);
  if (!record) return record;
  const auto signer = peer_id_of(key);
  if (!signer || *signer != record->peer) {
    return fail(ErrorCode::unauthenticated, "peer record",
                "signed by another peer than it is about");
  }
  return record;
}

}  // namespace corelay::libp2p
