#include <fmt/format.h>
#include <poll.h>
#include <sys/random.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "codec/bytes.h"
#include "dataplane/message.h"
#include "dataplane/params.h"
#include "tools/corelay/commands.h"
#include "tools/corelay/digest.h"
#include "tools/corelay/http_get.h"
#include "tools/corelay/read_file.h"
#include "tools/corelay/port_hint.h"
#include "tools/corelay/publish_outlet.h"
#include "tools/corelay/sidecar_client.h"
#include "tools/corelay/text.h"

namespace corelay::tools {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* payload_remedy =
    "--message TEXT, --file PATH, --random SIZE, or pipe the message to standard input";

std::string random_payload(std::size_t size) {
  std::string bytes(size, '\0');
  for (std::size_t at = 0; at < size;) {
    const ssize_t taken = getrandom(bytes.data() + at, size - at, 0);
    if (taken > 0) at += static_cast<std::size_t>(taken);
  }
  return bytes;
}

/// Sends one payload and waits for the node's word on it.
class NodeOutlet final : public PublishOutlet {
 public:
  NodeOutlet(const Console& console, const PublishOptions& options, SidecarClient& client)
      : console_(console), options_(options), client_(client) {}

  [[nodiscard]] ExitCode send(const Payload& payload) override {
    const auto sent_at = Clock::now();
    digest_ = sha256(payload.bytes);
    const bool is_written = client_.publish(options_.topic, payload.bytes);
    const auto deadline = sent_at + options_.timeout;
    while (Clock::now() < deadline) {
      const auto event = client_.next(std::chrono::milliseconds(100));
      if (!event) {
        say_waiting(Clock::now() - sent_at);
        continue;
      }
      if (const auto* ended = std::get_if<SidecarEnded>(&*event)) return report_end(ended->error);
      const auto* trace = std::get_if<Trace>(&*event);
      if (trace == nullptr || !is_ours(*trace)) continue;
      if (trace->kind == TraceKind::published)
        return report_published(console_, {options_.topic, "published", hex()}, payload, Clock::now() - sent_at);
      if (trace->kind == TraceKind::rejected) return report_refused(trace->reason);
    }
    return console_.fail(
        ExitCode::timed_out,
        fmt::format("{} did not say within {} what became of the message{}", options_.address,
                    human_time(options_.timeout), is_written ? "" : " (the stream is closed)"),
        "'corelay node health' and the node's log; --timeout for a longer wait");
  }

 private:
  /// A node that refuses before it has hashed sends no id, or zeros.
  [[nodiscard]] bool is_ours(const Trace& trace) const {
    const bool has_no_id =
        trace.message_id.find_first_not_of(std::string_view("0\0", 2)) == std::string::npos;
    return has_no_id || trace.message_id == digest_ || trace.message_id == hex();
  }
  [[nodiscard]] std::string hex() const { return to_hex(as_bytes(digest_)); }

  /// One remark after two seconds of silence: the usual reason is a node without peers.
  void say_waiting(Clock::duration waited) {
    if (waited < std::chrono::seconds(2) || std::exchange(has_said_waiting_, true)) return;
    console_.note(
        "No answer yet: the message is on its way to the first peer, or held until one takes part in the "
        "topic, and then refused if none comes (publish.hold_ms).");
  }

  ExitCode report_refused(const std::string& reason) const {
    return console_.fail(ExitCode::refused,
                         fmt::format("{} refused the message: {}", options_.address,
                                     reason.empty() ? "no reason given" : reason),
                         reason.starts_with("duplicate")
                             ? "a gateway, --service-url in place of --addr, makes equal bytes a message of their own"
                             : "");
  }

  ExitCode report_end(const Error& error) const {
    switch (error.code) {
      case ErrorCode::too_large:
      case ErrorCode::invalid_argument:
      case ErrorCode::permission_denied:
      case ErrorCode::unauthenticated:
        return report_refused(error.what);
      default:
        break;
    }
    const PortHint hint =
        error.code == ErrorCode::malformed ? port_hint(options_.address, PortKind::sidecar) : PortHint{};
    if (!hint.what.empty()) return console_.fail(ExitCode::unreachable, "no sidecar: " + hint.what, hint.remedy);
    return console_.fail(
        ExitCode::unreachable,
        fmt::format("{} went away before it said what became of the message: {}", options_.address,
                    error.what),
        "'corelay node health', then publish again: the same bytes are delivered once at most");
  }

