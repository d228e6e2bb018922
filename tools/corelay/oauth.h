/// Logging in at an issuer by the device flow (RFC 8628), refreshing and taking back: a few requests over HTTPS.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "codec/expected.h"
#include "tools/corelay/oauth_reply.h"
#include "tools/corelay/token_file.h"

namespace corelay::tools {

struct LoginOptions {
  std::string issuer;  // https://issuer/; http:// for a loopback address only
  std::string app;     // client id of the application there
  std::string audience;
  std::string scope = "openid email offline_access";
};

/// Asks the issuer's configuration for its endpoints; where there is none, those of Auth0 are taken. Errors:
/// invalid_argument (the issuer's URL), unavailable, timed_out, malformed.
[[nodiscard]] Expected<IssuerEndpoints> discover(const std::string& issuer);

/// Starts a login. Errors: as discover(), and permission_denied with the issuer's words.
[[nodiscard]] Expected<DeviceGrant> ask_for_login(const LoginOptions& options, const IssuerEndpoints& endpoints);

/// Asks until a person has agreed. `is_cancelled` is looked at ten times a second. Errors: permission_denied (refused),
/// timed_out (the code has run out), closed (cancelled), and what the network says for longer than ten tries.
[[nodiscard]] Expected<Tokens> wait_for_login(const LoginOptions& options, const IssuerEndpoints& endpoints,
                                              const DeviceGrant& grant, const std::function<bool()>& is_cancelled);

/// Takes new tokens by the refresh token of a file and writes the file; one process at a time, as issuers take a
/// refresh token once: where the file cannot be locked, none is spent. Where the file has another token than `held`,
/// somebody has refreshed it already, and that is the result; an empty `held` asks for new tokens in any case. Errors:
/// not_found (no file, or no refresh token or issuer in it), permission_denied (the issuer refuses: a new login is
/// needed), and what network and file system say.
[[nodiscard]] Expected<Tokens> refresh_file(const std::string& path, std::string_view held);

/// Tells the issuer that a refresh token is no longer used (RFC 7009). Errors: unavailable, not_found (it has no such
/// endpoint).
[[nodiscard]] Expected<void> revoke(const Tokens& tokens);

}  // namespace corelay::tools
