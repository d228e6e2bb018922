// The two AES-128-GCM backends. The direct calls of libipsec-mb cost about 90 ns for a full packet where the CPU has
// VAES; EVP about 550 ns, most of it per call.
#include "dataplane/core/aead.h"

#include <intel-ipsec-mb.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <vector>

#include "codec/check.h"

namespace corelay::dataplane {
namespace {

struct FreeMgr {
  void operator()(IMB_MGR* mgr) const noexcept { free_mb_mgr(mgr); }
};
using Mgr = std::unique_ptr<IMB_MGR, FreeMgr>;

Mgr make_mgr() noexcept {
  Mgr mgr(alloc_mb_mgr(0));
  if (mgr != nullptr) {
    IMB_ARCH arch = IMB_ARCH_NONE;
    init_mb_mgr_auto(mgr.get(), &arch);
  }
  return mgr;
}

}  // namespace

class Aead::IpsecMb {
 public:
  explicit IpsecMb(std::size_t slots) : mgr_(make_mgr()), slots_(slots) {
    CHECK(mgr_ != nullptr && imb_get_errno(mgr_.get()) == 0);
  }
  ~IpsecMb() {
    for (std::size_t slot = 0; slot != slots_.size(); ++slot) wipe(slot);
  }
  IpsecMb(const IpsecMb&) = delete;
  IpsecMb& operator=(const IpsecMb&) = delete;

  void set_key(std::size_t slot, const AeadKey& key) noexcept {
    IMB_AES128_GCM_PRE(mgr_.get(), key.data(), &slots_[slot].data);
  }

  void wipe(std::size_t slot) noexcept { OPENSSL_cleanse(&slots_[slot], sizeof(Slot)); }

  void seal(std::size_t slot, const AeadIv& nonce, Bytes associated, Bytes plain,
            std::uint8_t* out) noexcept {
    IMB_AES128_GCM_ENC(mgr_.get(), &slots_[slot].data, &context_, out, plain.data(), plain.size(), nonce.data(),
                       associated.data(), associated.size(), out + plain.size(), aead_tag_bytes);
  }

  bool open(std::size_t slot, const AeadIv& nonce, Bytes associated, MutableBytes text,
            const std::uint8_t* tag) noexcept {
    std::array<std::uint8_t, aead_tag_bytes> computed;
    IMB_AES128_GCM_DEC(mgr_.get(), &slots_[slot].data, &context_, text.data(), text.data(), text.size(), nonce.data(),
                       associated.data(), associated.size(), computed.data(), aead_tag_bytes);
    return CRYPTO_memcmp(computed.data(), tag, aead_tag_bytes) == 0;
  }

 private:
  struct alignas(64) Slot {  // the library's header leaves the alignment its code needs to its own build
    gcm_key_data data{};
  };
  Mgr mgr_;
  std::vector<Slot> slots_;
  alignas(64) gcm_context_data context_{};
};

class Aead::Openssl {
 public:
  explicit Openssl(std::size_t slots) : cipher_(EVP_CIPHER_fetch(nullptr, "AES-128-GCM", nullptr)) {
    CHECK(cipher_ != nullptr);
    contexts_.resize(slots);
    for (EVP_CIPHER_CTX*& context : contexts_) {
      context = EVP_CIPHER_CTX_new();
      CHECK(context != nullptr);
      // Both directions once, so that nothing is left to allocate later.
      CHECK(EVP_EncryptInit_ex2(context, cipher_, AeadKey{}.data(), AeadIv{}.data(), nullptr) == 1);
      CHECK(EVP_DecryptInit_ex2(context, nullptr, nullptr, AeadIv{}.data(), nullptr) == 1);
    }
  }
  ~Openssl() {
    for (EVP_CIPHER_CTX* context : contexts_) EVP_CIPHER_CTX_free(context);
    EVP_CIPHER_free(cipher_);
  }
  Openssl(const Openssl&) = delete;
  Openssl& operator=(const Openssl&) = delete;

  void set_key(std::size_t slot, const AeadKey& key) noexcept {
    CHECK(EVP_EncryptInit_ex2(contexts_[slot], nullptr, key.data(), nullptr, nullptr) == 1);
  }

  void wipe(std::size_t slot) noexcept { set_key(slot, AeadKey{}); }

