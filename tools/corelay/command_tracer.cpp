// A gateway's tracer: what it saw of the messages of the last seconds, live or after a load of our own.
#include <fmt/format.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <thread>

#include "tools/corelay/commands.h"
#include "tools/corelay/digest.h"
#include "tools/corelay/gateway_frame.h"
#include "tools/corelay/interrupt.h"
#include "tools/corelay/text.h"

namespace corelay::tools {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

double number_at(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>() : 0;
}
std::uint64_t count_at(const Json& object, const char* key) {
  return static_cast<std::uint64_t>(std::clamp(number_at(object, key), 0.0, 1e18));
}
std::string delay_at(const Json& object, const char* key) {
  return human_time(nanoseconds(static_cast<std::int64_t>(std::clamp(number_at(object, key), 0.0, 1e6) * 1e9)));
}

std::string dashboard_text(const Console& console, const Json& snapshot, const Url& url, std::size_t rows) {
  std::string out =
      console.bold(fmt::format("{}, the last {} s", url.origin(), count_at(snapshot, "window_seconds"))) + "\n";
  out += fmt::format("  nodes        {} active, {} not\n", count_at(snapshot, "active_nodes"),
                     count_at(snapshot, "unhealthy_nodes"));
  out += fmt::format("  messages     {} published, {} delivered to nodes, {} duplicates\n",
                     with_commas(count_at(snapshot, "published_messages")),
                     with_commas(count_at(snapshot, "delivered_messages")),
                     with_commas(count_at(snapshot, "duplicate_messages")));
  out += fmt::format("  last node    {} on average, {} p75, {} p95\n", delay_at(snapshot, "average_delay_seconds"),
                     delay_at(snapshot, "p75"), delay_at(snapshot, "p95"));
  out += fmt::format("  bytes        {} delivered, {:.2f} times the least\n",
                     human_bytes(count_at(snapshot, "total_bytes_moved")), number_at(snapshot, "bloat_factor"));
  const Json messages = snapshot.value("messages", Json::object());
  if (!messages.is_object() || messages.empty() || rows == 0) return out;
  Table table({"message", "topic", "nodes", "delay", "bytes delivered"});
  table.align_right({2, 3, 4});
  std::size_t shown = 0;
  for (const auto& [id, message] : messages.items()) {
    if (shown++ == rows || !message.is_object()) break;
    const Json topic = message.value("topic", Json(""));
    table.add_row({on_line(id.substr(0, 12)), topic.is_string() ? on_line(shortened(topic.get<std::string>())) : "",
                   with_commas(count_at(message, "delivered")), delay_at(message, "delay_sec"),
                   human_bytes(count_at(message, "bytes_moved"))});
  }
  out += "\n" + table.text("  ");
  if (messages.size() > rows) out += fmt::format("  and {} more\n", with_commas(messages.size() - rows));
  return out;
}

std::string random_text(std::uint64_t bytes) {
  std::string raw(static_cast<std::size_t>(bytes / 4 * 3 + 3), '\0');
  for (std::size_t at = 0; at < raw.size();) {
    const ssize_t taken = getrandom(raw.data() + at, raw.size() - at, 0);
    if (taken > 0) at += static_cast<std::size_t>(taken);
  }
  std::string text = base64(raw);
  text.resize(static_cast<std::size_t>(bytes));
  return text;
}

/// A verb's gateway, opened.
struct Session {
  Access access;
  std::vector<ServiceUrl> urls;
};
using Opened = tl::expected<Session, ExitCode>;

Opened open(const Console& console, const GatewayOptions& options) {
  auto urls = service_urls_of(console, options);
  if (!urls) return tl::make_unexpected(urls.error());
  auto access = Access::open(options.access);
  if (!access) return tl::make_unexpected(console.fail(ExitCode::usage, access.error().describe(), "'corelay login'"));
  return Session{std::move(*access), std::move(*urls)};
}

/// Publishes one message; a failure is reported.
ExitCode publish_one(GatewayClient& client, const Access& access, const TracerOptions& options) {
  const Json body{{"client_id", access.client_id()},
                  {"topic", options.topic},
                  {"message", random_text(std::max<std::uint64_t>(1, options.bytes))}};
  const auto reply = client.call("POST", "/api/v1/publish", body.dump());
  if (!reply) return client.unreachable(reply.error());
  return reply->status == 200 ? ExitCode::ok : client.refused(*reply, "the message");
}

/// A gateway publishes to topics that somebody has subscribed to.
ExitCode subscribe_first(GatewayClient& client, const Access& access, const std::string& topic) {
  const Json body{{"client_id", access.client_id()}, {"topic", topic}};
  const auto reply = client.call("POST", "/api/v1/subscribe", body.dump());
  if (!reply) return client.unreachable(reply.error());
  return reply->status == 200 ? ExitCode::ok : client.refused(*reply, "the subscription");
}

void unsubscribe(GatewayClient& client, const Access& access, const std::string& topic) {
  if (!access.is_generated()) return;
  const Json body{{"client_id", access.client_id()}, {"topic", topic}};
  static_cast<void>(client.call("POST", "/api/v1/unsubscribe", body.dump()));
}

using Snapshot = tl::expected<Json, ExitCode>;
Snapshot snapshot_of(const Console& console, GatewayClient& client, milliseconds window) {
  const auto seconds = std::clamp<std::int64_t>((window.count() + 999) / 1000, 1, 3600);
  const auto reply = client.call("GET", fmt::format("/api/v1/tracer/stream?window={}s", seconds));
  if (!reply) return tl::make_unexpected(client.unreachable(reply.error()));
  if (reply->status != 200) return tl::make_unexpected(client.refused(*reply, "the question"));
  Json snapshot = Json::parse(reply->body, nullptr, false);
  if (snapshot.is_object()) return snapshot;
  return tl::make_unexpected(console.fail(ExitCode::failed,
                                          fmt::format("{} answered with status 200, but not as a "
                                                      "gateway does: {}",
                                                      client.url().origin(), error_text(reply->body)),
                                          "--service-url with the HTTP port of a gateway"));
}

void sleep_until(Clock::time_point end) {
  while (!is_interrupted() && Clock::now() < end)
    std::this_thread::sleep_for(std::min<Clock::duration>(milliseconds(20), end - Clock::now()));
}

}  // namespace

