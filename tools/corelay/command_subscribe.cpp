#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "tools/corelay/commands.h"
#include "tools/corelay/digest.h"
#include "tools/corelay/http_get.h"
#include "tools/corelay/interrupt.h"
#include "tools/corelay/port_hint.h"
#include "tools/corelay/sidecar_client.h"
#include "tools/corelay/text.h"

namespace corelay::tools {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

/// Shows messages the way the options ask for, and counts them.
class Receiver {
 public:
  Receiver(const Console& console, const SubscribeOptions& options)
      : console_(console), options_(options) {}

  /// Errors: malformed; what the file system says.
  [[nodiscard]] Expected<void> take(const std::string& json) {
    const auto message = parse_message(json);
    if (!message) return tl::make_unexpected(message.error());
    ++count_;
    if (options_.is_raw) {
      console_.print(message->payload);
      return {};
    }
    std::string file;
    if (!options_.directory.empty()) {
      auto saved = save(*message);
      if (!saved) return tl::make_unexpected(saved.error());
      file = std::move(*saved);
    }
    show(*message, file);
    return {};
  }

  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }

 private:
  Expected<std::string> save(const SidecarMessage& message) const {
    const auto path = std::filesystem::path(options_.directory) /
                      fmt::format("{:06}-{}.bin", count_, message.message_id.substr(0, 12));
    std::ofstream file(path, std::ios::binary);
    file.write(message.payload.data(), static_cast<std::streamsize>(message.payload.size()));
    file.close();
    if (!file) return fail(ErrorCode::internal, path.string(), "cannot be written", errno);
    return path.string();
  }

  void show(const SidecarMessage& message, const std::string& file) const {
    if (console_.is_table()) {
      const std::string topic =
          options_.topics.size() > 1 ? fmt::format("[{}] ", message.topic) : "";
      const std::string saved = file.empty() ? "" : console_.dim(" in " + file);
      console_.print(
          fmt::format("{}Received message: {}{}\n", topic, shown_payload(message.payload), saved));
      return;
    }
    nlohmann::ordered_json value{{"topic", message.topic},
                                 {"message_id", message.message_id},
                                 {"source_node_id", message.source_node_id},
                                 {"bytes", message.payload.size()},
                                 {"sha256", sha256_hex(message.payload)}};
    if (!file.empty())
      value["file"] = file;
    else if (is_printable(message.payload))
      value["message"] = message.payload;
    else
      value["message_base64"] = base64(message.payload);
    console_.print_value(value);
  }

  const Console& console_;
  const SubscribeOptions& options_;
  std::uint64_t count_ = 0;
};

/// The subscriptions of one run, from the first word to the node until the end.
class Subscription {
 public:
  Subscription(const Console& console, const SubscribeOptions& options, SidecarClient& client)
      : console_(console),
        options_(options),
        client_(client),
        receiver_(console, options),
        unconfirmed_(options.topics.begin(), options.topics.end()) {}

  ExitCode run() {
    for (const std::string& topic : unconfirmed_) (void)client_.subscribe(topic);
    const auto started_at = Clock::now();
    while (!is_interrupted()) {
      if (options_.count != 0 && receiver_.count() >= options_.count) return ExitCode::ok;
      const auto passed = Clock::now() - started_at;
      if (options_.timeout && passed >= *options_.timeout) return report_time_over();
      if (passed >= confirmation_wait) announce();
      const auto event = client_.next(milliseconds(has_announced_ ? 100 : 10));
      if (!event) continue;
      if (const auto code = take(*event)) return *code;
    }
    console_.note(fmt::format("\n{} message{} received", with_commas(receiver_.count()),
                              receiver_.count() == 1 ? "" : "s"));
    return ExitCode::ok;
  }

 private:
  /// A node confirms a subscription by a trace; one that sends no traces is taken at its silence.
  static constexpr milliseconds confirmation_wait{500};

  std::optional<ExitCode> take(const SidecarEvent& event) {
    if (const auto* ended = std::get_if<SidecarEnded>(&event)) {
      return console_.fail(
          ExitCode::unreachable,
          fmt::format("{} ended the subscription: {}", options_.address, ended->error.what),
          "'corelay node health'; then subscribe again");
    }
    if (const auto* trace = std::get_if<Trace>(&event)) return take_trace(*trace);
    announce();
    const auto taken = receiver_.take(std::get<SidecarArrival>(event).json);
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
                         fmt::format("{} of {} messages came within {}", receiver_.count(),
                                     options_.count, human_time(*options_.timeout)));
  }

  const Console& console_;
  const SubscribeOptions& options_;
  SidecarClient& client_;
  Receiver receiver_;
  std::set<std::string> unconfirmed_;  // topics the node has not confirmed
  bool has_announced_ = false;
};

}  // namespace

ExitCode subscribe(const Console& console, const SubscribeOptions& options) {
  if (const auto parts = split_address(options.address); !parts) {
    return console.fail(ExitCode::usage, parts.error().what, "--addr localhost:33221");
  }
  if (!options.directory.empty()) {
    std::error_code error;
    std::filesystem::create_directories(options.directory, error);
    if (error)
      return console.fail(ExitCode::usage,
                          "cannot make " + options.directory + ": " + error.message());
  }
  catch_interrupts();
  auto client = SidecarClient::open(options.address, std::chrono::seconds(10));
  if (!client) {
    const bool is_late = client.error().code == ErrorCode::timed_out;
    const std::string hint = port_hint(options.address, PortKind::sidecar);
    if (!hint.empty())
      return console.fail(ExitCode::unreachable, "no sidecar: " + hint, "--addr with the port of the sidecar");
    return console.fail(
        is_late ? ExitCode::timed_out : ExitCode::unreachable,
        fmt::format("no node's sidecar at {}: {}", options.address, client.error().what),
        "--addr HOST:PORT of a running node; 'corelay up' starts four, at localhost:33221 to "
        "33224");
  }
  return Subscription(console, options, **client).run();
}

}  // namespace corelay::tools
