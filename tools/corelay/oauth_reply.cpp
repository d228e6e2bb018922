#include "tools/corelay/oauth_reply.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "tools/corelay/text.h"

namespace corelay::tools {
namespace {

using Json = nlohmann::json;

constexpr std::int64_t seconds_max = 10LL * 365 * 86400;

/// A string that may be shown on a terminal and put into a request; empty otherwise.
std::string plain_at(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) return "";
  const auto& text = found->get_ref<const std::string&>();
  const bool is_line = is_printable(text) && text.find_first_of("\r\n\t") == std::string::npos;
  return is_line ? text : "";
}

std::int64_t seconds_at(const Json& object, const char* key, std::int64_t otherwise) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number()) return otherwise;
  const double seconds = found->get<double>();
  return std::isfinite(seconds) ? static_cast<std::int64_t>(std::clamp(seconds, 0.0, static_cast<double>(seconds_max)))
                                : otherwise;
}

tl::unexpected<Error> malformed(const char* why) { return fail(ErrorCode::malformed, "issuer", why); }

}  // namespace

Expected<IssuerEndpoints> parse_discovery(std::string_view json) {
  const Json object = Json::parse(json, nullptr, false);
  if (!object.is_object()) return malformed("its configuration is not a JSON object");
  IssuerEndpoints found{plain_at(object, "device_authorization_endpoint"), plain_at(object, "token_endpoint"),
                        plain_at(object, "revocation_endpoint")};
  if (found.device.empty()) return malformed("it has no device flow (device_authorization_endpoint)");
  if (found.token.empty()) return malformed("its configuration names no token_endpoint");
  return found;
}

Expected<DeviceGrant> parse_device_grant(std::string_view json) {
  const Json object = Json::parse(json, nullptr, false);
  if (!object.is_object()) return malformed("its answer to the device request is not a JSON object");
  DeviceGrant grant;
  grant.device_code = plain_at(object, "device_code");
  grant.user_code = plain_at(object, "user_code");
  grant.verification_url = plain_at(object, "verification_uri");
  grant.whole_url = plain_at(object, "verification_uri_complete");
  grant.expires_in_s = seconds_at(object, "expires_in", 0);
  grant.interval_s = std::max<std::int64_t>(1, seconds_at(object, "interval", 5));
  if (grant.device_code.empty() || grant.user_code.empty() || grant.verification_url.empty())
    return malformed("its answer to the device request lacks device_code, user_code or verification_uri");
  if (grant.expires_in_s == 0) grant.expires_in_s = 600;
  return grant;
}

Expected<TokenReply> parse_token_reply(std::string_view json) {
  const Json object = Json::parse(json, nullptr, false);
  if (!object.is_object()) return malformed("its answer to the token request is not a JSON object");
  TokenReply reply;
  reply.error = plain_at(object, "error");
  reply.description = plain_at(object, "error_description");
  if (!reply.error.empty()) return reply;
  reply.access_token = plain_at(object, "access_token");
  reply.refresh_token = plain_at(object, "refresh_token");
  reply.expires_in_s = seconds_at(object, "expires_in", 0);
  if (reply.access_token.empty()) return malformed("its answer has neither access_token nor error");
  return reply;
}

}  // namespace corelay::tools
