#include "tools/corelay/oauth.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <thread>
#include <utility>
#include <vector>

#include "tools/corelay/gateway_frame.h"
#include "tools/corelay/http_client.h"
#include "tools/corelay/text.h"
#include "tools/corelay/wall_clock.h"

namespace corelay::tools {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Fields = std::vector<std::pair<std::string, std::string>>;

constexpr milliseconds request_timeout{10'000};
constexpr int network_failures_max = 10;
constexpr const char* device_grant_type = "urn:ietf:params:oauth:grant-type:device_code";

/// Secrets cross the network in the clear only where it is this machine.
Expected<Url> checked_url(const std::string& text) {
  auto url = parse_url(text);
  if (!url) return url;
  if (!url->is_tls && !url->is_here())
    return fail(ErrorCode::invalid_argument, "issuer",
                fmt::format("{} would send tokens in the clear: https:// is needed", in_quotes(text)));
  return url;
}

Expected<HttpReply> post(const std::string& endpoint, const Fields& fields) {
  const auto url = checked_url(endpoint);
  if (!url) return tl::make_unexpected(url.error());
  HttpRequest request;
  request.method = "POST";
  request.target = url->target;
  request.content_type = "application/x-www-form-urlencoded";
  request.headers = {{"Accept", "application/json"}};
  for (const auto& [name, value] : fields) {
    if (value.empty()) continue;
    request.body += (request.body.empty() ? "" : "&") + url_encoded(name) + "=" + url_encoded(value);
  }
  return http_send(*url, request, request_timeout);
}

std::string without_slash(std::string text) {
  while (text.ends_with('/')) text.pop_back();
  return text;
}

Tokens tokens_of(const TokenReply& reply, const LoginOptions& options) {
  Tokens tokens;
  tokens.token = reply.access_token;
  tokens.refresh_token = reply.refresh_token;
  tokens.issuer = options.issuer;
  tokens.app = options.app;
  tokens.audience = options.audience;
  const auto claims = parse_claims(reply.access_token);
  if (reply.expires_in_s != 0)
    tokens.expires_at = wall_s() + reply.expires_in_s;
  else if (claims)
    tokens.expires_at = claims->expires_at;
  return tokens;
}

std::string words_of(const TokenReply& reply) {
  return reply.description.empty() ? reply.error : fmt::format("{} ({})", reply.description, reply.error);
}

/// Held by one process at a time, next to the token file.
class FileLock {
 public:
  explicit FileLock(const std::string& path)
      : file_(open((path + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
    is_held_ = file_ >= 0 && flock(file_, LOCK_EX) == 0;  // a signal ends the wait
  }
  ~FileLock() {
    if (file_ >= 0) close(file_);
  }
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;
  [[nodiscard]] bool is_held() const noexcept { return is_held_; }

 private:
  int file_;
  bool is_held_ = false;
};

}  // namespace

Expected<IssuerEndpoints> discover(const std::string& issuer) {
  const std::string base = without_slash(issuer);
  const auto url = checked_url(base);
  if (!url) return tl::make_unexpected(url.error());
  HttpRequest request;
  const std::string path = url->target == "/" ? "" : url->target;
  request.target = path + "/.well-known/openid-configuration";
  const auto reply = http_send(*url, request, request_timeout);
  if (!reply) return tl::make_unexpected(reply.error());
  if (reply->status == 404)
    return IssuerEndpoints{base + "/oauth/device/code", base + "/oauth/token", base + "/oauth/revoke"};
  if (reply->status != 200)
    return fail(
        ErrorCode::unavailable, issuer,
        fmt::format("its configuration was answered with status {}: {}", reply->status, error_text(reply->body)));
  return parse_discovery(reply->body);
}

Expected<DeviceGrant> ask_for_login(const LoginOptions& options, const IssuerEndpoints& endpoints) {
  const auto reply =
      post(endpoints.device, {{"client_id", options.app}, {"scope", options.scope}, {"audience", options.audience}});
  if (!reply) return tl::make_unexpected(reply.error());
  if (reply->status != 200)
    return fail(ErrorCode::permission_denied, options.issuer,
                fmt::format("status {}: {}", reply->status, error_text(reply->body)));
  return parse_device_grant(reply->body);
}

Expected<Tokens> wait_for_login(const LoginOptions& options, const IssuerEndpoints& endpoints, const DeviceGrant& grant,
                                const std::function<bool()>& is_cancelled) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + seconds(grant.expires_in_s);
  seconds interval{grant.interval_s};
  int failures = 0;
  for (;;) {
    const auto next = Clock::now() + interval;
    while (Clock::now() < next) {
      if (is_cancelled()) return fail(ErrorCode::closed, "login", "given up");
      std::this_thread::sleep_for(std::min<Clock::duration>(milliseconds(100), next - Clock::now()));
    }
    if (Clock::now() >= end) return fail(ErrorCode::timed_out, "login", "nobody entered the code before it ran out");
    const auto answer =
        post(endpoints.token,
             {{"grant_type", device_grant_type}, {"device_code", grant.device_code}, {"client_id", options.app}});
    const auto reply =
        answer ? parse_token_reply(answer->body) : Expected<TokenReply>(tl::make_unexpected(answer.error()));
    if (!reply) {
      if (++failures >= network_failures_max) return tl::make_unexpected(reply.error());
      interval += seconds(1);  // RFC 8628, 3.5: ask less often where the network fails
      continue;
    }
    failures = 0;
    if (reply->error.empty()) return tokens_of(*reply, options);
    if (reply->error == "authorization_pending") continue;
    if (reply->error == "slow_down") {
      interval += seconds(5);
      continue;
    }
    if (reply->error == "expired_token")
      return fail(ErrorCode::timed_out, "login", "nobody entered the code before it ran out");
    return fail(ErrorCode::permission_denied, options.issuer, words_of(*reply));
  }
}

Expected<Tokens> refresh_file(const std::string& path, std::string_view held) {
  if (const auto before = load_tokens(path); !before) return before;
  const FileLock lock(path);
  if (!lock.is_held()) return fail(ErrorCode::internal, path + ".lock", "cannot be locked", errno);
  const auto now = load_tokens(path);
  if (!now) return now;
  if (!held.empty() && now->token != held) return now;
  if (now->refresh_token.empty())
    return fail(ErrorCode::not_found, path, "holds no refresh token: the issuer gave none");
  if (now->issuer.empty()) return fail(ErrorCode::not_found, path, "does not say who issued its token");
  const auto endpoints = discover(now->issuer);
  if (!endpoints) return tl::make_unexpected(endpoints.error());
  const auto answer =
      post(endpoints->token,
           {{"grant_type", "refresh_token"}, {"refresh_token", now->refresh_token}, {"client_id", now->app}});
  if (!answer) return tl::make_unexpected(answer.error());
  const auto reply = parse_token_reply(answer->body);
  if (!reply) return tl::make_unexpected(reply.error());
  if (!reply->error.empty()) return fail(ErrorCode::permission_denied, now->issuer, words_of(*reply));
  Tokens fresh = tokens_of(*reply, {now->issuer, now->app, now->audience, ""});
  if (fresh.refresh_token.empty()) fresh.refresh_token = now->refresh_token;  // it may be used again
  if (const auto saved = save_tokens(path, fresh); !saved) return tl::make_unexpected(saved.error());
  return fresh;
}

Expected<void> revoke(const Tokens& tokens) {
  if (tokens.refresh_token.empty() || tokens.issuer.empty())
    return fail(ErrorCode::not_found, "logout", "there is nothing to take back");
  const auto endpoints = discover(tokens.issuer);
  if (!endpoints) return tl::make_unexpected(endpoints.error());
  if (endpoints->revoke.empty()) return fail(ErrorCode::not_found, tokens.issuer, "has no revocation_endpoint");
  const auto reply =
      post(endpoints->revoke,
           {{"token", tokens.refresh_token}, {"token_type_hint", "refresh_token"}, {"client_id", tokens.app}});
  if (!reply) return tl::make_unexpected(reply.error());
  if (reply->status == 200) return {};
  return fail(ErrorCode::unavailable, tokens.issuer,
              fmt::format("status {}: {}", reply->status, error_text(reply->body)));
}

}  // namespace corelay::tools
