#include "control/gateway/rate_limits.h"

#include <fmt/format.h>

#include <algorithm>

namespace corelay::gateway {
namespace {

constexpr std::int64_t hour_s = 3600;
constexpr std::int64_t day_s = 86400;
constexpr std::size_t clients_max = 1u << 20;

void refuse(Verdict& verdict, std::string why, std::int64_t retry_s) {
  verdict.is_allowed = false;
  verdict.why = std::move(why);
  verdict.headers.emplace_back("Retry-After", std::to_string(std::max<std::int64_t>(1, retry_s)));
}

void tell_rest(Verdict& verdict, const Limits& limits, std::uint64_t publishes_this_hour, std::int64_t now_s) {
  if (limits.publishes_per_hour == 0) return;
  const std::uint64_t used = std::min(publishes_this_hour, limits.publishes_per_hour);
  verdict.headers.emplace_back("X-RateLimit-Limit", std::to_string(limits.publishes_per_hour));
  verdict.headers.emplace_back("X-RateLimit-Remaining", std::to_string(limits.publishes_per_hour - used));
  verdict.headers.emplace_back("X-RateLimit-Reset", std::to_string(hour_s - now_s % hour_s));
}

}  // namespace

void RateLimits::Counter::roll(std::int64_t now_s) noexcept {
  if (hour != now_s / hour_s) {
    hour = now_s / hour_s;
    publishes_this_hour = 0;
  }
  if (second != now_s) {
    second = now_s;
    publishes_this_second = 0;
  }
  if (day != now_s / day_s) {
    day = now_s / day_s;
    bytes_today = 0;
  }
}

Verdict RateLimits::charge(const Admission& admission, std::size_t bytes, std::int64_t now_s) {
  if (counters_.size() >= clients_max) expire(now_s);
  Counter& counter = counters_[admission.client_id];
  counter.roll(now_s);
  const Limits& limits = admission.limits;
  Verdict verdict;
  if (limits.message_bytes != 0 && bytes > limits.message_bytes) {
    verdict.is_allowed = false;
    verdict.is_too_large = true;
    verdict.why = fmt::format("message size exceeds limit of {} bytes", limits.message_bytes);
  } else if (limits.bytes_per_day != 0 && counter.bytes_today + bytes > limits.bytes_per_day) {
    refuse(verdict, "daily quota exceeded", day_s - now_s % day_s);
  } else if (limits.publishes_per_hour != 0 && counter.publishes_this_hour >= limits.publishes_per_hour) {
    refuse(verdict, fmt::format("per-hour limit reached ({}/hour)", limits.publishes_per_hour),
           hour_s - now_s % hour_s);
  } else if (limits.publishes_per_second != 0 && counter.publishes_this_second >= limits.publishes_per_second) {
    refuse(verdict, "per-second limit reached", 1);
  } else {
    ++counter.publishes_this_hour;
    ++counter.publishes_this_second;
    counter.bytes_today += bytes;
  }
  tell_rest(verdict, limits, counter.publishes_this_hour, now_s);
  return verdict;
}

Usage RateLimits::usage(const std::string& client, std::int64_t now_s) const {
  Usage usage;
  usage.resets_in_s = day_s - now_s % day_s;
  const auto at = counters_.find(client);
  if (at == counters_.end()) return usage;
  Counter counter = at->second;
  counter.roll(now_s);
  usage.publishes_this_hour = counter.publishes_this_hour;
  usage.publishes_this_second = counter.publishes_this_second;
  usage.bytes_today = counter.bytes_today;
  return usage;
}

Verdict RateLimits::judge(const Admission& admission, std::int64_t now_s, std::uint64_t hour, std::uint64_t second,
                          std::uint64_t day_bytes) {
  Counter& counter = counters_[admission.client_id];
  counter.roll(now_s);
  counter.publishes_this_hour = std::max(counter.publishes_this_hour, hour);
  counter.publishes_this_second = std::max(counter.publishes_this_second, second);
  counter.bytes_today = std::max(counter.bytes_today, day_bytes);
  const Limits& limits = admission.limits;
  Verdict verdict;
  if (limits.bytes_per_day != 0 && day_bytes > limits.bytes_per_day) {
    refuse(verdict, "daily quota exceeded", day_s - now_s % day_s);
  } else if (limits.publishes_per_hour != 0 && hour > limits.publishes_per_hour) {
    refuse(verdict, fmt::format("per-hour limit reached ({}/hour)", limits.publishes_per_hour),
           hour_s - now_s % hour_s);
  } else if (limits.publishes_per_second != 0 && second > limits.publishes_per_second) {
    refuse(verdict, "per-second limit reached", 1);
  }
  tell_rest(verdict, limits, counter.publishes_this_hour, now_s);
  return verdict;
}

void RateLimits::expire(std::int64_t now_s) {
  for (auto at = counters_.begin(); at != counters_.end();) {
    at = at->second.day != now_s / day_s && at->second.hour != now_s / hour_s ? counters_.erase(at) : std::next(at);
  }
}

}  // namespace corelay::gateway
