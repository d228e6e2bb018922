/// The tokens of one login: a file only its owner reads, in the layout mump2p-cli has (auth.yml), and the claims of an
/// access token as they are written in it. Nothing here checks a signature: the gateway does.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "codec/expected.h"

namespace corelay::tools {

struct Tokens {
  std::string token;            // access token, a JWT
  std::string refresh_token;    // empty where the issuer gave none
  std::int64_t expires_at = 0;  // seconds since 1970; 0: not known
  std::string issuer;           // where to refresh; empty in files of other make
  std::string app;              // client id of the application at the issuer
  std::string audience;
};

/// Reads "key: value" lines: token, refresh_token, expires_at (RFC 3339), issuer, app, audience; others are passed
/// over. Values may stand in single or double quotes. Errors: malformed, naming the line; not_found (no token in it).
[[nodiscard]] Expected<Tokens> parse_tokens(std::string_view text);
[[nodiscard]] std::string format_tokens(const Tokens& tokens);

/// "2026-11-21T17:30:00Z", with a fraction or an offset too → seconds since 1970. Nothing for other text.
[[nodiscard]] std::optional<std::int64_t> parse_time(std::string_view rfc3339);
/// In UTC, whole seconds.
[[nodiscard]] std::string format_time(std::int64_t seconds);

/// What an access token says of its owner; what it does not say is empty or 0.
struct Claims {
  std::string client_id;  // claim client_id, else sub
  std::string email;
  std::string issuer;
  bool is_active = true;
  std::int64_t expires_at = 0;
  std::uint64_t publishes_per_hour = 0;
  std::uint64_t publishes_per_second = 0;
  std::uint64_t message_bytes = 0;
  std::uint64_t bytes_per_day = 0;
};
/// Errors: malformed (not a JWT with claims in JSON).
[[nodiscard]] Expected<Claims> parse_claims(std::string_view token);

/// --auth-path, else CORELAY_AUTH_PATH, else MUMP2P_AUTH_PATH, else corelay/auth.yml below XDG_CONFIG_HOME or
/// ~/.config.
[[nodiscard]] std::string token_path(const std::string& option);
/// Errors: not_found (nobody has logged in), malformed, permission_denied.
[[nodiscard]] Expected<Tokens> load_tokens(const std::string& path);
/// Writes the file anew, readable by its owner alone from the first byte on; makes its folder where there is none.
/// Errors: what the file system says.
[[nodiscard]] Expected<void> save_tokens(const std::string& path, const Tokens& tokens);
/// True where others than its owner may read the file.
[[nodiscard]] bool is_open_to_others(const std::string& path);

}  // namespace corelay::tools
