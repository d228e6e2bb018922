#include "control/libp2p/noise.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sodium.h>

#include <algorithm>
#include <string_view>

#include "codec/check.h"
#include "control/libp2p/varint.h"

namespace corelay::libp2p {
namespace {

// "If protocol_name is less than or equal to HASHLEN bytes in length, sets h equal to
// protocol_name": exactly 32 here.
constexpr std::string_view protocol_name = "Noise_XX_25519_ChaChaPoly_SHA256";
static_assert(protocol_name.size() == 32);

Key32 hmac(const Key32& key, Bytes data) {
  Key32 out;
  unsigned length = 0;
  CHECK(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), data.data(), data.size(),
             out.data(), &length) != nullptr &&
        length == out.size());
  return out;
}

/// HKDF with two outputs, as the Noise specification writes it.
std::pair<Key32, Key32> hkdf(const Key32& chaining_key, Bytes input) {
  const Key32 temporary = hmac(chaining_key, input);
  const std::uint8_t one = 1;
  const Key32 first = hmac(temporary, Bytes(&one, 1));
  std::array<std::uint8_t, 33> second_input{};
  std::ranges::copy(first, second_input.begin());
  second_input.back() = 2;
  return {first, hmac(temporary, second_input)};
}

tl::unexpected<Error> noise_error(ErrorCode code, const char* what) {
  return fail(code, "noise", what);
}

}  // namespace

NoiseKeys NoiseKeys::generate() {
  CHECK(sodium_init() >= 0);
  Key32 secret;
  randombytes_buf(secret.data(), secret.size());
  return from_secret(secret);
}

NoiseKeys NoiseKeys::from_secret(const Key32& secret) {
  NoiseKeys keys;
  keys.secret = secret;
  CHECK(crypto_scalarmult_base(keys.public_key.data(), keys.secret.data()) == 0);
  return keys;
}

void NoiseCipher::Free::operator()(evp_cipher_ctx_st* context) const noexcept {
  EVP_CIPHER_CTX_free(context);
}

NoiseCipher::NoiseCipher(const Key32& key) : context_(EVP_CIPHER_CTX_new()) {
  CHECK(context_ != nullptr);
  CHECK(EVP_CipherInit_ex(context_.get(), EVP_chacha20_poly1305(), nullptr, key.data(), nullptr,
                          1) == 1);
}

bool NoiseCipher::start(std::uint64_t nonce, Bytes associated, bool is_sealing) noexcept {
  std::array<std::uint8_t, 12> iv{};  // 32 zero bits, then the counter, little-endian
  store_le(iv.data() + 4, nonce);
  // The key stays: only the nonce and the direction change.
  if (EVP_CipherInit_ex(context_.get(), nullptr, nullptr, nullptr, iv.data(), is_sealing ? 1 : 0) !=
      1)
    return false;
  int length = 0;
  return associated.empty() || EVP_CipherUpdate(context_.get(), nullptr, &length, associated.data(),
                                                static_cast<int>(associated.size())) == 1;
}

bool NoiseCipher::seal(std::uint64_t nonce, Bytes associated, MutableBytes text,
                       std::uint8_t* tag) noexcept {
  int length = 0;
  if (!start(nonce, associated, true)) return false;
  if (!text.empty() && EVP_CipherUpdate(context_.get(), text.data(), &length, text.data(),
                                        static_cast<int>(text.size())) != 1) {
    return false;
  }
  return EVP_CipherFinal_ex(context_.get(), tag, &length) == 1 &&
         EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_GET_TAG, noise_tag_bytes, tag) == 1;
}

bool NoiseCipher::open(std::uint64_t nonce, Bytes associated, MutableBytes text,
                       const std::uint8_t* tag) noexcept {
  int length = 0;
  std::array<std::uint8_t, noise_tag_bytes> copy{};
  std::copy_n(tag, copy.size(), copy.begin());
  if (!start(nonce, associated, false)) return false;
  if (EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_SET_TAG, noise_tag_bytes, copy.data()) != 1)
    return false;
  if (!text.empty() && EVP_CipherUpdate(context_.get(), text.data(), &length, text.data(),
                                        static_cast<int>(text.size())) != 1) {
    return false;
  }
  return EVP_CipherFinal_ex(context_.get(), copy.data(), &length) == 1;
}

NoiseHandshake::NoiseHandshake(Role role, const NoiseKeys& static_keys,
                               const NoiseKeys& ephemeral_keys, Bytes prologue)
    : role_(role), static_(static_keys), ephemeral_(ephemeral_keys) {
  std::ranges::copy(as_bytes(protocol_name), hash_.begin());
  chaining_key_ = hash_;
  mix_hash(prologue);
}

bool NoiseHandshake::is_our_turn() const noexcept {
  return !is_done() && (message_ % 2 == 0) == (role_ == Role::dialer);
}

