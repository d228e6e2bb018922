// A thread of its own talks to Redis, many counts to a round trip.
#include "control/gateway/quota_store.h"

#include <hiredis/hiredis.h>
#include <spdlog/spdlog.h>

#include <array>
#include <boost/asio/post.hpp>
#include <charconv>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "control/gateway/text.h"

namespace corelay::gateway {
namespace {

constexpr std::size_t waiting_max = 65536;
constexpr std::size_t burst_max = 256;
constexpr timeval answer_time{0, 500'000};
constexpr std::chrono::seconds retry_pause{1};

struct Count {
  std::string client;
  std::size_t bytes = 0;
  std::int64_t now_s = 0;
  QuotaStore::Counted done;
};

}  // namespace

struct QuotaStore::State {
  explicit State(boost::asio::io_context& i) : io(i) {}

  void run();
  bool connect();
  bool exchange(std::deque<Count>& burst);
  void answer(Count count, bool has_counts, SharedCounts counts);

  boost::asio::io_context& io;
  std::string host;
  int port = 6379;
  redisContext* context = nullptr;  // of the thread
  std::chrono::steady_clock::time_point failed_at{};
  bool has_failed = false;

  std::mutex mutex;  // guards what follows
  std::condition_variable changed;
  std::deque<Count> waiting;
  bool is_stopping = false;
  std::thread thread;
};

void QuotaStore::State::answer(Count count, bool has_counts, SharedCounts counts) {
  boost::asio::post(io, [done = std::move(count.done), has_counts, counts] { done(has_counts ? &counts : nullptr); });
}

bool QuotaStore::State::connect() {
  if (context != nullptr && context->err == 0) return true;
  const auto now = std::chrono::steady_clock::now();
  if (has_failed && now - failed_at < retry_pause) return false;
  if (context != nullptr) redisFree(context);
  context = redisConnectWithTimeout(host.c_str(), port, answer_time);
  const bool is_up = context != nullptr && context->err == 0;
  if (is_up) redisSetTimeout(context, answer_time);
  if (!is_up && !has_failed) spdlog::warn("quota: Redis at {}:{} does not answer; counting alone", host, port);
  if (is_up && has_failed) spdlog::info("quota: Redis is back");
  has_failed = !is_up;
  failed_at = now;
  return is_up;
}

/// Three counters for each publish, and their ends; false where the connection is lost.
bool QuotaStore::State::exchange(std::deque<Count>& burst) {
  constexpr std::array<std::pair<char, int>, 3> spans{{{'h', 3600}, {'s', 1}, {'d', 86400}}};
  for (const auto& count : burst) {
    const std::string name = sha256_hex(count.client).substr(0, 32);
    for (const auto& [letter, seconds] : spans) {
      const std::string key = "corelay:quota:" + name + ":" + letter + std::to_string(count.now_s / seconds);
      const auto by = static_cast<long long>(letter == 'd' ? count.bytes : 1);
      redisAppendCommand(context, "INCRBY %s %lld", key.c_str(), by);
      redisAppendCommand(context, "EXPIRE %s %d", key.c_str(), 2 * seconds + 10);
    }
  }
  while (!burst.empty()) {
    std::array<std::uint64_t, 3> values{};
    for (std::size_t i = 0; i < 2 * values.size(); ++i) {
      void* reply = nullptr;
      if (redisGetReply(context, &reply) != REDIS_OK) return false;
      const auto* const number = static_cast<redisReply*>(reply);
      if (i % 2 == 0 && number->type == REDIS_REPLY_INTEGER)
        values[i / 2] = static_cast<std::uint64_t>(number->integer);
      freeReplyObject(reply);
    }
    answer(std::move(burst.front()), true, {values[0], values[1], values[2]});
    burst.pop_front();
  }
  return true;
}

void QuotaStore::State::run() {
  for (;;) {
    std::deque<Count> burst;
    {
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return is_stopping || !waiting.empty(); });
      if (is_stopping) break;
      while (!waiting.empty() && burst.size() < burst_max) {
        burst.push_back(std::move(waiting.front()));
        waiting.pop_front();
      }
    }
    if (connect() && !exchange(burst)) {
      redisFree(context);
      context = nullptr;
    }
    for (auto& count : burst) answer(std::move(count), false, {});
  }
  if (context != nullptr) redisFree(context);
}

Expected<std::unique_ptr<QuotaStore>> QuotaStore::start(boost::asio::io_context& io, const std::string& url) {
  auto state = std::make_unique<State>(io);
  std::string rest = url.starts_with("redis://") ? url.substr(8) : url;
  rest = rest.substr(0, rest.find('/'));
  const std::size_t colon = rest.rfind(':');
  state->host = rest.substr(0, colon);
  if (colon != std::string::npos) {
    const auto [end, code] = std::from_chars(rest.data() + colon + 1, rest.data() + rest.size(), state->port);
    if (code != std::errc{} || end != rest.data() + rest.size() || state->port <= 0 || state->port > 65535) {
      return fail(ErrorCode::invalid_argument, "quota.redis", url + " is not redis://host:port");
    }
  }
  if (state->host.empty()) return fail(ErrorCode::invalid_argument, "quota.redis", url + " is not redis://host:port");
  state->thread = std::thread([raw = state.get()] { raw->run(); });
  return std::unique_ptr<QuotaStore>(new QuotaStore(std::move(state)));
}

QuotaStore::QuotaStore(std::unique_ptr<State> state) : state_(std::move(state)) {}

QuotaStore::~QuotaStore() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->is_stopping = true;
    state_->changed.notify_all();
  }
  state_->thread.join();
}

void QuotaStore::count(const std::string& client, std::size_t bytes, std::int64_t now_s, Counted done) {
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->waiting.size() < waiting_max) {
      state_->waiting.push_back({client, bytes, now_s, std::move(done)});
      state_->changed.notify_all();
      return;
    }
  }
  done(nullptr);
}

}  // namespace corelay::gateway
