#include <fmt/format.h>

#include <set>
#include <utility>

#include "tools/corelay/commands.h"
#include "tools/corelay/http_get.h"
#include "tools/corelay/interrupt.h"
#include "tools/corelay/message_sink.h"
#include "tools/corelay/port_hint.h"
#include "tools/corelay/sidecar_client.h"
#include "tools/corelay/subscribe_gateway.h"
#include "tools/corelay/text.h"

namespace corelay::tools {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

/// The subscriptions of one run, from the first word to the node until the end.
class Subscription {
 public:
  Subscription(const Console& console, const SubscribeOptions& options, SidecarClient& client, MessageSink& sink)
      : console_(console),
        options_(options),
        client_(client),
        sink_(sink),
        unconfirmed_(options.topics.begin(), options.topics.end()) {}

  [[nodiscard]] bool was_interrupted() const noexcept { return is_interrupted_; }

  ExitCode run() {
    for (const std::string& topic : unconfirmed_) (void)client_.subscribe(topic);
    const auto started_at = Clock::now();
    while (!is_interrupted()) {
      if (options_.count != 0 && sink_.count() >= options_.count) return ExitCode::ok;
      const auto passed = Clock::now() - started_at;
      if (options_.timeout && passed >= *options_.timeout) return report_time_over();
      if (passed >= confirmation_wait) announce();
      const auto event = client_.next(milliseconds(has_announced_ ? 100 : 10));
      if (!event) continue;
      if (const auto code = take(*event)) return *code;
    }
    is_interrupted_ = true;
    return ExitCode::ok;
  }

 private:
  /// A node confirms a subscription by a trace; one that sends no traces is taken at its silence.
  static constexpr milliseconds confirmation_wait{500};

  std::optional<ExitCode> take(const SidecarEvent& event) {
    if (const auto* ended = std::get_if<SidecarEnded>(&event)) {
      const PortHint hint =
          ended->error.code == ErrorCode::malformed ? port_hint(options_.address, PortKind::sidecar) : PortHint{};
      if (!hint.what.empty()) return console_.fail(ExitCode::unreachable, "no sidecar: " + hint.what, hint.remedy);
      return console_.fail(
          ExitCode::unreachable,
          fmt::format("{} ended the subscription: {}", options_.address, ended->error.what),
          "'corelay node health'; then subscribe again");
    }
    if (const auto* trace = std::get_if<Trace>(&event)) return take_trace(*trace);
    announce();
    const auto message = parse_message(std::get<SidecarArrival>(event).json);
    if (!message) return console_.fail(ExitCode::failed, message.error().describe());
    const auto taken = sink_.take(*message, options_.address, "gRPC");
    if (!taken) return console_.fail(ExitCode::failed, taken.error().describe());
    return std::nullopt;
  }

  std::optional<ExitCode> take_trace(const Trace& trace) {
    if (trace.kind == TraceKind::rejected) {
      return console_.fail(ExitCode::refused,
                           fmt::format("{} refused the subscription to {}: {}", options_.address,
                                       in_quotes(trace.topic), trace.reason));
    }
    if (trace.kind == TraceKind::joined) unconfirmed_.erase(trace.topic);
    if (unconfirmed_.empty()) announce();
    return std::nullopt;
  }

  void announce() {
    if (std::exchange(has_announced_, true)) return;
    for (const std::string& topic : options_.topics) {
      const std::string line =
          fmt::format("Subscribed to topic {}, waiting for messages…", in_quotes(topic));
      if (console_.is_table() && !options_.is_raw) {
        console_.print(line + "\n");
      } else {
        console_.note(line);
      }
    }
  }

  ExitCode report_time_over() const {
    if (options_.count == 0) return ExitCode::ok;
    return console_.fail(ExitCode::timed_out,
                         fmt::format("{} of {} messages came within {}", sink_.count(),
                                     options_.count, human_time(*options_.timeout)));
  }

  const Console& console_;
  const SubscribeOptions& options_;
  SidecarClient& client_;
  MessageSink& sink_;
  std::set<std::string> unconfirmed_;  // topics the node has not confirmed
  bool has_announced_ = false;
  bool is_interrupted_ = false;
};

}  // namespace

ExitCode subscribe(const Console& console, const SubscribeOptions& options) {
  if (options.address.empty()) return subscribe_at_gateway(console, options);
  if (const auto parts = split_address(options.address); !parts) {
    return console.fail(ExitCode::usage, parts.error().what, "--addr localhost:33221");
  }
  auto sink = MessageSink::open(console, options, options.gateway.access.client_id);
  if (!sink) return console.fail(ExitCode::usage, sink.error().describe());
  catch_interrupts();
  auto client = SidecarClient::open(options.address, std::chrono::seconds(10));
  if (!client) {
    const bool is_late = client.error().code == ErrorCode::timed_out;
    const PortHint hint = port_hint(options.address, PortKind::sidecar);
    if (!hint.what.empty()) return console.fail(ExitCode::unreachable, "no sidecar: " + hint.what, hint.remedy);
    return console.fail(
        is_late ? ExitCode::timed_out : ExitCode::unreachable,
        fmt::format("no node's sidecar at {}: {}", options.address, client.error().what),
        "--addr HOST:PORT of a running node; 'corelay up' starts four, at localhost:33221 to "
        "33224");
  }
  Subscription subscription(console, options, **client, **sink);
  const ExitCode code = subscription.run();
  (*sink)->finish(subscription.was_interrupted());
  return code;
}

}  // namespace corelay::tools