  void seal(std::size_t slot, const AeadIv& nonce, Bytes associated, Bytes plain,
            std::uint8_t* out) noexcept {
    EVP_CIPHER_CTX* const context = contexts_[slot];
    int bytes = 0;
    bool ok = EVP_EncryptInit_ex2(context, nullptr, nullptr, nonce.data(), nullptr) == 1;
    if (!associated.empty()) {
      ok = ok && EVP_EncryptUpdate(context, nullptr, &bytes, associated.data(), int_size(associated)) == 1;
    }
    if (!plain.empty()) ok = ok && EVP_EncryptUpdate(context, out, &bytes, plain.data(), int_size(plain)) == 1;
    ok = ok && EVP_EncryptFinal_ex(context, out + plain.size(), &bytes) == 1;
    ok = ok && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, aead_tag_bytes, out + plain.size()) == 1;
    CHECK(ok);
  }

  bool open(std::size_t slot, const AeadIv& nonce, Bytes associated, MutableBytes text,
            const std::uint8_t* tag) noexcept {
    EVP_CIPHER_CTX* const context = contexts_[slot];
    std::array<std::uint8_t, aead_tag_bytes> expected;
    std::copy_n(tag, aead_tag_bytes, expected.begin());
    int bytes = 0;
    bool ok = EVP_DecryptInit_ex2(context, nullptr, nullptr, nonce.data(), nullptr) == 1;
    ok = ok && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, aead_tag_bytes, expected.data()) == 1;
    if (!associated.empty()) {
      ok = ok && EVP_DecryptUpdate(context, nullptr, &bytes, associated.data(), int_size(associated)) == 1;
    }
    if (!text.empty()) ok = ok && EVP_DecryptUpdate(context, text.data(), &bytes, text.data(), int_size(text)) == 1;
    CHECK(ok);
    std::uint8_t none = 0;
    return EVP_DecryptFinal_ex(context, &none, &bytes) == 1;
  }

 private:
  static int int_size(Bytes bytes) noexcept { return static_cast<int>(bytes.size()); }

  EVP_CIPHER* cipher_;
  std::vector<EVP_CIPHER_CTX*> contexts_;
};

std::string_view aead_backend_name(AeadBackend backend) noexcept {
  return backend == AeadBackend::ipsec_mb ? "ipsec-mb" : "openssl";
}

AeadBackend probe_aead_backend() noexcept {
  constexpr std::uint64_t needed = IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ | IMB_FEATURE_SSE4_2;
  const Mgr mgr = make_mgr();
  if (mgr == nullptr || imb_get_errno(mgr.get()) != 0) return AeadBackend::openssl;
  if ((mgr->features & needed) != needed) return AeadBackend::openssl;
  const bool tested = (mgr->features & IMB_FEATURE_SELF_TEST) != 0;
  if (tested && (mgr->features & IMB_FEATURE_SELF_TEST_PASS) == 0) return AeadBackend::openssl;
  return AeadBackend::ipsec_mb;
}

Aead::Aead(AeadBackend backend, std::size_t slots) {
  if (backend == AeadBackend::ipsec_mb) {
    ipsec_mb_ = std::make_unique<IpsecMb>(slots);
  } else {
    openssl_ = std::make_unique<Openssl>(slots);
  }
}

Aead::~Aead() = default;

void Aead::set_key(std::size_t slot, const AeadKey& key) noexcept {
  ipsec_mb_ != nullptr ? ipsec_mb_->set_key(slot, key) : openssl_->set_key(slot, key);
}

void Aead::wipe(std::size_t slot) noexcept { ipsec_mb_ != nullptr ? ipsec_mb_->wipe(slot) : openssl_->wipe(slot); }

void Aead::seal(std::size_t slot, const AeadIv& nonce, Bytes associated, Bytes plain, std::uint8_t* out) noexcept {
  ipsec_mb_ != nullptr ? ipsec_mb_->seal(slot, nonce, associated, plain, out)
                       : openssl_->seal(slot, nonce, associated, plain, out);
}

bool Aead::open(std::size_t slot, const AeadIv& nonce, Bytes associated, MutableBytes text,
                const std::uint8_t* tag) noexcept {
  return ipsec_mb_ != nullptr ? ipsec_mb_->open(slot, nonce, associated, text, tag)
                              : openssl_->open(slot, nonce, associated, text, tag);
}

}  // namespace corelay::dataplane
