// Many publishers, or many subscribers, at a time: a thread and a connection each, against one or several gateways in
// turn.
#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "tools/corelay/commands.h"
#include "tools/corelay/gateway_feed.h"
#include "tools/corelay/gateway_frame.h"
#include "tools/corelay/gateway_grpc.h"
#include "tools/corelay/interrupt.h"
#include "tools/corelay/load_payload.h"
#include "tools/corelay/text.h"
#include "tools/corelay/wall_clock.h"

namespace corelay::tools {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

constexpr std::size_t samples_max = 1'000'000;
constexpr milliseconds call_timeout{45'000};

std::string run_name() {
  std::uint32_t number = 0;
  static_cast<void>(getrandom(&number, sizeof number, 0));
  return fmt::format("{:08x}", number);
}

/// What all threads count together.
struct Tally {
  std::mutex mutex;
  std::uint64_t done = 0;
  std::uint64_t failed = 0;
  std::uint64_t repeated = 0;  // messages a subscriber had already
  std::uint64_t lost = 0;      // numbers left out, of publishers it heard from
  std::uint64_t lagged = 0;
  std::uint64_t bytes = 0;
  std::vector<double> delays_ms;
  std::map<std::string, std::uint64_t> failures;  // by reason
  bool was_answered = false;                      // one of the failures was a gateway's word

  void add_delay(double ms) {
    if (delays_ms.size() < samples_max) delays_ms.push_back(ms);
  }
  void fail(const std::string& why) {
    ++failed;
    if (failures.size() < 16 || failures.count(why) != 0) ++failures[why];
  }
};

double percentile(const std::vector<double>& sorted, double share) {
  if (sorted.empty()) return 0;
  return sorted[static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1) + 0.5)];
}

nanoseconds as_time(double ms) { return nanoseconds(static_cast<std::int64_t>(ms * 1e6)); }

/// The line about delays, and their JSON.
std::string delays_text(std::vector<double>& delays, const char* what, Json& value) {
  if (delays.empty()) return "";
  std::sort(delays.begin(), delays.end());
  const double p50 = percentile(delays, 0.5), p99 = percentile(delays, 0.99);
  value["p50_ms"] = p50;
  value["p99_ms"] = p99;
  value["max_ms"] = delays.back();
  return fmt::format("{:<14}{} median, {} p99, {} at most\n", what, human_time(as_time(p50)), human_time(as_time(p99)),
                     human_time(as_time(delays.back())));
}

void sleep_for(milliseconds time) {
  const auto end = Clock::now() + time;
  while (!is_interrupted() && Clock::now() < end)
    std::this_thread::sleep_for(std::min<Clock::duration>(milliseconds(20), end - Clock::now()));
}

/// One client's turn among the gateways, with an access of its own: they are not shared between threads.
struct Client {
  Access access;
  ServiceUrl url;
};
using Clients = tl::expected<std::vector<Client>, ExitCode>;

Clients clients_of(const Console& console, const MultiOptions& options, const std::string& run) {
  const auto urls = service_urls_of(console, options.gateway);
  if (!urls) return tl::make_unexpected(urls.error());
  std::vector<Client> clients;
  for (std::uint32_t i = 0; i < options.clients; ++i) {
    AccessOptions access = options.gateway.access;
    access.client_id = fmt::format("{}-{}-{}", access.client_id.empty() ? "corelay-multi" : access.client_id, run, i);
    auto opened = Access::open(access);
    if (!opened)
      return tl::make_unexpected(console.fail(ExitCode::usage, opened.error().describe(), "'corelay login'"));
    clients.push_back({std::move(*opened), (*urls)[i % urls->size()]});
  }
  return clients;
}

class Publishers {
 public:
  Publishers(const Console& console, const MultiOptions& options, std::string run)
      : console_(console), options_(options), run_(std::move(run)) {}

  void run_one(std::uint32_t index, Client& client) {
    // Notes about refusals are counted, not printed a thousand times.
    GatewayClient rest(console_, {client.url}, client.access, call_timeout);
    std::unique_ptr<GatewayGrpc> grpc;
    if (options_.gateway.is_grpc)
      grpc = std::make_unique<GatewayGrpc>(client.url.grpc.authority(), client.url.grpc.is_tls,
                                           client.access.authorization());
    for (std::uint64_t n = 0; n < options_.count && !is_interrupted(); ++n) {
      if (n != 0 && options_.interval.count() != 0) sleep_for(options_.interval);
      const std::string payload = load_payload({run_, index, n, wall_time().count()}, options_.bytes);
      const auto sent_at = Clock::now();
      const auto sent = grpc ? send_grpc(*grpc, client, payload) : send_rest(rest, client, payload);
      const double ms = std::chrono::duration<double, std::milli>(Clock::now() - sent_at).count();
      const std::lock_guard lock(tally.mutex);
      if (!sent) {
        tally.fail(sent.error().what);
        const bool is_silent = sent.error().code == ErrorCode::unavailable || sent.error().code == ErrorCode::timed_out;
        tally.was_answered = tally.was_answered || !is_silent;
        continue;
      }
      ++tally.done;
      tally.bytes += payload.size();
      tally.add_delay(ms);
    }
  }

