#include "control/gateway/jwt.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include <nlohmann/json.hpp>

#include "control/gateway/text.h"

namespace corelay::gateway {
namespace {

using nlohmann::json;

constexpr std::size_t token_bytes_max = 16384;
constexpr std::size_t jwks_bytes_max = 1u << 20;
constexpr std::size_t keys_max = 64;
constexpr std::size_t coordinate_bytes = 32;
constexpr std::size_t rsa_bytes_min = 256;  // 2,048 bits
constexpr std::size_t rsa_bytes_max = 1024;

template <auto Free>
struct Deleter {
  template <class T>
  void operator()(T* pointer) const {
    Free(pointer);
  }
};
using Number = std::unique_ptr<BIGNUM, Deleter<BN_free>>;
using Params = std::unique_ptr<OSSL_PARAM, Deleter<OSSL_PARAM_free>>;
using ParamBuild = std::unique_ptr<OSSL_PARAM_BLD, Deleter<OSSL_PARAM_BLD_free>>;
using KeyContext = std::unique_ptr<EVP_PKEY_CTX, Deleter<EVP_PKEY_CTX_free>>;
using DigestContext = std::unique_ptr<EVP_MD_CTX, Deleter<EVP_MD_CTX_free>>;

const unsigned char* bytes_of(const std::string& text) { return reinterpret_cast<const unsigned char*>(text.data()); }

tl::unexpected<Error> refused(std::string what) { return fail(ErrorCode::unauthenticated, "token", std::move(what)); }

std::string text_of(const json& object, const char* field) {
  const auto at = object.find(field);
  return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}

std::shared_ptr<EVP_PKEY> key_from(const char* type, OSSL_PARAM_BLD* build) {
  const Params params(OSSL_PARAM_BLD_to_param(build));
  const KeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  if (!params || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, params.get()) != 1) {
    return nullptr;
  }
  return {key, EVP_PKEY_free};
}

std::shared_ptr<EVP_PKEY> rsa_key(const json& from) {
  const auto n = decode_base64url(text_of(from, "n"));
  const auto e = decode_base64url(text_of(from, "e"));
  if (!n || !e || n->size() < rsa_bytes_min || n->size() > rsa_bytes_max || e->empty() || e->size() > 8) return nullptr;
  const Number modulus(BN_bin2bn(bytes_of(*n), static_cast<int>(n->size()), nullptr));
  const Number exponent(BN_bin2bn(bytes_of(*e), static_cast<int>(e->size()), nullptr));
  const ParamBuild build(OSSL_PARAM_BLD_new());
  if (!build || OSSL_PARAM_BLD_push_BN(build.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get()) != 1 ||
      OSSL_PARAM_BLD_push_BN(build.get(), OSSL_PKEY_PARAM_RSA_E, exponent.get()) != 1) {
    return nullptr;
  }
  return key_from("RSA", build.get());
}

std::shared_ptr<EVP_PKEY> ec_key(const json& from) {
  const auto x = decode_base64url(text_of(from, "x"));
  const auto y = decode_base64url(text_of(from, "y"));
  if (!x || !y || x->size() != coordinate_bytes || y->size() != coordinate_bytes) return nullptr;
  const std::string point = "\x04" + *x + *y;
  const ParamBuild build(OSSL_PARAM_BLD_new());
  if (!build || OSSL_PARAM_BLD_push_utf8_string(build.get(), OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) != 1 ||
      OSSL_PARAM_BLD_push_octet_string(build.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size()) != 1) {
    return nullptr;
  }
  return key_from("EC", build.get());
}

std::shared_ptr<EVP_PKEY> ed_key(const json& from) {
  const auto x = decode_base64url(text_of(from, "x"));
  if (!x || x->size() != coordinate_bytes) return nullptr;
  EVP_PKEY* const key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, bytes_of(*x), x->size());
  return key == nullptr ? nullptr : std::shared_ptr<EVP_PKEY>(key, EVP_PKEY_free);
}

