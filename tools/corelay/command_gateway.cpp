// What a gateway says of itself and of us: health, topics, usage.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "tools/corelay/commands.h"
#include "tools/corelay/gateway_frame.h"
#include "tools/corelay/text.h"

namespace corelay::tools {
namespace {

using Json = nlohmann::ordered_json;

std::string text_at(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) return "-";
  std::string text = found->is_string() ? found->get<std::string>() : found->dump();
  return text.empty() ? "-" : on_line(text);
}

std::uint64_t number_at(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

void show_health(const Console& console, const Url& url, const Json& reply) {
  const bool is_node = reply.contains("mode");  // its API has the same paths
  console.print_table(fmt::format("{:<12}{}\nStatus      {}\n", is_node ? "Node" : "Gateway", url.origin(),
                                  text_at(reply, "status")));
  if (is_node) console.note("That is a node's API, not a gateway: publish and subscribe need a gateway's port.");
  for (const auto& [label, key] : {std::pair{"CPU used", "cpu_used"}, std::pair{"Memory used", "memory_used"},
                                   std::pair{"Disk used", "disk_used"}})
    console.print_table(fmt::format("{:<12}{} %\n", label, text_at(reply, key)));
  if (text_at(reply, "country") != "-") console.print_table("Country     " + text_at(reply, "country") + "\n");
  console.print_value(reply);
}

void show_topics(const Console& console, const Url& url, const Json& reply) {
  const Json topics = reply.value("topics", Json::array());
  const std::string client = text_at(reply, "client_id");
  const std::string whose = client == "-" ? "" : " of " + client;
  console.print_table(
      fmt::format("{} topic{}{} at {}\n", topics.size(), topics.size() == 1 ? "" : "s", whose, url.origin()));
  for (const Json& topic : topics)
    console.print_table("  " + on_line(topic.is_string() ? topic.get<std::string>() : topic.dump()) + "\n");
  if (topics.empty()) console.print_table("None yet: 'corelay subscribe --topic NAME' makes one\n");
  console.print_value(reply);
}

/// "3 / 1,000", or "3, no limit".
std::string used_of(std::uint64_t used, std::uint64_t limit, std::string (*shown)(std::uint64_t)) {
  return limit == 0 ? shown(used) + ", no limit" : shown(used) + " / " + shown(limit);
}

void show_usage(const Console& console, const Json& reply) {
  const auto add = [&](const char* label, const std::string& value) {
    console.print_table(fmt::format("{:<18}{}\n", label, value));
  };
  add("Client", text_at(reply, "client_id"));
  add("Publish (hour)",
      used_of(number_at(reply, "publishes_hour"), number_at(reply, "max_publish_per_hour"), with_commas));
  add("Publish (second)",
      used_of(number_at(reply, "publishes_second"), number_at(reply, "max_publish_per_sec"), with_commas));
  add("Data used today", used_of(number_at(reply, "bytes_today"), number_at(reply, "daily_quota"), human_bytes));
  const std::uint64_t largest = number_at(reply, "max_message_size");
  add("Largest message", largest == 0 ? "no limit of the token" : human_bytes(largest));
  const std::uint64_t left_s = number_at(reply, "resets_in_s");
  add("Next reset", fmt::format("in {} h {:02} min", left_s / 3600, left_s / 60 % 60));
  console.print_value(reply);
}

std::string path_of(GatewayQuestion question, const Access& access) {
  switch (question) {
    case GatewayQuestion::health:
      return "/api/v1/health";
    case GatewayQuestion::usage:
      return "/api/v1/usage";
    case GatewayQuestion::topics:
      break;
  }
  return access.is_generated() ? "/api/v1/topics" : "/api/v1/topics?client_id=" + url_encoded(access.client_id());
}

}  // namespace

ExitCode ask_gateway(const Console& console, const GatewayOptions& options, GatewayQuestion question) {
  auto urls = service_urls_of(console, options);
  if (!urls) return urls.error();
  auto access = Access::open(options.access);
  if (!access)
    return console.fail(ExitCode::usage, access.error().describe(),
                        "'corelay login' writes a new one; --disable-auth goes without");
  GatewayClient client(console, std::move(*urls), *access, options.timeout);
  const auto reply = client.call("GET", path_of(question, *access));
  if (!reply) return client.unreachable(reply.error());
  const Json body = Json::parse(reply->body, nullptr, false);
  const bool is_down = question == GatewayQuestion::health && reply->status == 503 && body.contains("status");
  if (question == GatewayQuestion::usage && reply->status == 404)
    return console.fail(ExitCode::failed,
                        fmt::format("{} keeps no usage: {}", client.url().origin(), error_text(reply->body)),
                        "limits come with tokens; a gateway with ENABLE_AUTH=true has them");
  if (reply->status != 200 && !is_down) return client.refused(*reply, "the question");
  if (!body.is_object())
    return console.fail(ExitCode::failed,
                        fmt::format("{} answered with status 200, but not as a gateway does: {}", client.url().origin(),
                                    error_text(reply->body)),
                        "--service-url with the HTTP port of a gateway");
  switch (question) {
    case GatewayQuestion::health:
      show_health(console, client.url(), body);
      break;
    case GatewayQuestion::topics:
      show_topics(console, client.url(), body);
      break;
    case GatewayQuestion::usage:
      show_usage(console, body);
      break;
  }
  if (is_down)
    return console.fail(ExitCode::unreachable, fmt::format("{} reaches none of its nodes", client.url().origin()),
                        "are the nodes of its P2P_NODES running? 'corelay node health --api ...'");
  return ExitCode::ok;
}

}  // namespace corelay::tools