ExitCode tracer_dashboard(const Console& console, const TracerOptions& options) {
  auto session = open(console, options.gateway);
  if (!session) return session.error();
  GatewayClient client(console, session->urls, session->access, options.gateway.timeout);
  if (options.count != 0) {
    if (const auto code = subscribe_first(client, session->access, options.topic); code != ExitCode::ok) return code;
  }
  catch_interrupts();
  const bool is_live = !options.is_once && console.is_table() && isatty(STDOUT_FILENO) == 1;
  ExitCode code = ExitCode::ok;
  std::string screen;
  std::uint64_t published = 0;
  auto publish_at = Clock::now();
  while (code == ExitCode::ok) {
    if (published < options.count && Clock::now() >= publish_at) {
      code = publish_one(client, session->access, options);
      ++published;
      publish_at += options.interval;
      if (code != ExitCode::ok) break;
    }
    const auto next = Clock::now() + options.tick;
    const Snapshot snapshot = snapshot_of(console, client, options.window);
    if (!snapshot) {
      code = snapshot.error();
      break;
    }
    screen = dashboard_text(console, *snapshot, client.url(), options.rows);
    if (is_live)
      console.print("\x1b[H\x1b[J" + screen + console.dim("\nCtrl-C ends\n"));
    else
      console.print_table(screen);
    console.print_value(*snapshot);
    if (options.is_once) break;
    sleep_until(published < options.count ? std::min(next, publish_at) : next);
    if (is_interrupted()) break;
  }
  if (options.count != 0) unsubscribe(client, session->access, options.topic);
  return code;
}

ExitCode tracer_load(const Console& console, const TracerOptions& options) {
  auto session = open(console, options.gateway);
  if (!session) return session.error();
  std::vector<ServiceUrl> places{session->urls.front()};
  if (!options.second_url.empty()) {
    const auto second = parse_url(options.second_url);
    if (!second) return console.fail(ExitCode::usage, "--endpoint2: " + second.error().what, "http://localhost:8082");
    places.push_back({*second, {}});
  }
  std::vector<std::unique_ptr<GatewayClient>> clients;
  for (const ServiceUrl& place : places) {
    clients.push_back(std::make_unique<GatewayClient>(console, std::vector<ServiceUrl>{place}, session->access,
                                                      options.gateway.timeout));
    if (const auto code = subscribe_first(*clients.back(), session->access, options.topic); code != ExitCode::ok)
      return code;
  }
  catch_interrupts();
  const auto started_at = Clock::now();
  ExitCode code = ExitCode::ok;
  std::uint64_t published = 0;
  while (published < options.count && !is_interrupted()) {
    code = publish_one(*clients[published % clients.size()], session->access, options);
    if (code != ExitCode::ok) break;
    ++published;
    if (published < options.count) sleep_until(started_at + published * options.interval);
  }
  std::this_thread::sleep_for(milliseconds(300));  // for the reports of the last nodes
  const auto took = std::chrono::duration_cast<milliseconds>(Clock::now() - started_at);
  if (code == ExitCode::ok) {
    console.print_table(fmt::format("Published {} message{} of {} in {}\n\n", with_commas(published),
                                    published == 1 ? "" : "s", human_bytes(options.bytes), human_time(took)));
    for (auto& client : clients) {
      const Snapshot snapshot = snapshot_of(console, *client, took + milliseconds(1000));
      if (!snapshot) return snapshot.error();
      console.print_table(dashboard_text(console, *snapshot, client->url(), 0));
      console.print_value(*snapshot);
    }
  }
  for (auto& client : clients) unsubscribe(*client, session->access, options.topic);
  return code;
}

ExitCode tracer_reset(const Console& console, const TracerOptions& options) {
  auto session = open(console, options.gateway);
  if (!session) return session.error();
  GatewayClient client(console, session->urls, session->access, options.gateway.timeout);
  const auto reply = client.call("POST", "/api/v1/tracer/reset");
  if (!reply) return client.unreachable(reply.error());
  if (reply->status != 200) return client.refused(*reply, "the reset");
  console.print_table(fmt::format("The tracer of {} starts anew\n", client.url().origin()));
  console.print_value({{"status", "reset"}, {"service_url", client.url().origin()}});
  return ExitCode::ok;
}

}  // namespace corelay::tools