/// ES256 signatures are the two numbers side by side; OpenSSL wants them in DER.
std::string der_signature(const std::string& raw) {
  if (raw.size() != 2 * coordinate_bytes) return "";
  ECDSA_SIG* const signature = ECDSA_SIG_new();
  BIGNUM* const r = BN_bin2bn(bytes_of(raw), coordinate_bytes, nullptr);
  BIGNUM* const s = BN_bin2bn(bytes_of(raw) + coordinate_bytes, coordinate_bytes, nullptr);
  std::string out;
  if (signature != nullptr && ECDSA_SIG_set0(signature, r, s) == 1) {
    unsigned char* der = nullptr;
    const int size = i2d_ECDSA_SIG(signature, &der);
    if (size > 0) out.assign(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
    OPENSSL_free(der);
  }
  ECDSA_SIG_free(signature);
  return out;
}

/// A count in a claim, which may be a number or a number in a string; 0 where there is none.
std::uint64_t count_of(const json& claims, const char* field) {
  const auto at = claims.find(field);
  if (at == claims.end()) return 0;
  if (at->is_number_unsigned()) return at->get<std::uint64_t>();
  if (at->is_number_float() && at->get<double>() >= 0 && at->get<double>() < 9e15) {
    return static_cast<std::uint64_t>(at->get<double>());
  }
  if (!at->is_string()) return 0;
  const auto text = at->get<std::string>();
  if (text.empty() || text.size() > 15 || text.find_first_not_of("0123456789") != std::string::npos) return 0;
  return std::stoull(text);
}

bool is_true(const json& value) { return value.is_boolean() ? value.get<bool>() : value == "true"; }

bool names(const json& claims, const char* field, const std::string& wanted) {
  const auto at = claims.find(field);
  if (at == claims.end()) return false;
  if (at->is_string()) return at->get_ref<const std::string&>() == wanted;
  if (!at->is_array()) return false;
  for (const auto& item : *at) {
    if (item.is_string() && item.get_ref<const std::string&>() == wanted) return true;
  }
  return false;
}

}  // namespace

Expected<Jwt> parse_jwt(std::string_view text) {
  if (text.empty()) return refused("a token is needed: Authorization: Bearer TOKEN");
  if (text.size() > token_bytes_max) return refused("the token is too large");
  const std::size_t first = text.find('.');
  const std::size_t second = first == std::string_view::npos ? first : text.find('.', first + 1);
  if (second == std::string_view::npos || text.find('.', second + 1) != std::string_view::npos) {
    return refused("the token is not a JSON Web Token");
  }
  auto head = decode_base64url(text.substr(0, first));
  auto claims = decode_base64url(text.substr(first + 1, second - first - 1));
  auto signature = decode_base64url(text.substr(second + 1));
  if (!head || !claims || !signature) return refused("the token is not a JSON Web Token");
  const json header = json::parse(*head, nullptr, false);
  if (!header.is_object()) return refused("the token is not a JSON Web Token");
  Jwt token;
  const std::string algorithm = text_of(header, "alg");
  if (algorithm == "RS256") {
    token.algorithm = JwtAlgorithm::rs256;
  } else if (algorithm == "ES256") {
    token.algorithm = JwtAlgorithm::es256;
  } else if (algorithm == "EdDSA") {
    token.algorithm = JwtAlgorithm::eddsa;
  } else {
    return refused("the token's algorithm is not RS256, ES256 or EdDSA");
  }
  if (header.contains("crit")) return refused("the token asks for extensions");
  token.key_id = text_of(header, "kid");
  token.signed_part = text.substr(0, second);
  token.signature = std::move(*signature);
  token.claims = std::move(*claims);
  return token;
}