  const Console& console_;
  const PublishOptions& options_;
  SidecarClient& client_;
  std::string digest_;
  bool has_said_waiting_ = false;
};

/// Publishes each line of standard input as it comes. Empty ones are passed over: over HTTP a gateway takes none.
ExitCode publish_lines(PublishOutlet& outlet, const PublishOptions& options) {
  std::string line;
  bool is_first = true;
  while (std::getline(std::cin, line)) {
    if (line.empty()) continue;
    if (!std::exchange(is_first, false)) std::this_thread::sleep_for(options.sleep);
    if (const ExitCode code = outlet.send({line, ""}); code != ExitCode::ok) return code;
  }
  return ExitCode::ok;
}

/// The largest message any node can be set to carry, told before it is read and sent; what a node takes is its own.
std::string over_every_limit(std::uint64_t bytes) {
  return fmt::format("message of {} bytes is over {} bytes ({}), the most that a node can be set to take; unless it is "
                     "set, a node takes {} (relay.message_bytes_max), a gateway too (delivery.message_bytes_max)",
                     bytes, dataplane::message_bytes_limit, human_bytes(dataplane::message_bytes_limit),
                     human_bytes(dataplane::WireParams{}.message_bytes_max));
}

/// Standard input as one message, where no other payload was named: says so when it is waited for.
Expected<Payload> payload_of_input(const Console& console) {
  pollfd input{STDIN_FILENO, POLLIN, 0};
  if (poll(&input, 1, 1000) == 0)
    console.note("Reading the message from standard input, to its end; --message TEXT or --file PATH otherwise.");
  auto bytes = read_file("-");
  if (!bytes) return tl::make_unexpected(bytes.error());
  if (bytes->empty())
    return fail(ErrorCode::invalid_argument, "", "nothing to publish: standard input is empty");
  return Payload{std::move(*bytes), ""};
}

/// The n-th payload (from 0), made when it is due.
Expected<Payload> payload_at(const Console& console, const PublishOptions& options, std::uint64_t n) {
  if (options.message)
    return Payload{n == 0 ? *options.message : *options.message + std::to_string(n), ""};
  if (options.random_bytes) return Payload{random_payload(*options.random_bytes), "random bytes"};
  if (options.files.empty()) return payload_of_input(console);
  const std::string& path = options.files.at(n);
  auto bytes = read_file(path);
  if (!bytes) return tl::make_unexpected(bytes.error());
  return Payload{std::move(*bytes), path == "-" ? "" : path};
}

bool is_from_input(const PublishOptions& options) {
  return !options.message && !options.random_bytes && options.files.empty();
}

ExitCode publish_all(const Console& console, const PublishOptions& options, PublishOutlet& outlet) {
  if (options.is_line_by_line) return publish_lines(outlet, options);

  const std::uint64_t count = options.files.empty() ? options.count : options.files.size();
  for (std::uint64_t n = 0; n < count; ++n) {
    if (n > 0) std::this_thread::sleep_for(options.sleep);
    const auto payload = payload_at(console, options, n);
    if (!payload)
      return console.fail(ExitCode::usage, payload.error().describe(),
                          is_from_input(options) ? payload_remedy : "");
    if (payload->bytes.size() > dataplane::message_bytes_limit)
      return console.fail(ExitCode::refused, over_every_limit(payload->bytes.size()));
    if (const ExitCode code = outlet.send(*payload); code != ExitCode::ok) return code;
  }
  return ExitCode::ok;
}

}  // namespace

ExitCode publish(const Console& console, const PublishOptions& options) {
  const bool is_at_node = !options.address.empty();
  if (const auto parts = split_address(options.address); is_at_node && !parts) {
    return console.fail(ExitCode::usage, parts.error().what, "--addr localhost:33221");
  }
  if (is_from_input(options) && isatty(STDIN_FILENO) == 1) {
    return console.fail(
        ExitCode::usage, "nothing to publish: no payload is named, and standard input is a terminal",
        payload_remedy);
  }
  if (options.random_bytes.value_or(0) > dataplane::message_bytes_limit)
    return console.fail(ExitCode::refused, over_every_limit(*options.random_bytes));
  for (const std::string& path : options.files) {
    if (const auto readable = check_readable(path); !readable) {
      return console.fail(ExitCode::usage, readable.error().describe());
    }
    std::error_code unknown;
    const auto bytes = path == "-" ? 0 : std::filesystem::file_size(path, unknown);
    if (!unknown && bytes > dataplane::message_bytes_limit)
      return console.fail(ExitCode::refused, path + ": " + over_every_limit(bytes));
  }
  if (!is_at_node) {
    auto outlet = open_gateway_outlet(console, options);
    return outlet ? publish_all(console, options, **outlet) : outlet.error();
  }
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
  NodeOutlet outlet(console, options, **client);
  return publish_all(console, options, outlet);
}

}  // namespace corelay::tools
