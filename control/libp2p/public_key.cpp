#include "control/libp2p/public_key.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>
#include <sodium.h>

#include <array>
#include <memory>
#include <string>

#include "control/libp2p/fields.h"

namespace corelay::libp2p {
namespace {

constexpr std::size_t identity_bytes_max = 42;  // longer keys are hashed into the peer id
constexpr std::size_t key_bytes_max = 2048;

struct Free {
  void operator()(EVP_PKEY* key) const noexcept { EVP_PKEY_free(key); }
  void operator()(EVP_PKEY_CTX* context) const noexcept { EVP_PKEY_CTX_free(context); }
  void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
};
using Key = std::unique_ptr<EVP_PKEY, Free>;

Key secp256k1_key(Bytes point) {
  if (point.size() != 33 && point.size() != 65) return nullptr;
  std::string group = "secp256k1";
  std::vector<std::uint8_t> copy(point.begin(), point.end());
  const std::array<OSSL_PARAM, 3> params{
      OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group.data(), group.size()),
      OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, copy.data(), copy.size()),
      OSSL_PARAM_construct_end()};
  const std::unique_ptr<EVP_PKEY_CTX, Free> context(
      EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr));
  EVP_PKEY* key = nullptr;
  if (!context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY,
                        const_cast<OSSL_PARAM*>(params.data())) != 1) {
    return nullptr;
  }
  return Key(key);
}

/// RSA and ECDSA keys are a DER SubjectPublicKeyInfo.
Key der_key(Bytes der, int type) {
  const std::uint8_t* at = der.data();
  Key key(d2i_PUBKEY(nullptr, &at, static_cast<long>(der.size())));
  if (!key || at != der.data() + der.size() || EVP_PKEY_get_base_id(key.get()) != type)
    return nullptr;
  const int bits = EVP_PKEY_get_bits(key.get());
  if (type == EVP_PKEY_RSA && (bits < 2048 || bits > 8192)) return nullptr;
  return key;
}

bool verify_sha256(EVP_PKEY* key, Bytes message, Bytes signature) {
  const std::unique_ptr<EVP_MD_CTX, Free> context(EVP_MD_CTX_new());
  return context && EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key) == 1 &&
         EVP_DigestVerify(context.get(), signature.data(), signature.size(), message.data(),
                          message.size()) == 1;
}

tl::unexpected<Error> bad_key(std::string what) {
  return fail(ErrorCode::malformed, "public key", std::move(what));
}

}  // namespace

Expected<KeyMessage> parse_key_message(Bytes message) {
  KeyMessage key;
  bool has_type = false;
  bool has_data = false;
  FieldReader reader(message);
  for (Field field; reader.next(field);) {
    if (field.number == 1 && !field.is_bytes) {
      if (field.value > 3) return bad_key("unknown key type " + std::to_string(field.value));
      key.type = static_cast<KeyType>(field.value);
      has_type = true;
    } else if (field.number == 2 && field.is_bytes) {
      key.data = field.bytes;
      has_data = true;
    }
  }
  if (reader.is_malformed() || !has_type || !has_data) return bad_key("not a key message");
  if (key.data.size() > key_bytes_max) return bad_key("key over 2048 bytes");
  return key;
}

std::vector<std::uint8_t> format_key_message(KeyType type, Bytes data) {
  std::vector<std::uint8_t> message;
  append_field(message, 1, static_cast<std::uint64_t>(type));
  append_field(message, 2, data);
  return message;
}

Expected<PeerId> peer_id_of(Bytes public_key_message) {
  const auto key = parse_key_message(public_key_message);
  if (!key) return tl::make_unexpected(key.error());
  // Hash the canonical form, so that one key has one id however its message was written.
  const std::vector<std::uint8_t> canonical = format_key_message(key->type, key->data);
  std::vector<std::uint8_t> multihash;
  if (canonical.size() <= identity_bytes_max) {
    multihash = {0x00, static_cast<std::uint8_t>(canonical.size())};
    append_bytes(multihash, canonical);
  } else {
    multihash = {0x12, 0x20};
    multihash.resize(34);
    crypto_hash_sha256(multihash.data() + 2, canonical.data(), canonical.size());
  }
  return PeerId::from_bytes(multihash);
}

Expected<void> verify(Bytes public_key_message, Bytes message, Bytes signature) {
  const auto key = parse_key_message(public_key_message);
  if (!key) return tl::make_unexpected(key.error());
  bool holds = false;
  if (key->type == KeyType::ed25519) {
    if (key->data.size() != crypto_sign_PUBLICKEYBYTES)
      return bad_key("Ed25519 key is not 32 bytes");
    holds = signature.size() == crypto_sign_BYTES &&
            crypto_sign_verify_detached(signature.data(), message.data(), message.size(),
                                        key->data.data()) == 0;
  } else {
    const Key parsed = key->type == KeyType::secp256k1 ? secp256k1_key(key->data)
                       : key->type == KeyType::rsa     ? der_key(key->data, EVP_PKEY_RSA)
                                                       : der_key(key->data, EVP_PKEY_EC);
    if (!parsed) return bad_key("key data does not follow its type");
    holds = verify_sha256(parsed.get(), message, signature);
  }
  if (!holds) return fail(ErrorCode::unauthenticated, "public key", "signature does not hold");
  return {};
}

}  // namespace corelay::libp2p
