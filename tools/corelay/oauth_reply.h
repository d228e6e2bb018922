/// What an issuer answers (OpenID Connect Discovery, RFC 8628, RFC 6749), read without sockets.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "codec/expected.h"

namespace corelay::tools {

/// Where an issuer takes what.
struct IssuerEndpoints {
  std::string device;  // device_authorization_endpoint
  std::string token;   // token_endpoint
  std::string revoke;  // revocation_endpoint; empty where there is none
};
/// Errors: malformed (no JSON, or an endpoint is missing).
[[nodiscard]] Expected<IssuerEndpoints> parse_discovery(std::string_view json);

/// A login that waits for a person (RFC 8628, 3.2).
struct DeviceGrant {
  std::string device_code;
  std::string user_code;
  std::string verification_url;
  std::string whole_url;  // with the code in it; empty where the issuer gives none
  std::int64_t expires_in_s = 0;
  std::int64_t interval_s = 5;
};
/// Errors: malformed.
[[nodiscard]] Expected<DeviceGrant> parse_device_grant(std::string_view json);

/// Tokens, or the word for why there are none (RFC 6749, 5.1 and 5.2).
struct TokenReply {
  std::string error;  // "authorization_pending", "slow_down", "access_denied", ...; empty where there is a token
  std::string description;
  std::string access_token;
  std::string refresh_token;
  std::int64_t expires_in_s = 0;  // 0: not told
};
/// Errors: malformed (no JSON, or neither token nor error).
[[nodiscard]] Expected<TokenReply> parse_token_reply(std::string_view json);

}  // namespace corelay::tools
