/// JSON Web Tokens (RFC 7519) signed by RS256, ES256 or EdDSA (Ed25519), and the issuer's keys (RFC 7517). Nothing of a
/// token is believed before its signature holds.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "codec/expected.h"
#include "control/gateway/gatekeeper.h"

using EVP_PKEY = struct evp_pkey_st;

namespace corelay::gateway {

enum class JwtAlgorithm : std::uint8_t { rs256, es256, eddsa };

/// A token taken apart, not yet checked.
struct Jwt {
  JwtAlgorithm algorithm = JwtAlgorithm::rs256;
  std::string key_id;  // empty where it names none
  std::string signed_part;
  std::string signature;
  std::string claims;  // JSON text
};

/// Errors: unauthenticated, with what is wrong; other algorithms, "none" among them, are refused here.
[[nodiscard]] Expected<Jwt> parse_jwt(std::string_view text);

struct JwtKey {
  std::string id;
  JwtAlgorithm algorithm = JwtAlgorithm::rs256;
  std::shared_ptr<EVP_PKEY> key;
};

/// The usable keys of a JWKS document; others in it are passed over. Errors: malformed (no such document, no usable
/// key).
[[nodiscard]] Expected<std::vector<JwtKey>> parse_jwks(std::string_view json);

/// The key of a token: the one it names, or, where it names none, the only one of its algorithm. Null: none.
[[nodiscard]] const JwtKey* find_key(const std::vector<JwtKey>& keys, const Jwt& token);
[[nodiscard]] bool is_signed_by(const Jwt& token, const JwtKey& key);

struct ClaimRules {
  std::string issuer;    // empty: any
  std::string audience;  // empty: any
  std::int64_t now_s = 0;
  std::int64_t leeway_s = 60;
};

/// Reads the claims of a token whose signature holds. Errors: unauthenticated (expired, for somebody else, by somebody
/// else), permission_denied (the account is inactive).
[[nodiscard]] Expected<Admission> check_claims(std::string_view claims, const ClaimRules& rules);

}  // namespace corelay::gateway
