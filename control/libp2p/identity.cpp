#include "control/libp2p/identity.h"

#include <sodium.h>

#include <algorithm>

#include "codec/check.h"
#include "control/libp2p/base_text.h"
#include "control/libp2p/public_key.h"
#include "control/libp2p/varint.h"

namespace corelay::libp2p {
namespace {

constexpr std::uint64_t multihash_identity = 0x00;
constexpr std::uint64_t multihash_sha256 = 0x12;
constexpr std::uint64_t cid_codec_libp2p_key = 0x72;
constexpr std::array<std::uint8_t, 6> ed25519_prefix{0x00, 0x24, 0x08, 0x01, 0x12, 0x20};

tl::unexpected<Error> bad_id(std::string what) {
  return fail(ErrorCode::malformed, "peer id", std::move(what));
}

/// CIDv1 of a libp2p key: version 1, codec 0x72, multihash.
Expected<PeerId> from_cid(Bytes cid) {
  const Varint version = read_varint(cid);
  if (version.status != VarintStatus::done || version.value != 1) return bad_id("not a CIDv1");
  const Varint codec = read_varint(cid.subspan(version.bytes));
  if (codec.status != VarintStatus::done || codec.value != cid_codec_libp2p_key) {
    return bad_id("CID is not of a libp2p key");
  }
  return PeerId::from_bytes(cid.subspan(version.bytes + codec.bytes));
}

}  // namespace

Expected<PeerId> PeerId::from_bytes(Bytes multihash) {
  const Varint code = read_varint(multihash);
  if (code.status != VarintStatus::done) return bad_id("not a multihash");
  const Varint length = read_varint(multihash.subspan(code.bytes));
  if (length.status != VarintStatus::done ||
      multihash.size() - code.bytes - length.bytes != length.value) {
    return bad_id("multihash length does not match");
  }
  const bool is_known =
      (code.value == multihash_identity && length.value >= 1 && length.value <= 42) ||
      (code.value == multihash_sha256 && length.value == 32);
  if (!is_known) return bad_id("neither an identity nor a SHA-256 multihash");
  PeerId id;
  id.bytes_.assign(multihash.begin(), multihash.end());
  return id;
}

Expected<PeerId> PeerId::parse(std::string_view text) {
  if (text.empty()) return bad_id("empty");
  const bool is_bare = text.front() == '1' || text.starts_with("Qm");
  std::optional<std::vector<std::uint8_t>> bytes;
  if (is_bare || text.front() == 'z') {
    bytes = from_base58(is_bare ? text : text.substr(1));
    if (!bytes) return bad_id("not base58btc: " + std::string(text.substr(0, 80)));
  } else if (text.front() == 'b') {
    bytes = from_base32(text.substr(1));
    if (!bytes) return bad_id("not base32: " + std::string(text.substr(0, 80)));
  } else {
    return bad_id("expected 12D3Koo..., 16Uiu2..., Qm... or a CIDv1 (bafz...): " +
                  std::string(text.substr(0, 80)));
  }
  return is_bare ? from_bytes(*bytes) : from_cid(*bytes);
}

PeerId PeerId::from_ed25519(Bytes public_key) {
  CHECK(public_key.size() == crypto_sign_PUBLICKEYBYTES);
  PeerId id;
  id.bytes_.resize(ed25519_prefix.size() + public_key.size());
  std::ranges::copy(public_key, std::ranges::copy(ed25519_prefix, id.bytes_.begin()).out);
  return id;
}

std::string PeerId::text() const { return to_base58(bytes_); }

Bytes PeerId::ed25519_key() const noexcept {
  if (bytes_.size() != ed25519_prefix.size() + crypto_sign_PUBLICKEYBYTES) return {};
  if (!std::equal(ed25519_prefix.begin(), ed25519_prefix.end(), bytes_.begin())) return {};
  return Bytes(bytes_).subspan(ed25519_prefix.size());
}

std::size_t PeerIdHash::operator()(const PeerId& id) const noexcept {
  return std::hash<std::string_view>{}(as_text(id.bytes()));
}

Identity Identity::generate() {
  CHECK(sodium_init() >= 0);
  std::array<std::uint8_t, 32> seed{};
  randombytes_buf(seed.data(), seed.size());
  Identity identity = from_seed(seed);
  sodium_memzero(seed.data(), seed.size());
  return identity;
}

Identity Identity::from_seed(const std::array<std::uint8_t, 32>& seed) {
  CHECK(sodium_init() >= 0);
  Identity identity;
  crypto_sign_seed_keypair(identity.public_key_.data(), identity.secret_key_.data(), seed.data());
  identity.peer_id_ = PeerId::from_ed25519(identity.public_key_);
  return identity;
}

std::array<std::uint8_t, 64> Identity::sign(Bytes message) const {
  std::array<std::uint8_t, 64> signature{};
  crypto_sign_detached(signature.data(), nullptr, message.data(), message.size(),
                       secret_key_.data());
  return signature;
}

}  // namespace corelay::libp2p