  Tally tally;

 private:
  Expected<void> send_rest(GatewayClient& rest, const Client& client, const std::string& payload) const {
    const Json body{{"client_id", client.access.client_id()}, {"topic", options_.topic}, {"message", payload}};
    const auto reply = rest.call("POST", "/api/v1/publish", body.dump());
    if (!reply) return tl::make_unexpected(reply.error());
    if (reply->status == 200) return {};
    return fail(ErrorCode::permission_denied, "publish",
                fmt::format("status {}: {}", reply->status, error_text(reply->body)));
  }
  Expected<void> send_grpc(GatewayGrpc& grpc, const Client& client, const std::string& payload) const {
    const auto done = grpc.publish(client.access.client_id(), options_.topic, payload, call_timeout);
    if (!done) return tl::make_unexpected(done.error());
    return {};
  }

  const Console& console_;
  const MultiOptions& options_;
  const std::string run_;
};

/// Which messages of each publisher one subscriber has had; the first that it hears of a publisher is where it counts
/// from.
class Seen {
 public:
  void take(const LoadStamp& stamp, Tally& tally) {
    const auto [at, is_new] = places_.try_emplace(stamp.run + " " + std::to_string(stamp.publisher));
    Place& place = at->second;
    if (is_new) place.next = stamp.number;
    if (stamp.number >= place.next) {
      place.missing += stamp.number - place.next;
      tally.lost += stamp.number - place.next;
      place.next = stamp.number + 1;
    } else if (place.missing != 0) {  // late, not lost
      --place.missing;
      --tally.lost;
    } else {
      ++tally.repeated;
    }
  }

 private:
  struct Place {
    std::uint64_t next = 0;
    std::uint64_t missing = 0;
  };
  std::map<std::string, Place> places_;
};

class Subscribers {
 public:
  Subscribers(const Console& console, const MultiOptions& options) : console_(console), options_(options) {}

  void run_one(Client& client, Clock::time_point end) {
    auto feed = open(client);
    ++opened;
    if (!feed) {
      const std::lock_guard lock(tally.mutex);
      return tally.fail(feed.error().what);
    }
    Seen seen;
    std::uint64_t taken = 0;
    while (!is_interrupted() && Clock::now() < end && (options_.count == 0 || taken < options_.count)) {
      const auto event = (*feed)->next(milliseconds(100));
      if (!event) continue;
      const std::int64_t now_ns = wall_time().count();
      const std::lock_guard lock(tally.mutex);
      if (const auto* message = std::get_if<GatewayMessage>(&*event)) {
        ++taken;
        ++tally.done;
        tally.bytes += message->message.payload.size();
        if (first_at == Clock::time_point{}) first_at = Clock::now();
        last_at = Clock::now();
        const auto stamp = parse_load(message->message.payload);
        if (!stamp) continue;
        seen.take(*stamp, tally);
        tally.add_delay(static_cast<double>(now_ns - stamp->sent_ns) / 1e6);
      } else if (const auto* lagged = std::get_if<GatewayLagged>(&*event)) {
        tally.lagged += lagged->count;
      } else if (const auto* ended = std::get_if<FeedEnded>(&*event)) {
        return tally.fail(ended->error.what);
      }
    }
    (*feed)->close();
    leave(client);
  }

  Tally tally;
  std::atomic<std::uint32_t> opened = 0;
  Clock::time_point first_at, last_at;  // of any message; the tally's lock

 private:
  Expected<std::unique_ptr<GatewayFeed>> open(Client& client) {
    const std::string& id = client.access.client_id();
    if (options_.gateway.is_grpc) {
      GatewayGrpc grpc(client.url.grpc.authority(), client.url.grpc.is_tls, client.access.authorization());
      const auto subscribed = grpc.subscribe(id, {options_.topic}, options_.threshold, call_timeout);
      if (!subscribed) return tl::make_unexpected(subscribed.error());
      return grpc.open(id, 1000);
    }
    GatewayClient rest(console_, {client.url}, client.access, call_timeout);
    Json body{{"client_id", id}, {"topic", options_.topic}};
    if (options_.threshold > 0) body["threshold"] = options_.threshold;
    const auto reply = rest.call("POST", "/api/v1/subscribe", body.dump());
    if (!reply) return tl::make_unexpected(reply.error());
    if (reply->status != 200)
      return fail(ErrorCode::unavailable, "subscribe",
                  fmt::format("status {}: {}", reply->status, error_text(reply->body)));
    return open_ws_feed(rest.at("/api/v1/ws?format=json&client_id=" + url_encoded(id)), client.access.headers(),
                        call_timeout);
  }

