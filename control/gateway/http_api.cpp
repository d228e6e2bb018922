#include "control/gateway/http_api.h"

#include <fmt/format.h>
#include <openssl/rand.h>

#include <algorithm>
#include <bit>

#include "control/daemon/version.h"
#include "control/gateway/arrivals.h"
#include "control/gateway/encode.h"
#include "control/gateway/gatekeeper.h"
#include "control/gateway/metrics.h"
#include "control/gateway/openapi.h"
#include "control/gateway/page.h"
#include "control/gateway/text.h"
#include "control/gateway/tracer.h"

namespace corelay::gateway {
namespace {

constexpr std::string_view allowed_methods = "GET, HEAD, POST, OPTIONS";
constexpr std::uint64_t window_s_max = 3600;

Response json_response(std::string body, unsigned status = 200) {
  return {status, "application/json", std::move(body) + "\n", {}};
}

/// The older paths answer errors as plain text, the newer ones as JSON; the words are the same.
Response error_response(Generation generation, unsigned status, std::string_view why) {
  if (generation == Generation::june) return {status, "text/plain; charset=utf-8", std::string(why) + "\n", {}};
  return json_response("{\"error\":" + json_text(why) + "}", status);
}

unsigned status_of(const Error& error) {
  switch (error.code) {
    case ErrorCode::invalid_argument:
    case ErrorCode::malformed:
      return 400;
    case ErrorCode::unauthenticated:
      return 401;
    case ErrorCode::permission_denied:
      return 403;
    case ErrorCode::not_found:
      return 404;
    default:
      return 503;
  }
}

unsigned status_of(PublishResult result) {
  switch (result) {
    case PublishResult::published:
    case PublishResult::deduplicated:
      return 200;
    case PublishResult::not_assigned:
      return 404;
    case PublishResult::too_large:
      return 413;
    case PublishResult::timed_out:
      return 504;
    case PublishResult::no_node:
    case PublishResult::refused:
    case PublishResult::busy:
      break;
  }
  return 503;
}

std::string published_json(const PublishOutcome& outcome, const std::string& topic) {
  const bool is_new = outcome.result == PublishResult::published;
  return std::string("{\"status\":\"") + (is_new ? "published" : "deduplicated") + "\",\"topic\":" + json_text(topic) +
         ",\"message_id\":\"" + outcome.message_id + "\"}";
}

std::string json_list(const std::vector<std::string>& texts) {
  std::string list;
  for (const auto& text : texts) list += (list.empty() ? "" : ",") + json_text(text);
  return list;
}

std::string random_payload(std::size_t bytes) {
  std::string out(bytes, '\0');
  if (bytes != 0) RAND_bytes(reinterpret_cast<unsigned char*>(out.data()), static_cast<int>(bytes));
  return out;
}

/// The token of a call: a header, what a browser's WebSocket can send, or a parameter where nothing else can be.
std::string token_of(const Request& request) {
  constexpr std::string_view bearer = "Bearer ";
  if (request.authorization.size() > bearer.size() &&
      std::equal(bearer.begin(), bearer.end(), request.authorization.begin(),
                 [](unsigned char a, unsigned char b) { return std::tolower(a) == std::tolower(b); })) {
    return request.authorization.substr(bearer.size());
  }
  const std::size_t at = request.ws_protocols.find("bearer.");
  if (at != std::string::npos) {
    return request.ws_protocols.substr(at + 7, request.ws_protocols.find_first_of(", ", at) - at - 7);
  }
  return request.target.parameter("access_token");
}

}  // namespace

struct HttpApi::Entry {
  std::string_view method;
  std::string_view path;
  HttpApi::Route route;
  bool is_api = true;  // below /api and /api/v1
  bool needs_token = true;
};

const HttpApi::Entry HttpApi::routes[] = {
    {"POST", "subscribe", &HttpApi::subscribe},
    {"POST", "unsubscribe", &HttpApi::unsubscribe},
    {"POST", "publish", &HttpApi::publish},
    {"GET", "ws", &HttpApi::websocket},
    {"GET", "health", &HttpApi::health, true, false},
    {"GET", "version", &HttpApi::version, true, false},
    {"GET", "topics", &HttpApi::topics},
    {"GET", "usage", &HttpApi::usage},
    {"GET", "nodes", &HttpApi::nodes},
    {"GET", "arrivals", &HttpApi::arrivals},
    {"GET", "node-countries", &HttpApi::node_countries},
    {"GET", "tracer/stream", &HttpApi::tracer_stream},
    {"GET", "tracer/reset", &HttpApi::tracer_reset},
    {"POST", "tracer/reset", &HttpApi::tracer_reset},
    {"GET", "topics/*/stream", &HttpApi::events},
    {"GET", "/", &HttpApi::page, false, false},
    {"GET", "/page.css", &HttpApi::page, false, false},
    {"GET", "/page.js", &HttpApi::page, false, false},
    {"GET", "/page.svg", &HttpApi::page, false, false},
    {"GET", "/metrics", &HttpApi::metrics, false, false},
    {"GET", "/livez", &HttpApi::live, false, false},
    {"GET", "/readyz", &HttpApi::ready, false, false},
    {"GET", "/openapi.json", &HttpApi::openapi, false, false},
};

HttpApi::HttpApi(Service& service, Gatekeeper* gatekeeper) : service_(service), gatekeeper_(gatekeeper) {}

HttpApi::~HttpApi() = default;

void HttpApi::answer(const std::shared_ptr<Connection>& connection, Request request, Respond respond) {
  const auto& config = service_.config();
  if (!config.http.cors_origin.empty() && !request.origin.empty()) {
    respond = [respond = std::move(respond), origin = config.http.cors_origin](Response response) {
      response.headers.emplace_back("Access-Control-Allow-Origin", origin);
      response.headers.emplace_back("Access-Control-Expose-Headers",
                                    "X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, Retry-After");
      respond(std::move(response));
    };
  }
  const std::string path = request.target.path;
  if (path.empty()) return respond(error_response(Generation::v1, 400, "the request target is malformed"));
  if (request.target.method == "OPTIONS") {
    return respond({204,
                    "",
                    "",
                    {{"Allow", std::string(allowed_methods)},
                     {"Access-Control-Allow-Methods", std::string(allowed_methods)},
                     {"Access-Control-Allow-Headers", "Authorization, Content-Type, Last-Event-ID"},
                     {"Access-Control-Max-Age", "600"}}});
  }
  const bool is_v1 = path.starts_with("/api/v1/");
  const bool is_api = is_v1 || path.starts_with("/api/");
  const Generation generation = is_api && !is_v1 ? Generation::june : Generation::v1;
  const std::string name = !is_api ? path : path.substr(is_v1 ? 8 : 5);
  std::string allowed;
  for (const Entry& entry : routes) {
    if (entry.is_api != is_api) continue;
    const std::size_t star = entry.path.find('*');
    const bool fits = star == std::string_view::npos
                          ? entry.path == name
                          : name.size() > entry.path.size() - 1 && name.starts_with(entry.path.substr(0, star)) &&
                                name.ends_with(entry.path.substr(star + 1));
    if (!fits) continue;
    if (entry.method != request.target.method) {
      allowed += (allowed.empty() ? "" : ", ") + std::string(entry.method);
      continue;
    }
    if (entry.needs_token && gatekeeper_ != nullptr) {
      return admit(connection, std::move(request), std::move(respond), entry.route, generation);
    }
    Call call{connection, request, respond, generation, nullptr};
    return (this->*entry.route)(call);
  }
  if (allowed.empty()) return respond(error_response(generation, 404, "no such path; see /openapi.json"));
  Response response = error_response(generation, 405, "method not allowed; allowed: " + allowed);
  response.headers.emplace_back("Allow", allowed);
  respond(std::move(response));
}

void HttpApi::admit(const std::shared_ptr<Connection>& connection, Request request, Respond respond, Route route,
                    Generation generation) {
  const std::string token = token_of(request);
  const auto shared_request = std::make_shared<Request>(std::move(request));
  gatekeeper_->admit(token, [this, connection, shared_request, respond = std::move(respond), route,
                             generation](Expected<std::shared_ptr<Admission>> admission) mutable {
    if (!connection->is_open()) return;
    if (!admission) {
      const unsigned status = status_of(admission.error());
      Response response = error_response(generation, status, admission.error().what);
      if (status == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer error=\"invalid_token\"");
      return respond(std::move(response));
    }
    Call call{connection, *shared_request, respond, generation, *admission};
    (this->*route)(call);
  });
}

void HttpApi::subscribe(Call& call) {
  auto input = parse_input(call.request.body);
  if (!input) return call.respond(error_response(call.generation, 400, input.error().what));
  if (call.admission) input->client_id = call.admission->client_id;
  if (call.generation == Generation::v1) {
    if (input->topic.empty()) return call.respond(error_response(call.generation, 400, "missing topic"));
    if (input->client_id.empty()) return call.respond(error_response(call.generation, 400, "missing client ID"));
  }
  Response done = json_response("{\"client\":" + json_text(input->client_id) + ",\"status\":\"subscribed\"}");
  if (input->topic.empty()) return call.respond(std::move(done));  // the older API says so, and so do we
  service_.subscribe(
      input->client_id, input->topic, input->threshold.value_or(0),
      [respond = call.respond, generation = call.generation, done = std::move(done)](const Expected<void>& outcome) {
        if (outcome) return respond(done);
        respond(error_response(generation, status_of(outcome.error()), outcome.error().what));
      });
}

void HttpApi::unsubscribe(Call& call) {
  auto input = parse_input(call.request.body);
  if (!input) return call.respond(error_response(call.generation, 400, input.error().what));
  if (call.admission) input->client_id = call.admission->client_id;
  if (!service_.unsubscribe(input->client_id, input->topic)) {
    return call.respond(error_response(call.generation, 404, "not subscribed"));
  }
  call.respond(json_response("{\"client\":" + json_text(input->client_id) + ",\"status\":\"unsubscribed\"}"));
}

void HttpApi::publish(Call& call) {
  auto input = parse_input(call.request.body);
  const auto refuse = [&](unsigned status, std::string_view why) {
    call.respond(error_response(call.generation, status, why));
  };
  if (!input) return refuse(400, input.error().what);
  if (call.admission) input->client_id = call.admission->client_id;
  const bool is_v1 = call.generation == Generation::v1;
  if (is_v1 && input->topic.empty()) return refuse(400, "missing topic");
  if (is_v1 && input->client_id.empty()) return refuse(400, "missing client ID");
  if (input->topic.empty()) return refuse(404, "topic not assigned");
  if (auto checked = check_client_id(input->client_id); !checked) return refuse(400, checked.error().what);
  const bool has_message = input->message && !input->message->empty();
  if (!has_message && input->message_length) {
    if (*input->message_length > service_.hub().params().message_bytes_max) {
      return refuse(413, fmt::format("message_length is over delivery.message_bytes_max = {} bytes",
                                     service_.hub().params().message_bytes_max));
    }
    input->message = random_payload(static_cast<std::size_t>(*input->message_length));
  } else if (!has_message && is_v1) {
    return refuse(400, input->message ? "message is empty (0 bytes), give it a byte or more: either message or "
                                        "message_length must be provided"
                                      : "either message or message_length must be provided");
  }
  PublishRequest request;
  request.client = std::move(input->client_id);
  request.topic = std::move(input->topic);
  request.payload = std::move(input->message).value_or("");
  request.has_timestamp = input->timestamp.has_value();
  request.timestamp = input->timestamp.value_or(0);
  request.no_dedup = input->no_dedup;
  const auto headers = std::make_shared<std::vector<std::pair<std::string, std::string>>>();
  request.done = [respond = call.respond, generation = call.generation, topic = request.topic,
                  headers](const PublishOutcome& outcome) {
    const unsigned status = status_of(outcome.result);
    Response response = status == 200 ? json_response(published_json(outcome, topic))
                                      : error_response(generation, status, outcome.reason);
    if (outcome.result == PublishResult::busy) response.headers.emplace_back("Retry-After", "1");
    response.headers.insert(response.headers.end(), headers->begin(), headers->end());
    respond(std::move(response));
  };
  if (!call.admission) return service_.publish(std::move(request));
  const std::size_t bytes = request.payload.size();
  const auto shared_request = std::make_shared<PublishRequest>(std::move(request));
  gatekeeper_->charge(
      *call.admission, bytes,
      [this, shared_request, headers, respond = call.respond, generation = call.generation](const Verdict& verdict) {
        *headers = verdict.headers;
        if (verdict.is_allowed) return service_.publish(std::move(*shared_request));
        Response response = error_response(generation, verdict.is_too_large ? 413 : 429, verdict.why);
        response.headers = verdict.headers;
        respond(std::move(response));
      });
}

void HttpApi::health(Call& call) {
  const daemon::SystemLoad load = service_.stats().load();
  std::string country, iso;
  for (const auto& link : service_.nodes().links()) {
    const NodeHealth health = link->health();
    if (country.empty()) country = health.country;
    if (iso.empty()) iso = health.country_iso;
  }
  const bool is_up = service_.nodes().reachable() != 0 && !service_.is_draining;
  call.respond(
      json_response(fmt::format("{{\"country\":{},\"country_iso\":{},\"cpu_used\":\"{:.2f}\",\"disk_used\":\"{:.2f}\","
                                "\"memory_used\":\"{:.2f}\",\"status\":\"{}\"}}",
                                json_text(country), json_text(iso), load.cpu_percent, load.disk_percent,
                                load.memory_percent, is_up ? "ok" : "no nodes"),
                    is_up ? 200 : 503));
}

void HttpApi::version(Call& call) {
  call.respond(json_response(
      fmt::format("{{\"version\":\"{}\",\"commit_hash\":\"{}\"}}", daemon::version(), daemon::commit_hash())));
}

void HttpApi::topics(Call& call) {
  const std::string client = call.admission ? call.admission->client_id : call.request.target.parameter("client_id");
  const auto names = client.empty() ? service_.hub().topics() : service_.hub().topics_of(client);
  call.respond(json_response(fmt::format("{{\"client_id\":{},\"topics\":[{}],\"count\":{}}}", json_text(client),
                                         json_list(names), names.size())));
}

void HttpApi::node_countries(Call& call) {
  std::string countries, isos;
  for (const auto& link : service_.nodes().links()) {
    const NodeHealth health = link->health();
    const std::string comma = countries.empty() ? "" : ",";
    countries +=
        comma + json_text(link->address()) + ":" + json_text(health.country.empty() ? "unknown" : health.country);
    isos += comma + json_text(link->address()) + ":" + json_text(health.country_iso);
  }
  call.respond(json_response(fmt::format("{{\"count\":{},\"countries\":{{{}}},\"country_isos\":{{{}}}}}",
                                         service_.nodes().links().size(), countries, isos)));
}

void HttpApi::nodes(Call& call) {
  std::string list;
  for (unsigned node = 0; node < service_.nodes().links().size(); ++node) {
    const auto& link = *service_.nodes().links()[node];
    const NodeHealth health = link.health();
    list += list.empty() ? "" : ",";
    list += fmt::format(
        "{{\"address\":{},\"reachable\":{},\"peer_address\":{},\"peer_id\":{},\"peers\":[{}],\"mesh_peers\":[{}],"
        "\"mode\":{},\"cpu_used\":{:.2f},\"memory_used\":{:.2f},\"disk_used\":{:.2f},\"messages\":{}}}",
        json_text(link.address()), link.is_reachable(), json_text(health.peer_address), json_text(health.peer_id()),
        json_list(health.peers), json_list(health.mesh_peers), json_text(health.mode), health.cpu_percent,
        health.memory_percent, health.disk_percent, service_.nodes().messages_from(node));
  }
  call.respond(json_response("{\"nodes\":[" + list + "]}"));
}

void HttpApi::arrivals(Call& call) {
  const std::string text = call.request.target.parameter("after");
  const auto after = text.empty() ? 0.0 : parse_number(text).value_or(-1);
  if (!(after >= 0 && after < 9e15)) {
    return call.respond(error_response(call.generation, 400, "after must be the number that an answer called next"));
  }
  call.respond(json_response(service_.arrivals().changes_json(static_cast<std::uint64_t>(after),
                                                              service_.hub().params().epoch,
                                                              std::chrono::steady_clock::now())));
}

void HttpApi::page(Call& call) {
  const PageFile& file = *find_page_file(call.request.target.path);
  call.respond({200,
                std::string(file.content_type),
                std::string(file.body),
                {{"Content-Security-Policy", std::string(page_policy)},
                 {"X-Content-Type-Options", "nosniff"},
                 {"Referrer-Policy", "no-referrer"},
                 {"Cache-Control", "no-cache"}}});
}

void HttpApi::usage(Call& call) {
  if (!call.admission) return call.respond(error_response(call.generation, 404, "no limits: authentication is off"));
  const Usage usage = gatekeeper_->usage(*call.admission);
  const Limits& limits = call.admission->limits;
  call.respond(json_response(
      fmt::format("{{\"client_id\":{},\"publishes_hour\":{},\"max_publish_per_hour\":{},\"publishes_second\":{},"
                  "\"max_publish_per_sec\":{},\"bytes_today\":{},\"daily_quota\":{},\"max_message_size\":{},"
                  "\"resets_in_s\":{}}}",
                  json_text(call.admission->client_id), usage.publishes_this_hour, limits.publishes_per_hour,
                  usage.publishes_this_second, limits.publishes_per_second, usage.bytes_today, limits.bytes_per_day,
                  limits.message_bytes, usage.resets_in_s)));
}

void HttpApi::tracer_stream(Call& call) {
  std::string text = call.request.target.parameter("window");
  if (text.ends_with('s')) text.pop_back();
  const auto window = text.empty() ? 10.0 : parse_number(text).value_or(-1);
  if (!(window >= 1 && window <= static_cast<double>(window_s_max))) {
    return call.respond(error_response(call.generation, 400, "window must be from 1s to 3600s"));
  }
  const auto active = static_cast<unsigned>(std::popcount(service_.nodes().reachable()));
  const auto all = static_cast<unsigned>(service_.nodes().links().size());
  call.respond(json_response(service_.tracer().snapshot(std::chrono::seconds(static_cast<int>(window)), active,
                                                        all - active, std::chrono::steady_clock::now())));
}

void HttpApi::tracer_reset(Call& call) {
  service_.tracer().reset();
  call.respond(json_response("{\"status\":\"reset\"}"));
}

void HttpApi::metrics(Call& call) {
  call.respond({200, "text/plain; version=0.0.4; charset=utf-8", metrics_text(service_), {}});
}

void HttpApi::live(Call& call) { call.respond({200, "text/plain; charset=utf-8", "ok\n", {}}); }

void HttpApi::ready(Call& call) {
  if (service_.is_draining) return call.respond({503, "text/plain; charset=utf-8", "the gateway is stopping\n", {}});
  if (service_.nodes().reachable() == 0) {
    return call.respond({503, "text/plain; charset=utf-8", "no node can be reached (nodes.sidecars, P2P_NODES)\n", {}});
  }
  call.respond({200, "text/plain; charset=utf-8", "ready\n", {}});
}

void HttpApi::openapi(Call& call) { call.respond({200, "application/json", std::string(openapi_json()), {}}); }

void HttpApi::on_stream_end(Connection&) {}

}  // namespace corelay::gateway