void NoiseHandshake::mix_hash(Bytes data) {
  std::vector<std::uint8_t> input(hash_.begin(), hash_.end());
  append_bytes(input, data);
  CHECK(EVP_Digest(input.data(), input.size(), hash_.data(), nullptr, EVP_sha256(), nullptr) == 1);
}

void NoiseHandshake::mix_key(Bytes secret) {
  const auto [chaining_key, key] = hkdf(chaining_key_, secret);
  chaining_key_ = chaining_key;
  cipher_.emplace(key);
  nonce_ = 0;
}

Expected<void> NoiseHandshake::mix_dh(const Key32& secret, const Key32& point) {
  Key32 shared;
  // libsodium refuses points that give an all-zero secret.
  if (crypto_scalarmult(shared.data(), secret.data(), point.data()) != 0) {
    return noise_error(ErrorCode::unauthenticated, "the peer's key gives no secret");
  }
  mix_key(shared);
  sodium_memzero(shared.data(), shared.size());
  return {};
}

Expected<void> NoiseHandshake::append_sealed(std::vector<std::uint8_t>& to, Bytes plain) {
  const std::size_t at = to.size();
  append_bytes(to, plain);
  if (cipher_) {
    to.resize(to.size() + noise_tag_bytes);
    const MutableBytes text(to.data() + at, plain.size());
    if (!cipher_->seal(nonce_++, hash_, text, to.data() + at + plain.size())) {
      return noise_error(ErrorCode::internal, "encryption failed");
    }
  }
  mix_hash(Bytes(to).subspan(at));
  return {};
}

Expected<std::vector<std::uint8_t>> NoiseHandshake::open_sealed(Bytes sealed) {
  std::vector<std::uint8_t> plain(sealed.begin(), sealed.end());
  if (cipher_) {
    if (sealed.size() < noise_tag_bytes)
      return noise_error(ErrorCode::malformed, "message too short");
    plain.resize(sealed.size() - noise_tag_bytes);
    if (!cipher_->open(nonce_++, hash_, plain, sealed.data() + plain.size())) {
      return noise_error(ErrorCode::unauthenticated, "a handshake message does not authenticate");
    }
  }
  mix_hash(sealed);
  return plain;
}

Expected<std::vector<std::uint8_t>> NoiseHandshake::write_message(Bytes payload) {
  CHECK(is_our_turn());
  std::vector<std::uint8_t> message;
  Expected<void> outcome;
  if (message_ < 2) {
    append_bytes(message, ephemeral_.public_key);
    mix_hash(ephemeral_.public_key);
  }
  if (message_ == 1) {
    outcome = mix_dh(ephemeral_.secret, remote_ephemeral_);             // ee
    if (outcome) outcome = append_sealed(message, static_.public_key);  // s
    if (outcome) outcome = mix_dh(static_.secret, remote_ephemeral_);   // es
  } else if (message_ == 2) {
    outcome = append_sealed(message, static_.public_key);              // s
    if (outcome) outcome = mix_dh(static_.secret, remote_ephemeral_);  // se
  }
  if (outcome) outcome = append_sealed(message, payload);
  if (!outcome) return tl::make_unexpected(outcome.error());
  if (message.size() > noise_message_bytes_max)
    return noise_error(ErrorCode::too_large, "message over 65535 bytes");
  ++message_;
  return message;
}

Expected<std::vector<std::uint8_t>> NoiseHandshake::read_message(Bytes message) {
  CHECK(!is_our_turn() && !is_done());
  constexpr std::size_t sealed_key_bytes = 32 + noise_tag_bytes;
  const std::size_t keys_bytes = message_ == 0   ? 32
                                 : message_ == 1 ? 32 + sealed_key_bytes
                                                 : sealed_key_bytes;
  if (message.size() < keys_bytes) return noise_error(ErrorCode::malformed, "message too short");
  if (message_ < 2) {
    std::ranges::copy(message.first(32), remote_ephemeral_.begin());
    message = message.subspan(32);
    mix_hash(remote_ephemeral_);
  }
  if (message_ > 0) {
    if (message_ == 1) {
      const auto mixed = mix_dh(ephemeral_.secret, remote_ephemeral_);  // ee
      if (!mixed) return tl::make_unexpected(mixed.error());
    }
    const auto key = open_sealed(message.first(sealed_key_bytes));  // s
    if (!key) return key;
    std::ranges::copy(*key, remote_static_.begin());
    const auto mixed = mix_dh(ephemeral_.secret, remote_static_);  // es or se
    if (!mixed) return tl::make_unexpected(mixed.error());
    message = message.subspan(sealed_key_bytes);
  }
  auto payload = open_sealed(message);
  if (payload) ++message_;
  return payload;
}

NoiseSecrets NoiseHandshake::secrets() const {
  CHECK(is_done());
  const auto [from_dialer, from_listener] = hkdf(chaining_key_, {});
  NoiseSecrets secrets{from_dialer, from_listener, hash_};
  if (role_ == Role::listener) std::swap(secrets.send, secrets.receive);
  return secrets;
}

}  // namespace corelay::libp2p
