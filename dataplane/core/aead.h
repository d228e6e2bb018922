/// AES-128-GCM with 12-byte nonces and 16-byte tags, two ways: libipsec-mb's direct calls and OpenSSL's EVP. Both give
/// the same bytes; the second is the fallback where the first has no path for the CPU, and its oracle in tests.
///
/// Keys live in numbered slots, expanded; all memory is taken in the constructor. One owner thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "codec/bytes.h"
#include "dataplane/session_keys.h"

namespace corelay::dataplane {

inline constexpr std::size_t aead_tag_bytes = 16;

enum class AeadBackend : std::uint8_t { ipsec_mb, openssl };

/// "ipsec-mb" or "openssl".
[[nodiscard]] std::string_view aead_backend_name(AeadBackend backend) noexcept;

/// ipsec_mb where the CPU has AES-NI and carry-less multiply and the library's own self test passes, else openssl.
[[nodiscard]] AeadBackend probe_aead_backend() noexcept;

class Aead {
 public:
  /// `slots` empty slots. The CPU must have what the backend needs (probe_aead_backend()).
  Aead(AeadBackend backend, std::size_t slots);
  ~Aead();
  Aead(const Aead&) = delete;
  Aead& operator=(const Aead&) = delete;

  /// Puts a key into slot `slot`, in place of what was there.
  void set_key(std::size_t slot, const AeadKey& key) noexcept;

  /// Overwrites the expanded key of a slot.
  void wipe(std::size_t slot) noexcept;

  /// Writes the ciphertext of `plain` and the tag behind it at `out` (plain.size() + 16 bytes, not overlapping).
  /// Cost at 1,376 bytes: bench/aead_bench.
  void seal(std::size_t slot, const AeadIv& nonce, Bytes associated, Bytes plain, std::uint8_t* out) noexcept;

  /// Decrypts `text` in place; false when the 16 bytes at `tag` are not its tag, and then `text` holds rubbish.
  [[nodiscard]] bool open(std::size_t slot, const AeadIv& nonce, Bytes associated, MutableBytes text,
                          const std::uint8_t* tag) noexcept;

 private:
  class IpsecMb;
  class Openssl;
  std::unique_ptr<IpsecMb> ipsec_mb_;  // exactly one of the two
  std::unique_ptr<Openssl> openssl_;
};

}  // namespace corelay::dataplane
