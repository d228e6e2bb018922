#include "control/libp2p/identify.h"

#include <span>
#include <utility>

#include "control/libp2p/fields.h"
#include "control/libp2p/peer_record.h"
#include "control/libp2p/public_key.h"

namespace corelay::libp2p {
namespace {

constexpr std::size_t protocols_max = 256;
constexpr std::size_t addresses_max = 64;
constexpr std::size_t text_bytes_max = 256;

std::vector<std::uint8_t> format_with(const Identity& identity, const PeerIdentity& ours,
                                      const std::optional<Multiaddr>& observed,
                                      std::uint64_t sequence, std::size_t address_count,
                                      std::size_t protocol_count) {
  const std::span<const Multiaddr> addresses =
      std::span(ours.listen_addresses).first(address_count);
  std::vector<std::uint8_t> message;
  append_field(message, 1, format_key_message(KeyType::ed25519, identity.public_key()));
  for (const Multiaddr& address : addresses) append_field(message, 2, address.bytes());
  for (std::size_t i = 0; i < protocol_count; ++i)
    append_field(message, 3, as_bytes(ours.protocols[i]));
  if (observed) append_field(message, 4, observed->bytes());
  append_field(message, 5, as_bytes(ours.protocol_version));
  append_field(message, 6, as_bytes(ours.agent_version));
  append_field(message, 8, seal_peer_record(identity, sequence, addresses));
  return message;
}

std::string cut(Bytes text) {
  return std::string(as_text(text.first(std::min(text.size(), text_bytes_max))));
}

}  // namespace

std::vector<std::uint8_t> format_identify(const Identity& identity, const PeerIdentity& ours,
                                          const std::optional<Multiaddr>& observed,
                                          std::uint64_t sequence) {
  std::size_t address_count = ours.listen_addresses.size();
  std::size_t protocol_count = ours.protocols.size();
  while (true) {
    std::vector<std::uint8_t> message =
        format_with(identity, ours, observed, sequence, address_count, protocol_count);
    if (message.size() <= identify_sent_bytes_max || (address_count == 0 && protocol_count == 0))
      return message;
    // Halving: each try signs, and a host with a hundred interfaces should not sign a hundred
    // times.
    if (address_count > 1 || protocol_count == 0) {
      address_count /= 2;
    } else {
      protocol_count /= 2;
    }
  }
}

Expected<void> merge_identify(Bytes message, const PeerId& peer_id, PeerIdentity& peer) {
  PeerIdentity merged = peer;
  std::vector<Multiaddr> plain;
  std::vector<std::string> protocols;
  Bytes signed_record;
  FieldReader reader(message);
  for (Field field; reader.next(field);) {
    if (!field.is_bytes) continue;
    switch (field.number) {
      case 2: {
        const auto address = Multiaddr::from_bytes(field.bytes);
        if (address && plain.size() < addresses_max) plain.push_back(*address);
        break;
      }
      case 3:
        if (field.bytes.size() <= text_bytes_max && protocols.size() < protocols_max) {
          protocols.emplace_back(as_text(field.bytes));
        }
        break;
      case 5:
        merged.protocol_version = cut(field.bytes);
        break;
      case 6:
        merged.agent_version = cut(field.bytes);
        break;
      case 8:
        signed_record = field.bytes;
        break;
      default:
        break;  // publicKey says nothing that Noise did not prove
    }
  }
  if (reader.is_malformed())
    return fail(ErrorCode::malformed, "identify", "not an identify message");
  if (!protocols.empty()) merged.protocols = std::move(protocols);
  if (!plain.empty()) merged.listen_addresses = std::move(plain);
  if (!signed_record.empty()) {
    auto record = open_peer_record(signed_record);
    if (record && record->peer == peer_id) merged.listen_addresses = std::move(record->addresses);
  }
  peer = std::move(merged);
  return {};
}

}  // namespace corelay::libp2p
