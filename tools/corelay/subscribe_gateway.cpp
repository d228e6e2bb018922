#include "tools/corelay/subscribe_gateway.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "tools/corelay/gateway_client.h"
#include "tools/corelay/gateway_feed.h"
#include "tools/corelay/gateway_grpc.h"
#include "tools/corelay/interrupt.h"
#include "tools/corelay/message_sink.h"
#include "tools/corelay/text.h"

namespace corelay::tools {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds connect_timeout{10'000};
constexpr milliseconds pause_min{100};
constexpr milliseconds pause_max{3'000};
constexpr std::chrono::seconds steady_time{3};  // a connection that lasts as long is no failure
constexpr std::size_t recent_max = 4096;
constexpr milliseconds again_max{60'000};  // after a reconnect, what came before may come again for this long

class GatewaySubscription {
 public:
  GatewaySubscription(const Console& console, const SubscribeOptions& options, Access access,
                      std::vector<ServiceUrl> urls, MessageSink& sink)
      : console_(console),
        options_(options),
        access_(std::move(access)),
        client_(console, std::move(urls), access_, connect_timeout),
        sink_(sink) {}

  ExitCode run() {
    started_at_ = Clock::now();
    for (std::size_t tried = 1;; ++tried) {
      const auto failure = connect();
      if (!failure) break;
      if (failure->is_final || tried >= client_.gateways()) return report(*failure);
      client_.try_next();
    }
    connected_at_ = Clock::now();
    announce();
    const ExitCode code = receive();
    leave();
    return code;
  }

 private:
  /// Why there is no connection. A status of 0: nobody answered.
  struct Failure {
    unsigned status = 0;
    Error error;
    bool is_final = false;  // trying again is of no use
  };

  ExitCode receive() {
    while (!is_interrupted()) {
      if (options_.count != 0 && sink_.count() >= options_.count) return ExitCode::ok;
      if (is_time_over()) return report_time_over();
      auto event = feed_->next(milliseconds(100));
      if (!event) continue;
      if (auto* message = std::get_if<GatewayMessage>(&*event)) {
        if (!message->offset.empty()) offset_ = message->offset;
        if (Clock::now() > settles_at_) recent_.settle();
        if (!recent_.is_new(message->message.message_id)) continue;
        const auto taken = sink_.take(message->message, client_.url().authority(), protocol());
        if (!taken) return console_.fail(ExitCode::failed, taken.error().describe());
      } else if (const auto* lagged = std::get_if<GatewayLagged>(&*event)) {
        lost_ += lagged->count;
        console_.note(
            fmt::format("Lagged: {} message{} of {} left the gateway's replay window before they could be "
                        "sent",
                        with_commas(lagged->count), lagged->count == 1 ? "" : "s", in_quotes(lagged->topic)));
      } else if (const auto* ended = std::get_if<FeedEnded>(&*event)) {
        if (const auto code = reconnect(ended->error)) return *code;
      }
    }
    has_been_told_ = true;
    return ExitCode::ok;
  }

  [[nodiscard]] bool is_time_over() const {
    return options_.timeout && Clock::now() - started_at_ >= *options_.timeout;
  }

  std::optional<ExitCode> reconnect(const Error& why) {
    feed_.reset();
    grpc_.reset();
    console_.note(fmt::format("The connection to {} is lost: {}; trying again", client_.url().origin(), why.what));
    recent_.on_reconnect();
    settles_at_ = Clock::now() + again_max;
    // What ends as soon as it is made is not made again at once.
    const bool was_short = Clock::now() - connected_at_ < steady_time;
    pause_ = was_short ? longer(pause_) : milliseconds(0);
    for (;; pause_ = longer(pause_)) {
      if (const auto code = sleep(pause_)) return code;
      client_.try_next();
      const auto failure = connect();
      if (failure && failure->is_final) return report(*failure);
      if (failure) continue;
      connected_at_ = Clock::now();
      const bool goes_on = !offset_.empty() && !options_.gateway.is_grpc;
      console_.note(fmt::format("Connected to {} again{}", client_.url().origin(),
                                goes_on ? ", going on behind the last message" : ""));
      return std::nullopt;
    }
  }

  static milliseconds longer(milliseconds pause) { return std::clamp(pause * 2, pause_min, pause_max); }

  /// How the command ends, where it does before the time is over.
  std::optional<ExitCode> sleep(milliseconds time) {
    const auto end = Clock::now() + time;
    while (Clock::now() < end) {
      if (is_interrupted()) {
        has_been_told_ = true;
        return ExitCode::ok;
      }
      if (is_time_over()) return report_time_over();
      std::this_thread::sleep_for(std::min(time, milliseconds(50)));
    }
    return std::nullopt;
  }

  std::optional<Failure> connect() { return options_.gateway.is_grpc ? connect_grpc() : connect_ws(); }

  std::optional<Failure> connect_ws() {
    for (const std::string& topic : options_.topics) {
      nlohmann::json body{{"client_id", access_.client_id()}, {"topic", topic}};
      if (options_.threshold > 0) body["threshold"] = options_.threshold;
      const auto reply = client_.call("POST", "/api/v1/subscribe", body.dump());
      if (!reply) return Failure{0, reply.error(), false};
      if (reply->status != 200) return failure_of(reply->status, error_text(reply->body));
    }
    std::string path = "/api/v1/ws?format=json&client_id=" + url_encoded(access_.client_id());
    if (!offset_.empty()) path += "&offset=" + offset_;
    auto feed = open_ws_feed(client_.at(path), access_.headers(), connect_timeout);
    if (!feed) return failure_of(feed.error());
    feed_ = std::move(*feed);
    return std::nullopt;
  }

  std::optional<Failure> connect_grpc() {
    const Url& url = client_.grpc_url();
    grpc_ = std::make_unique<GatewayGrpc>(url.authority(), url.is_tls, access_.authorization());
    const auto subscribed = grpc_->subscribe(access_.client_id(), options_.topics, options_.threshold, connect_timeout);
    if (!subscribed) return failure_of(subscribed.error());
    feed_ = grpc_->open(access_.client_id(), options_.grpc_queue);
    return std::nullopt;
  }

  static Failure failure_of(unsigned status, const std::string& why) {
    return {status, {ErrorCode::invalid_argument, "", why}, status < 500 && status != 429};
  }
  static Failure failure_of(const Error& error) {
    switch (error.code) {
      case ErrorCode::unauthenticated:
        return {401, error, true};
      case ErrorCode::permission_denied:
        return {403, error, true};
      case ErrorCode::invalid_argument:
        return {400, error, true};
      case ErrorCode::not_found:
        return {404, error, true};
      case ErrorCode::too_large:
        return {429, error, false};
      case ErrorCode::malformed:  // something else listens there
        return {0, error, true};
      default:
        return {0, error, false};
    }
  }

  ExitCode report(const Failure& failure) const {
    if (failure.status != 0) return client_.refused(failure.status, failure.error.what, "the subscription");
    if (!options_.gateway.is_grpc) return client_.unreachable(failure.error);
    const std::string address = client_.grpc_url().authority();
    if (failure.error.code == ErrorCode::timed_out)
      return console_.fail(ExitCode::timed_out, fmt::format("{} did not answer: {}", address, failure.error.what));
    return console_.fail(ExitCode::unreachable,
                         fmt::format("no gateway's gRPC at {}: {}", address, failure.error.what),
                         "--grpc-port with the gateway's PROXY_GRPC_PORT, or without --grpc");
  }

  void announce() const {
    for (const std::string& topic : options_.topics) {
      const std::string line = fmt::format("Subscribed to topic {}, waiting for messages…", in_quotes(topic));
      if (console_.is_table() && !options_.is_raw)
        console_.print(line + "\n");
      else
        console_.note(line);
    }
    console_.debug(fmt::format("client id {}, {} over {}", access_.client_id(), protocol(), client_.url().origin()));
  }

  ExitCode report_time_over() const {
    if (options_.count == 0) return ExitCode::ok;
    return console_.fail(ExitCode::timed_out, fmt::format("{} of {} messages came within {}", sink_.count(),
                                                          options_.count, human_time(*options_.timeout)));
  }

  /// Says goodbye; under an id that nobody comes back with, the gateway need keep no place.
  void leave() {
    if (feed_) feed_->close();
    feed_.reset();
    sink_.finish(has_been_told_);
    if (lost_ != 0) console_.note(fmt::format("Lagged: {} messages in all", with_commas(lost_)));
    if (!access_.is_generated()) return;
    GatewayClient goodbye(console_, {client_.service()}, access_, milliseconds(1000));
    for (const std::string& topic : options_.topics) {
      const nlohmann::json body{{"client_id", access_.client_id()}, {"topic", topic}};
      if (!goodbye.call("POST", "/api/v1/unsubscribe", body.dump())) return;
    }
  }

  [[nodiscard]] const char* protocol() const { return options_.gateway.is_grpc ? "gRPC" : "WebSocket"; }

  const Console& console_;
  const SubscribeOptions& options_;
  Access access_;
  GatewayClient client_;
  MessageSink& sink_;
  std::unique_ptr<GatewayGrpc> grpc_;
  std::unique_ptr<GatewayFeed> feed_;
  RecentMessages recent_{recent_max};
  std::string offset_;
  std::uint64_t lost_ = 0;
  Clock::time_point started_at_;
  Clock::time_point settles_at_;
  Clock::time_point connected_at_;
  milliseconds pause_{0};  // before the next try
  bool has_been_told_ = false;
};

}  // namespace

void RecentMessages::on_reconnect() { had_ = ring_; }

bool RecentMessages::is_new(const std::string& id) {
  if (const auto at = std::find(had_.begin(), had_.end(), id); !id.empty() && at != had_.end()) {
    *at = std::move(had_.back());
    had_.pop_back();
    return false;
  }
  if (ring_.size() < kept_max_) {
    ring_.push_back(id);
  } else {
    ring_[next_] = id;
    next_ = (next_ + 1) % kept_max_;
  }
  return true;
}

ExitCode subscribe_at_gateway(const Console& console, const SubscribeOptions& options) {
  auto urls = service_urls_of(console, options.gateway);
  if (!urls) return urls.error();
  auto access = Access::open(options.gateway.access);
  if (!access)
    return console.fail(ExitCode::usage, access.error().describe(),
                        "'corelay login' writes a new one; --disable-auth goes without");
  auto sink = MessageSink::open(console, options, access->client_id());
  if (!sink) return console.fail(ExitCode::usage, sink.error().describe());
  catch_interrupts();
  return GatewaySubscription(console, options, std::move(*access), std::move(*urls), **sink).run();
}

}  // namespace corelay::tools
