#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "tools/corelay/commands.h"
#include "tools/corelay/digest.h"
#include "tools/corelay/http_get.h"
#include "tools/corelay/interrupt.h"
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

/// Subscribes and waits until the node lists every topic, so that "Subscribed" is true when it is
/// printed.
bool subscribe_all(SidecarClient& client, const std::vector<std::string>& topics) {
  for (const std::string& topic : topics) {
    if (!client.subscribe(topic)) return false;
  }
  const auto deadline = Clock::now() + milliseconds(2000);
  while (Clock::now() < deadline && !is_interrupted()) {
    const auto listed = client.topics(milliseconds(1000));
    if (!listed) return true;  // a node that cannot list topics may still deliver
    const auto is_listed = [&](const std::string& topic) {
      return std::find(listed->begin(), listed->end(), topic) != listed->end();
    };
    if (std::all_of(topics.begin(), topics.end(), is_listed)) return true;
    std::this_thread::sleep_for(milliseconds(5));
  }
  return true;
}

void announce(const Console& console, const SubscribeOptions& options) {
  for (const std::string& topic : options.topics) {
    const std::string line =
        fmt::format("Subscribed to topic {}, waiting for messages…", in_quotes(topic));
    if (console.is_table() && !options.is_raw)
      console.print(line + "\n");
    else
      console.note(line);
  }
}

ExitCode receive(const Console& console, const SubscribeOptions& options, SidecarClient& client) {
  Receiver receiver(console, options);
  const auto deadline = Clock::now() + options.timeout.value_or(milliseconds(0));
  while (!is_interrupted()) {
    if (options.count != 0 && receiver.count() >= options.count) return ExitCode::ok;
    if (options.timeout && Clock::now() >= deadline) {
      if (options.count == 0) return ExitCode::ok;
      return console.fail(ExitCode::timed_out,
                          fmt::format("{} of {} messages came within {}", receiver.count(),
                                      options.count, human_time(*options.timeout)));
    }
    const auto event = client.next(milliseconds(100));
    if (!event) continue;
    if (const auto* ended = std::get_if<SidecarEnded>(&*event)) {
      return console.fail(
          ExitCode::unreachable,
          fmt::format("{} ended the subscription: {}", options.address, ended->error.what),
          "'corelay node health'; then subscribe again");
    }
    if (const auto* arrival = std::get_if<SidecarArrival>(&*event)) {
      if (const auto taken = receiver.take(arrival->json); !taken) {
        return console.fail(ExitCode::failed, taken.error().describe());
      }
    }
  }
  console.note(fmt::format("\n{} message{} received", with_commas(receiver.count()),
                           receiver.count() == 1 ? "" : "s"));
  return ExitCode::ok;
}

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
  auto client = SidecarClient::open(options.address, std::chrono::seconds(5));
  if (!client) {
    const bool is_late = client.error().code == ErrorCode::timed_out;
    return console.fail(
        is_late ? ExitCode::timed_out : ExitCode::unreachable,
        fmt::format("no node's sidecar at {}: {}", options.address, client.error().what),
        "--addr HOST:PORT of a running node; 'corelay up' starts four, at localhost:33221 to "
        "33224");
  }
  if (subscribe_all(**client, options.topics)) announce(console, options);
  return receive(console, options, **client);
}

}  // namespace corelay::tools
