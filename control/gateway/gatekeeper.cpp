// Tokens and keys: the keys are fetched on a thread of their own, everything else happens on the loop.
#include "control/gateway/gatekeeper.h"

#include <spdlog/spdlog.h>

#include <boost/asio/post.hpp>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "control/gateway/http_fetch.h"
#include "control/gateway/jwt.h"
#include "control/gateway/quota_store.h"
#include "control/gateway/rate_limits.h"
#include "control/gateway/text.h"

namespace corelay::gateway {
namespace {

using std::chrono::seconds;

constexpr seconds fetch_timeout{10};
constexpr seconds unknown_key_pause{10};  // between fetches for the sake of keys nobody knows
constexpr seconds retry_pause{5};
constexpr std::size_t known_tokens_max = 65536;
constexpr std::size_t waiting_max = 4096;

std::int64_t wall_s() {
  return std::chrono::duration_cast<seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string issuer_of(const GatewayConfig::Auth& auth) {
  if (!auth.issuer.empty()) return auth.issuer;
  return auth.domain.empty() ? "" : "https://" + auth.domain + "/";
}

std::string jwks_url_of(const GatewayConfig::Auth& auth) {
  return auth.jwks_url.empty() ? "https://" + auth.domain + "/.well-known/jwks.json" : auth.jwks_url;
}

}  // namespace

struct Gatekeeper::State : std::enable_shared_from_this<Gatekeeper::State> {
  State(boost::asio::io_context& i, const GatewayConfig& c)
      : io(i), auth(c.auth), url(jwks_url_of(c.auth)), redis(c.quota.redis) {}

  void run();
  void on_keys(Expected<std::vector<JwtKey>> fetched);
  void ask_for_keys();
  [[nodiscard]] Expected<std::shared_ptr<Admission>> judge(const Jwt& token, const JwtKey& key) const;

  boost::asio::io_context& io;
  const GatewayConfig::Auth auth;
  const std::string url;
  const std::string redis;

  // On the loop.
  std::vector<JwtKey> keys;
  std::int64_t keys_at = 0;
  std::int64_t asked_at = 0;
  std::string why_none = "the issuer's keys have not been fetched yet";
  bool is_fetching = true;
  std::deque<std::pair<Jwt, Admitted>> waiting;                       // for keys
  std::unordered_map<std::string, std::shared_ptr<Admission>> known;  // by digest of a token that held
  RateLimits limits;
  std::unique_ptr<QuotaStore> store;  // null: this gateway counts alone

