/// Who may call, and how much: JSON Web Tokens checked against the issuer's keys, and the limits in their claims.
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "codec/expected.h"
#include "control/gateway/config.h"

namespace corelay::gateway {

/// Out of the claims; 0 is no limit.
struct Limits {
  std::uint64_t publishes_per_hour = 0;
  std::uint64_t publishes_per_second = 0;
  std::uint64_t message_bytes = 0;
  std::uint64_t bytes_per_day = 0;
};

/// A caller whose token holds.
struct Admission {
  std::string client_id;
  Limits limits;
  std::int64_t expires_at = 0;  // seconds since 1970
};

/// What a caller has used, of what it may.
struct Usage {
  std::uint64_t publishes_this_hour = 0;
  std::uint64_t publishes_this_second = 0;
  std::uint64_t bytes_today = 0;
  std::int64_t resets_in_s = 0;  // until the day ends, UTC
};

/// Whether a publish is within its limits.
struct Verdict {
  bool is_allowed = true;
  bool is_too_large = false;  // the message itself is: no waiting helps
  std::string why;
  std::vector<std::pair<std::string, std::string>> headers;  // X-RateLimit-..., Retry-After
};

class Gatekeeper {
 public:
  Gatekeeper(boost::asio::io_context& io, const GatewayConfig& config);
  ~Gatekeeper();
  Gatekeeper(const Gatekeeper&) = delete;
  Gatekeeper& operator=(const Gatekeeper&) = delete;

  /// Fetches the issuer's keys and keeps them fresh. Errors: what is wrong with quota.redis.
  [[nodiscard]] Expected<void> start();
  void stop();

  /// Checks a token; the answer may come at once, or after the keys have been fetched. Errors: unauthenticated (the
  /// token), permission_denied (the account), unavailable (no keys).
  using Admitted = std::function<void(Expected<std::shared_ptr<Admission>>)>;
  void admit(const std::string& token, Admitted done);

  /// Counts a publish of so many bytes against the caller's limits.
  void charge(const Admission& admission, std::size_t bytes, std::function<void(Verdict)> done);
  [[nodiscard]] Usage usage(const Admission& admission) const;

  struct State;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace corelay::gateway