  void leave(Client& client) {
    if (client.access.has_token()) return;  // all read under the token's name
    GatewayClient rest(console_, {client.url}, client.access, milliseconds(1000));
    const Json body{{"client_id", client.access.client_id()}, {"topic", options_.topic}};
    static_cast<void>(rest.call("POST", "/api/v1/unsubscribe", body.dump()));
  }

  const Console& console_;
  const MultiOptions& options_;
};

std::string failures_text(const Tally& tally) {
  std::string text;
  for (const auto& [why, count] : tally.failures) text += fmt::format("  {} × {}\n", with_commas(count), why);
  return text;
}

}  // namespace

ExitCode multi_publish(const Console& console, const MultiOptions& options) {
  const std::string run = run_name();
  auto clients = clients_of(console, options, run);
  if (!clients) return clients.error();
  catch_interrupts();
  Publishers publishers(console, options, run);
  const auto started_at = Clock::now();
  std::vector<std::thread> threads;
  for (std::uint32_t i = 0; i < options.clients; ++i)
    threads.emplace_back([&, i] { publishers.run_one(i, (*clients)[i]); });
  for (auto& thread : threads) thread.join();
  const double seconds = std::chrono::duration<double>(Clock::now() - started_at).count();
  Tally& tally = publishers.tally;
  Json value{{"run", run},
             {"publishers", options.clients},
             {"published", tally.done},
             {"failed", tally.failed},
             {"seconds", seconds},
             {"publishes_per_second", static_cast<double>(tally.done) / seconds}};
  const std::string delays = delays_text(tally.delays_ms, "Answered in", value);
  console.print_table(fmt::format("Published     {} messages of {} publishers in {}: {} a second, {}/s\n{}",
                                  with_commas(tally.done), options.clients, human_time(as_time(seconds * 1000)),
                                  with_commas(static_cast<std::uint64_t>(static_cast<double>(tally.done) / seconds)),
                                  human_bytes(static_cast<std::uint64_t>(static_cast<double>(tally.bytes) / seconds)),
                                  delays));
  console.print_value(value);
  if (tally.failed == 0) return ExitCode::ok;
  console.note(failures_text(tally));
  return console.fail(
      tally.was_answered ? ExitCode::refused : ExitCode::unreachable,
      fmt::format("{} of {} publishes failed", with_commas(tally.failed), with_commas(tally.failed + tally.done)),
      "the reasons are above; 'corelay health' shows whether the gateway reaches its nodes");
}

ExitCode multi_subscribe(const Console& console, const MultiOptions& options) {
  auto clients = clients_of(console, options, run_name());
  if (!clients) return clients.error();
  catch_interrupts();
  Subscribers subscribers(console, options);
  const auto end = options.timeout ? Clock::now() + *options.timeout : Clock::time_point::max();
  std::vector<std::thread> threads;
  for (Client& client : *clients)
    threads.emplace_back([&subscribers, &client, end] { subscribers.run_one(client, end); });
  while (subscribers.opened < options.clients && !is_interrupted()) std::this_thread::sleep_for(milliseconds(10));
  console.note(fmt::format("{} subscribers on topic {}", options.clients, in_quotes(options.topic)));
  for (auto& thread : threads) thread.join();
  Tally& tally = subscribers.tally;
  const double seconds =
      std::max(1e-9, std::chrono::duration<double>(subscribers.last_at - subscribers.first_at).count());
  Json value{{"subscribers", options.clients}, {"received", tally.done},     {"bytes", tally.bytes},
             {"missing", tally.lost},          {"repeated", tally.repeated}, {"lagged", tally.lagged},
             {"failed", tally.failed},         {"seconds", seconds}};
  const std::string delays = delays_text(tally.delays_ms, "Delivered in", value);
  console.print_table(
      fmt::format("Received      {} messages at {} subscribers in {}: {} a second, {}/s\n{}"
                  "Missing       {}, {} repeated, {} lagged\n",
                  with_commas(tally.done), options.clients, human_time(as_time(seconds * 1000)),
                  with_commas(static_cast<std::uint64_t>(static_cast<double>(tally.done) / seconds)),
                  human_bytes(static_cast<std::uint64_t>(static_cast<double>(tally.bytes) / seconds)), delays,
                  with_commas(tally.lost), with_commas(tally.repeated), with_commas(tally.lagged)));
  console.print_value(value);
  if (tally.failed != 0) {
    console.note(failures_text(tally));
    return console.fail(ExitCode::unreachable,
                        fmt::format("{} of {} subscribers failed", tally.failed, options.clients),
                        "the reasons are above");
  }
  const std::uint64_t wanted = options.count * options.clients;
  if (tally.done < wanted)
    return console.fail(ExitCode::timed_out,
                        fmt::format("{} of {} messages came", with_commas(tally.done), with_commas(wanted)));
  return ExitCode::ok;
}

}  // namespace corelay::tools
