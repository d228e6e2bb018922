// Publishing through a gateway: REST, or gRPC with --grpc.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "tools/corelay/digest.h"
#include "tools/corelay/gateway_frame.h"
#include "tools/corelay/gateway_grpc.h"
#include "tools/corelay/json_field.h"
#include "tools/corelay/publish_outlet.h"
#include "tools/corelay/text.h"
#include "tools/corelay/wall_clock.h"

namespace corelay::tools {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;

class GatewayOutlet final : public PublishOutlet {
 public:
  GatewayOutlet(const Console& console, const PublishOptions& options, Access access, std::vector<ServiceUrl> urls)
      : console_(console),
        options_(options),
        access_(std::move(access)),
        client_(console, std::move(urls), access_, options.timeout) {}

  ExitCode send(const Payload& payload) override {
    if (payload.bytes.empty() && !options_.gateway.is_grpc)
      return console_.fail(ExitCode::refused, "message is empty (0 bytes), and a gateway takes no empty one over HTTP",
                           "a message of a byte or more; --grpc, or a node's sidecar (--addr HOST:PORT), takes an "
                           "empty one");
    const auto sent_at = Clock::now();
    const auto sent_ns = wall_time();
    Answer answer = options_.gateway.is_grpc ? send_grpc(payload) : send_rest(payload);
    if (!answer) return answer.error();
    if (console_.is_debug())
      console_.note(
          fmt::format("Publish:\tsender_info:{}, [send_time, size]:[{}, {}]\ttopic:{}\tmsg_hash:{}\tprotocol:{}",
                      client_.url().authority(), sent_ns.count(), payload.bytes.size(), options_.topic,
                      sha256_hex(payload.bytes).substr(0, 8), options_.gateway.is_grpc ? "gRPC" : "HTTP"));
    return report_published(console_, *answer, payload, Clock::now() - sent_at);
  }

 private:
  using Answer = tl::expected<PublishReport, ExitCode>;

  Answer send_rest(const Payload& payload) {
    Json body{{"client_id", access_.client_id()}, {"topic", options_.topic}};
    if (is_printable(payload.bytes))
      body["message"] = payload.bytes;
    else
      body["message_base64"] = base64(payload.bytes);
    if (!options_.is_deduplicated)
      body["timestamp"] = std::chrono::duration_cast<std::chrono::milliseconds>(wall_time()).count();
    const auto reply = client_.call("POST", "/api/v1/publish", body.dump());
    if (!reply) return tl::make_unexpected(client_.unreachable(reply.error()));
    if (reply->status != 200) return tl::make_unexpected(client_.refused(*reply, "the message"));
    const Json told = Json::parse(reply->body, nullptr, false);
    if (!told.is_object() || !told.contains("status") || !told["status"].is_string())
      return tl::make_unexpected(console_.fail(ExitCode::failed,
                                               fmt::format("{} answered with status 200, but not as a gateway does: {}",
                                                           client_.url().origin(), error_text(reply->body)),
                                               "--service-url with the HTTP port of a gateway"));
    return PublishReport{options_.topic, told["status"].get<std::string>(), string_at(told, "message_id")};
  }

  Answer send_grpc(const Payload& payload) {
    for (std::size_t tried = 1;; ++tried) {
      const std::string authorization = access_.authorization();
      if (!grpc_ || authorization != grpc_authorization_) {
        const Url& url = client_.grpc_url();
        grpc_ = std::make_unique<GatewayGrpc>(url.authority(), url.is_tls, authorization);
        grpc_authorization_ = authorization;
        grpc_address_ = url.authority();
      }
      auto done = grpc_->publish(access_.client_id(), options_.topic, payload.bytes, options_.timeout);
      if (done) return PublishReport{options_.topic, done->status, done->message_id};
      if (done.error().code == ErrorCode::unavailable && tried < client_.gateways()) {
        client_.try_next();
        grpc_.reset();
        continue;
      }
      return tl::make_unexpected(report_grpc(done.error()));
    }
  }

  ExitCode report_grpc(const Error& error) const {
    switch (error.code) {
      case ErrorCode::unavailable:
        return console_.fail(ExitCode::unreachable,
                             fmt::format("no gateway's gRPC at {}: {}", grpc_address_, error.what),
                             "--grpc-port with the gateway's PROXY_GRPC_PORT, or without --grpc");
      case ErrorCode::timed_out:
        return console_.fail(ExitCode::timed_out, fmt::format("{} did not answer: {}", grpc_address_, error.what));
      case ErrorCode::unauthenticated:
        return client_.refused(401, error.what, "the message");
      case ErrorCode::malformed:
        return console_.fail(ExitCode::unreachable,
                             fmt::format("no gateway's gRPC at {}: {}", grpc_address_, error.what),
                             "--grpc-port with the gateway's PROXY_GRPC_PORT, or --addr for a node");
      case ErrorCode::not_found:
        return client_.refused(404, error.what, "the message");
      case ErrorCode::too_large:
        return client_.refused(429, error.what, "the message");
      default:
        return console_.fail(ExitCode::refused, fmt::format("{} refused the message: {}", grpc_address_, error.what));
    }
  }

  const Console& console_;
  const PublishOptions& options_;
  Access access_;
  GatewayClient client_;
  std::unique_ptr<GatewayGrpc> grpc_;
  std::string grpc_address_;
  std::string grpc_authorization_;
};

}  // namespace

OpenedOutlet open_gateway_outlet(const Console& console, const PublishOptions& options) {
  auto urls = service_urls_of(console, options.gateway);
  if (!urls) return tl::make_unexpected(urls.error());
  auto access = Access::open(options.gateway.access);
  if (!access)
    return tl::make_unexpected(console.fail(ExitCode::usage, access.error().describe(),
                                            "'corelay login' writes a new one; --disable-auth goes without"));
  return std::make_unique<GatewayOutlet>(console, options, std::move(*access), std::move(*urls));
}

ExitCode report_published(const Console& console, const PublishReport& report, const Payload& payload,
                          std::chrono::nanoseconds took) {
  const bool is_new = report.status != "deduplicated";
  const char* verb = is_new ? "Published" : "Already there:";
  if (console.is_table()) {
    const bool is_text = payload.name.empty() && payload.bytes.size() <= 512 && is_printable(payload.bytes);
    if (is_text) {
      console.print(fmt::format("{} {} to {}\n", verb, in_quotes(payload.bytes), in_quotes(report.topic)));
    } else {
      console.print(fmt::format("{} {}{} to {} in {}\n", verb, exact_bytes(payload.bytes.size()),
                                payload.name.empty() ? "" : " of " + payload.name, in_quotes(report.topic),
                                human_time(took)));
      console.print(console.dim(fmt::format("  message id (SHA-256) {}", on_line(report.message_id))) + "\n");
    }
  }
  if (!is_new)
    console.note("The gateway took these bytes on this topic less than two minutes ago, and delivers them once. "
                 "Over HTTP, without --dedup, they are a message of their own.");
  console.print_value({{"status", report.status},
                       {"topic", report.topic},
                       {"message_id", report.message_id},
                       {"bytes", payload.bytes.size()},
                       {"milliseconds", std::chrono::duration<double, std::milli>(took).count()}});
  return ExitCode::ok;
}

}  // namespace corelay::tools
