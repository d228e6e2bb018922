// The parts of the HTTP API that go on: WebSockets and event streams.
#include <fmt/format.h>

#include "control/gateway/encode.h"
#include "control/gateway/gatekeeper.h"
#include "control/gateway/http_api.h"
#include "control/gateway/text.h"

namespace corelay::gateway {
namespace {

Response error_response(Generation generation, unsigned status, std::string_view why) {
  if (generation == Generation::june) return {status, "text/plain; charset=utf-8", std::string(why) + "\n", {}};
  return {status, "application/json", "{\"error\":" + json_text(why) + "}\n", {}};
}

unsigned status_of(const Error& error) { return error.code == ErrorCode::invalid_argument ? 400 : 503; }

/// Where a stream goes on: offset=EPOCH-N or N, or Last-Event-ID. False where that is no position.
bool position_of(const Request& request, Position& position) {
  std::string text = request.target.parameter("offset");
  if (text.empty()) text = request.last_event_id;
  return text.empty() || parse_position(text, position);
}

std::string chosen_protocol(std::string_view protocols) {
  while (!protocols.empty()) {
    std::string_view name = protocols.substr(0, protocols.find(','));
    protocols.remove_prefix(std::min(protocols.size(), name.size() + 1));
    while (name.starts_with(' ')) name.remove_prefix(1);
    while (name.ends_with(' ')) name.remove_suffix(1);
    if (!name.empty() && !name.starts_with("bearer.")) return std::string(name);
  }
  return "";
}

std::string frame_error(const std::string& id, std::string_view why) {
  return "{\"type\":\"error\"" + (id.empty() ? "" : ",\"id\":" + id) + ",\"error\":" + json_text(why) + "}";
}

}  // namespace

void HttpApi::websocket(Call& call) {
  const Request& request = call.request;
  const auto refuse = [&](unsigned status, std::string_view why) {
    call.respond(error_response(call.generation, status, why));
  };
  if (request.upgrade != "websocket" || request.ws_key.empty()) {
    Response response = error_response(call.generation, 426, "this path is a WebSocket");
    response.headers.emplace_back("Upgrade", "websocket");
    return call.respond(std::move(response));
  }
  if (request.ws_version != "13") {
    Response response = error_response(call.generation, 426, "WebSocket version 13 is needed");
    response.headers.emplace_back("Sec-WebSocket-Version", "13");
    return call.respond(std::move(response));
  }
  const std::string client = call.admission ? call.admission->client_id : request.target.parameter("client_id");
  if (client.empty()) return refuse(400, "missing client ID");
  const std::string name = request.target.parameter("format");
  if (!name.empty() && name != "text" && name != "json") return refuse(400, "format must be text or json");
  const bool is_text = name.empty() ? call.generation == Generation::june : name == "text";
  Position position;
  if (!position_of(request, position)) return refuse(400, "offset must be as a message showed it");
  auto feed = service_.hub().open(client, call.connection.get(), is_text ? Format::text : Format::json, position);
  if (!feed) return refuse(status_of(feed.error()), feed.error().what);
  StreamPlan plan;
  plan.feed = *feed;
  plan.is_websocket = true;
  plan.client = client;
  plan.admission = call.admission;
  plan.headers = {{"Upgrade", "websocket"},
                  {"Connection", "Upgrade"},
                  {"Sec-WebSocket-Accept", ws_accept_key(request.ws_key)},
                  {"X-Gateway-Epoch", service_.hub().params().epoch}};
  if (const auto protocol = chosen_protocol(request.ws_protocols); !protocol.empty()) {
    plan.headers.emplace_back("Sec-WebSocket-Protocol", protocol);
  }
  call.connection->start_stream(std::move(plan));
}

void HttpApi::events(Call& call) {
  const Request& request = call.request;
  const auto refuse = [&](unsigned status, std::string_view why) {
    call.respond(error_response(call.generation, status, why));
  };
  const std::string& path = request.target.path;
  const std::size_t start = path.find("/topics/") + 8;
  const std::string topic = path.substr(start, path.size() - start - 7);
  const std::string name = request.target.parameter("format");
  if (!name.empty() && name != "text" && name != "json") return refuse(400, "format must be text or json");
  double threshold = 0;
  if (const std::string text = request.target.parameter("threshold"); !text.empty()) {
    const auto number = parse_number(text);
    if (!number || *number < 0 || *number > 1) return refuse(400, "threshold must be from 0.1 to 1.0");
    threshold = *number;
  }
  Position position;
  if (!position_of(request, position)) return refuse(400, "Last-Event-ID must be as an event showed it");
  auto feed = service_.hub().open_topic(topic, threshold, call.connection.get(),
                                        name == "text" ? Format::sse_text : Format::sse_json, position);
  if (!feed) return refuse(status_of(feed.error()), feed.error().what);
  StreamPlan plan;
  plan.feed = *feed;
  plan.headers = {{"Content-Type", "text/event-stream"},
                  {"Cache-Control", "no-store"},
                  {"Connection", "close"},
                  {"X-Accel-Buffering", "no"}};
  if (!service_.config().http.cors_origin.empty()) {
    plan.headers.emplace_back("Access-Control-Allow-Origin", service_.config().http.cors_origin);
  }
  service_.when_confirmed(topic, [connection = call.connection, plan = std::move(plan)]() mutable {
    connection->start_stream(std::move(plan));
  });
}

/// {"type":"publish","topic","message"|"message_base64","timestamp","no_dedup","id"}, {"type":"subscribe","topic",
/// "threshold"} and {"type":"unsubscribe","topic"}; each is answered by a frame with the same id.
void HttpApi::on_frame(Connection& connection, std::string_view text, std::function<void(std::string)> reply) {
  auto input = parse_input(text);
  if (!input) return reply(frame_error("", input.error().what));
  const std::string id = input->id;
  const std::string tail = id.empty() ? "" : ",\"id\":" + id;
  if (input->topic.empty()) return reply(frame_error(id, "missing topic"));
  if (input->type == "subscribe") {
    const std::string topic = input->topic;
    return service_.subscribe(connection.client(), topic, input->threshold.value_or(0),
                              [reply, id, tail, topic](const Expected<void>& outcome) {
                                if (!outcome) return reply(frame_error(id, outcome.error().what));
                                reply("{\"type\":\"subscribed\",\"topic\":" + json_text(topic) + tail + "}");
                              });
  }
  if (input->type == "unsubscribe") {
    const bool was = service_.unsubscribe(connection.client(), input->topic);
    return reply(was ? "{\"type\":\"unsubscribed\",\"topic\":" + json_text(input->topic) + tail + "}"
                     : frame_error(id, "not subscribed"));
  }
  if (input->type != "publish") return reply(frame_error(id, "type must be publish, subscribe or unsubscribe"));
  PublishRequest request;
  request.client = connection.client();
  request.topic = input->topic;
  request.payload = std::move(input->message).value_or("");
  request.has_timestamp = input->timestamp.has_value();
  request.timestamp = input->timestamp.value_or(0);
  request.no_dedup = input->no_dedup;
  request.done = [reply, id, tail, topic = input->topic](const PublishOutcome& outcome) {
    const bool is_new = outcome.result == PublishResult::published;
    if (!is_new && outcome.result != PublishResult::deduplicated) return reply(frame_error(id, outcome.reason));
    reply(std::string("{\"type\":\"") + (is_new ? "published" : "deduplicated") + "\",\"topic\":" + json_text(topic) +
          ",\"message_id\":\"" + outcome.message_id + "\"" + tail + "}");
  };
  if (!connection.admission()) return service_.publish(std::move(request));
  const std::size_t bytes = request.payload.size();
  const auto shared_request = std::make_shared<PublishRequest>(std::move(request));
  gatekeeper_->charge(*connection.admission(), bytes, [this, shared_request, reply, id](const Verdict& verdict) {
    if (verdict.is_allowed) return service_.publish(std::move(*shared_request));
    reply(frame_error(id, verdict.why));
  });
}

}  // namespace corelay::gateway