  std::mutex mutex;  // guards what follows
  std::condition_variable changed;
  bool is_stopping = false;
  bool is_wanted = true;
  std::thread thread;
};

void Gatekeeper::State::run() {
  std::unique_lock lock(mutex);
  while (!is_stopping) {
    is_wanted = false;
    lock.unlock();
    auto body = fetch_http(url, fetch_timeout);
    Expected<std::vector<JwtKey>> fetched =
        body ? parse_jwks(*body) : Expected<std::vector<JwtKey>>(tl::make_unexpected(body.error()));
    const bool has_failed = !fetched;
    boost::asio::post(
        io, [self = shared_from_this(), fetched = std::move(fetched)]() mutable { self->on_keys(std::move(fetched)); });
    lock.lock();
    if (has_failed) changed.wait_for(lock, retry_pause, [&] { return is_stopping; });
    const auto pause = has_failed ? seconds(0) : seconds(auth.refresh_s);
    changed.wait_for(lock, pause, [&] { return is_stopping || is_wanted; });
  }
}

void Gatekeeper::State::on_keys(Expected<std::vector<JwtKey>> fetched) {
  is_fetching = false;
  if (fetched) {
    keys = std::move(*fetched);
    keys_at = wall_s();
    known.clear();  // a key may have been withdrawn
  } else {
    why_none = "the issuer's keys cannot be fetched: " + fetched.error().describe();
    spdlog::warn("auth: {}: {}", url, fetched.error().describe());
    if (!keys.empty() && wall_s() - keys_at > auth.stale_s) {
      spdlog::error("auth: the keys are older than auth.stale_s and serve no longer");
      keys.clear();
      known.clear();
    }
  }
  auto ready = std::move(waiting);
  waiting.clear();
  for (auto& [token, done] : ready) {
    if (const JwtKey* const key = find_key(keys, token)) {
      done(judge(token, *key));
    } else if (keys.empty()) {
      done(fail(ErrorCode::unavailable, "token", why_none));
    } else {
      done(fail(ErrorCode::unauthenticated, "token", "the token is signed by an unknown key"));
    }
  }
}

void Gatekeeper::State::ask_for_keys() {
  is_fetching = true;
  asked_at = wall_s();
  const std::lock_guard lock(mutex);
  is_wanted = true;
  changed.notify_all();
}

Expected<std::shared_ptr<Admission>> Gatekeeper::State::judge(const Jwt& token, const JwtKey& key) const {
  if (!is_signed_by(token, key))
    return fail(ErrorCode::unauthenticated, "token", "the token's signature does not hold");
  auto admission = check_claims(token.claims, {issuer_of(auth), auth.audience, wall_s(), auth.leeway_s});
  if (!admission) return tl::make_unexpected(admission.error());
  return std::make_shared<Admission>(std::move(*admission));
}

Gatekeeper::Gatekeeper(boost::asio::io_context& io, const GatewayConfig& config)
    : state_(std::make_shared<State>(io, config)) {}

Gatekeeper::~Gatekeeper() { stop(); }

Expected<void> Gatekeeper::start() {
  if (!state_->redis.empty()) {
    auto store = QuotaStore::start(state_->io, state_->redis);
    if (!store) return tl::make_unexpected(store.error());
    state_->store = std::move(*store);
  }
  state_->thread = std::thread([state = state_.get()] { state->run(); });
  return {};
}

void Gatekeeper::stop() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->is_stopping = true;
    state_->changed.notify_all();
  }
  if (state_->thread.joinable()) state_->thread.join();
  state_->store.reset();
}

void Gatekeeper::admit(const std::string& text, Admitted done) {
  State& state = *state_;
  const std::string digest = text.empty() ? "" : sha256_hex(text);
  if (const auto at = state.known.find(digest); at != state.known.end()) {
    if (wall_s() <= at->second->expires_at + state.auth.leeway_s) return done(at->second);
    state.known.erase(at);
  }
  auto token = parse_jwt(text);
  if (!token) return done(tl::make_unexpected(token.error()));
  const JwtKey* const key = find_key(state.keys, *token);
  if (key != nullptr) {
    auto admission = state.judge(*token, *key);
    if (admission) {
      if (state.known.size() >= known_tokens_max) state.known.clear();
      state.known.emplace(digest, *admission);
    }
    return done(std::move(admission));
  }
  const bool may_ask = !state.is_fetching && wall_s() - state.asked_at >= unknown_key_pause.count();
  if (may_ask) state.ask_for_keys();
  if (state.is_fetching && state.waiting.size() < waiting_max) {
    state.waiting.emplace_back(std::move(*token), std::move(done));
    return;
  }
  if (state.keys.empty()) return done(fail(ErrorCode::unavailable, "token", state.why_none));
  done(fail(ErrorCode::unauthenticated, "token", "the token is signed by an unknown key"));
}

void Gatekeeper::charge(const Admission& admission, std::size_t bytes, std::function<void(Verdict)> done) {
  const std::int64_t now_s = wall_s();
  Verdict verdict = state_->limits.charge(admission, bytes, now_s);
  if (!verdict.is_allowed || !state_->store) return done(std::move(verdict));
  state_->store->count(admission.client_id, bytes, now_s,
                       [state = state_, admission, now_s, verdict, done = std::move(done)](const SharedCounts* counts) {
                         if (counts == nullptr) return done(verdict);
                         done(state->limits.judge(admission, now_s, counts->hour, counts->second, counts->day_bytes));
                       });
}

Usage Gatekeeper::usage(const Admission& admission) const {
  return state_->limits.usage(admission.client_id, wall_s());
}

}  // namespace corelay::gateway
