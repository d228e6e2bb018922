/// Noise_XX_25519_ChaChaPoly_SHA256, the handshake and the cipher it ends in, without I/O.
///   1  dialer    e
///   2  listener  e, ee, s, es, payload
///   3  dialer    s, se, payload
/// The payloads are the caller's (control/libp2p/noise_payload.h). OpenSSL does ChaCha20-Poly1305
/// and SHA-256 (4.4 GB/s at 16 KiB on one core with AVX-512), libsodium X25519.
/// Source: https://noiseprotocol.org/noise.html revision 34; https://github.com/libp2p/specs/tree/master/noise.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "codec/bytes.h"
#include "codec/expected.h"
#include "control/libp2p/multistream.h"

struct evp_cipher_ctx_st;

namespace corelay::libp2p {

using Key32 = std::array<std::uint8_t, 32>;

inline constexpr std::size_t noise_tag_bytes = 16;
inline constexpr std::size_t noise_message_bytes_max = 65535;
inline constexpr std::size_t noise_plain_bytes_max = noise_message_bytes_max - noise_tag_bytes;

/// An X25519 key pair.
struct NoiseKeys {
  Key32 secret{};
  Key32 public_key{};
  [[nodiscard]] static NoiseKeys generate();
  [[nodiscard]] static NoiseKeys from_secret(const Key32& secret);
};

/// ChaCha20-Poly1305 under one key; the caller counts nonces.
class NoiseCipher {
 public:
  explicit NoiseCipher(const Key32& key);
  /// Encrypts `text` in place and writes its tag (16 bytes). False where the library fails.
  [[nodiscard]] bool seal(std::uint64_t nonce, Bytes associated, MutableBytes text,
                          std::uint8_t* tag) noexcept;
  /// Decrypts `text` in place. False where the tag does not hold; `text` is then worthless.
  [[nodiscard]] bool open(std::uint64_t nonce, Bytes associated, MutableBytes text,
                          const std::uint8_t* tag) noexcept;

 private:
  struct Free {
    void operator()(evp_cipher_ctx_st* context) const noexcept;
  };
  bool start(std::uint64_t nonce, Bytes associated, bool is_sealing) noexcept;
  std::unique_ptr<evp_cipher_ctx_st, Free> context_;
};

/// The keys of a finished handshake, from our point of view.
struct NoiseSecrets {
  Key32 send{};
  Key32 receive{};
  Key32 handshake_hash{};
};

class NoiseHandshake {
 public:
  NoiseHandshake(Role role, const NoiseKeys& static_keys, const NoiseKeys& ephemeral_keys,
                 Bytes prologue = {});

  /// True while the next message is ours to write.
  [[nodiscard]] bool is_our_turn() const noexcept;
  [[nodiscard]] bool is_done() const noexcept { return message_ == 3; }
  /// The next message, with `payload` inside (encrypted in messages 2 and 3). Only when
  /// is_our_turn(). Errors: unauthenticated (an all-zero shared secret), too_large.
  [[nodiscard]] Expected<std::vector<std::uint8_t>> write_message(Bytes payload);
  /// Reads the peer's message and returns its payload. Errors: malformed (short), unauthenticated.
  [[nodiscard]] Expected<std::vector<std::uint8_t>> read_message(Bytes message);

  /// The peer's static key: known to a dialer after message 2, to a listener after message 3.
  [[nodiscard]] const Key32& remote_static() const noexcept { return remote_static_; }
  /// Once is_done().
  [[nodiscard]] NoiseSecrets secrets() const;

 private:
  void mix_hash(Bytes data);
  void mix_key(Bytes secret);
  [[nodiscard]] Expected<void> mix_dh(const Key32& secret, const Key32& point);
  [[nodiscard]] Expected<void> append_sealed(std::vector<std::uint8_t>& to, Bytes plain);
  [[nodiscard]] Expected<std::vector<std::uint8_t>> open_sealed(Bytes sealed);

  Role role_;
  NoiseKeys static_;
  NoiseKeys ephemeral_;
  Key32 remote_static_{};
  Key32 remote_ephemeral_{};
  Key32 hash_{};
  Key32 chaining_key_{};
  std::optional<NoiseCipher> cipher_;
  std::uint64_t nonce_ = 0;
  int message_ = 0;  // messages done, 0..3
};

}  // namespace corelay::libp2p
