#include "tools/corelay/access.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <random>

#include "tools/corelay/oauth.h"
#include "tools/corelay/wall_clock.h"

namespace corelay::tools {
namespace {

constexpr std::int64_t refresh_before_s = 300;
constexpr std::chrono::seconds retry_pause{30};

std::string made_client_id() {
  char host[64] = "here";
  static_cast<void>(gethostname(host, sizeof host - 1));
  std::random_device chance;
  return fmt::format("corelay-{}-{}-{:08x}", host, getpid(), chance());
}

}  // namespace

Expected<Access> Access::open(const AccessOptions& options) {
  Access access;
  access.path_ = token_path(options.auth_path);
  if (!options.is_auth_disabled) {
    auto tokens = load_tokens(access.path_);
    if (tokens) {
      access.tokens_ = std::move(*tokens);
    } else if (tokens.error().code != ErrorCode::not_found || !options.auth_path.empty()) {
      return tl::make_unexpected(tokens.error());
    }
  }
  access.client_id_ = options.client_id;
  if (access.tokens_) {
    const auto claims = parse_claims(access.tokens_->token);
    if (claims && !claims->client_id.empty()) access.client_id_ = claims->client_id;  // a gateway takes no other
    if (claims && access.tokens_->expires_at == 0) access.tokens_->expires_at = claims->expires_at;
  }
  access.is_generated_ = access.client_id_.empty();
  if (access.is_generated_) access.client_id_ = made_client_id();
  return access;
}

void Access::keep_fresh() {
  if (!tokens_ || tokens_->refresh_token.empty() || tokens_->issuer.empty() || tokens_->expires_at == 0) return;
  if (tokens_->expires_at - wall_s() > refresh_before_s) return;
  const auto now = std::chrono::steady_clock::now();
  if (tried_at_ != std::chrono::steady_clock::time_point{} && now - tried_at_ < retry_pause) return;
  tried_at_ = now;
  auto fresh = refresh_file(path_, tokens_->token);
  if (fresh) tokens_ = std::move(*fresh);
  refresh_failure_ = fresh ? "" : fresh.error().describe();
}

std::string Access::authorization() {
  keep_fresh();
  return tokens_ ? "Bearer " + tokens_->token : "";
}

std::vector<std::pair<std::string, std::string>> Access::headers() {
  std::string value = authorization();
  if (value.empty()) return {};
  return {{"Authorization", std::move(value)}};
}

}  // namespace corelay::tools