Expected<std::vector<JwtKey>> parse_jwks(std::string_view text) {
  const json document = text.size() > jwks_bytes_max ? json() : json::parse(text, nullptr, false);
  const auto list = document.is_object() ? document.find("keys") : document.end();
  if (!document.is_object() || list == document.end() || !list->is_array()) {
    return fail(ErrorCode::malformed, "jwks", "not a JSON Web Key Set");
  }
  std::vector<JwtKey> keys;
  for (const auto& item : *list) {
    if (!item.is_object() || keys.size() >= keys_max) continue;
    if (const std::string use = text_of(item, "use"); !use.empty() && use != "sig") continue;
    const std::string type = text_of(item, "kty");
    const std::string curve = text_of(item, "crv");
    JwtKey key;
    key.id = text_of(item, "kid");
    if (type == "RSA") {
      if (const auto name = text_of(item, "alg"); !name.empty() && name != "RS256") continue;
      key.algorithm = JwtAlgorithm::rs256;
      key.key = rsa_key(item);
    } else if (type == "EC" && curve == "P-256") {
      key.algorithm = JwtAlgorithm::es256;
      key.key = ec_key(item);
    } else if (type == "OKP" && curve == "Ed25519") {
      key.algorithm = JwtAlgorithm::eddsa;
      key.key = ed_key(item);
    }
    if (key.key) keys.push_back(std::move(key));
  }
  if (keys.empty()) return fail(ErrorCode::malformed, "jwks", "no key for RS256, ES256 or EdDSA in it");
  return keys;
}

const JwtKey* find_key(const std::vector<JwtKey>& keys, const Jwt& token) {
  const JwtKey* found = nullptr;
  for (const auto& key : keys) {
    if (key.algorithm != token.algorithm) continue;
    if (!token.key_id.empty() && key.id == token.key_id) return &key;
    if (token.key_id.empty()) {
      if (found != nullptr) return nullptr;  // which of them is anybody's guess
      found = &key;
    }
  }
  return found;
}

bool is_signed_by(const Jwt& token, const JwtKey& key) {
  if (key.algorithm != token.algorithm) return false;
  const bool is_ec = token.algorithm == JwtAlgorithm::es256;
  const std::string signature = is_ec ? der_signature(token.signature) : token.signature;
  const DigestContext context(EVP_MD_CTX_new());
  const EVP_MD* const digest = token.algorithm == JwtAlgorithm::eddsa ? nullptr : EVP_sha256();
  return !signature.empty() && context &&
         EVP_DigestVerifyInit(context.get(), nullptr, digest, nullptr, key.key.get()) == 1 &&
         EVP_DigestVerify(context.get(), bytes_of(signature), signature.size(), bytes_of(token.signed_part),
                          token.signed_part.size()) == 1;
}

Expected<Admission> check_claims(std::string_view text, const ClaimRules& rules) {
  const json claims = json::parse(text, nullptr, false);
  if (!claims.is_object()) return refused("the token's claims are not JSON");
  const auto time_of = [&](const char* field, std::int64_t missing) {
    const auto at = claims.find(field);
    const bool fits = at != claims.end() && at->is_number() && at->get<double>() > -1e12 && at->get<double>() < 1e12;
    return fits ? static_cast<std::int64_t>(at->get<double>()) : missing;
  };
  Admission admission;
  admission.expires_at = time_of("exp", 0);
  if (admission.expires_at == 0) return refused("the token does not say when it expires");
  if (rules.now_s > admission.expires_at + rules.leeway_s) return refused("the token has expired");
  if (time_of("nbf", 0) > rules.now_s + rules.leeway_s) return refused("the token is not valid yet");
  if (!rules.issuer.empty() && text_of(claims, "iss") != rules.issuer) return refused("the token is by another issuer");
  if (!rules.audience.empty() && !names(claims, "aud", rules.audience))
    return refused("the token is for somebody else");
  if (const auto at = claims.find("is_active"); at != claims.end() && !is_true(*at)) {
    return fail(ErrorCode::permission_denied, "token", "your account is inactive, please contact support");
  }
  admission.client_id = text_of(claims, "client_id");
  if (admission.client_id.empty()) admission.client_id = text_of(claims, "sub");
  if (admission.client_id.empty()) return refused("the token names no client (client_id or sub)");
  admission.limits.publishes_per_hour = count_of(claims, "max_publish_per_hour");
  admission.limits.publishes_per_second = count_of(claims, "max_publish_per_sec");
  admission.limits.message_bytes = count_of(claims, "max_message_size");
  admission.limits.bytes_per_day = count_of(claims, "daily_quota");
  return admission;
}

}  // namespace corelay::gateway
