#include "tools/corelay/message_sink.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tools/corelay/digest.h"
#include "tools/corelay/read_file.h"
#include "tools/corelay/text.h"
#include "tools/corelay/token_file.h"
#include "tools/corelay/wall_clock.h"

namespace corelay::tools {
namespace {

namespace fs = std::filesystem;

std::string now_text() { return format_time(wall_s()); }

Expected<void> make_folder(const fs::path& folder) {
  std::error_code error;
  if (!folder.empty()) fs::create_directories(folder, error);
  if (error) return fail(ErrorCode::invalid_argument, folder.string(), "cannot be made: " + error.message());
  return {};
}

/// The file of --persist: PATH itself, or messages.log in the folder PATH.
fs::path log_of(const std::string& path) {
  std::error_code error;
  const bool is_folder = path.ends_with('/') || fs::is_directory(path, error);
  return is_folder ? fs::path(path) / "messages.log" : fs::path(path);
}

Expected<WebhookOptions> webhook_of(const SubscribeOptions& options) {
  WebhookOptions webhook;
  auto url = parse_url(options.webhook);
  if (!url) return fail(ErrorCode::invalid_argument, "--webhook", url.error().what);
  webhook.url = std::move(*url);
  webhook.queue_max = options.webhook_queue;
  webhook.timeout = options.webhook_timeout;
  if (options.webhook_schema.empty()) return webhook;
  std::string text = options.webhook_schema;
  if (text.starts_with('@')) {
    auto file = read_file(text.substr(1));
    if (!file) return fail(ErrorCode::invalid_argument, "--webhook-schema", file.error().describe());
    text = std::move(*file);
  }
  auto schema = WebhookTemplate::parse(text);
  if (!schema) return fail(ErrorCode::invalid_argument, "--webhook-schema", schema.error().what);
  webhook.schema = std::move(*schema);
  return webhook;
}

}  // namespace

std::string persisted_line(std::string_view time, std::string_view payload) {
  const bool has_breaks = payload.find_first_of("\r\n") != std::string_view::npos;
  if (is_printable(payload))
    return fmt::format("[{}] {}\n", time, has_breaks ? in_quotes(payload) : std::string(payload));
  return fmt::format("[{}] base64:{}\n", time, base64(payload));
}

MessageSink::MessageSink(const Console& console, const SubscribeOptions& options, std::string client_id)
    : console_(console), options_(options), client_id_(std::move(client_id)) {}

MessageSink::~MessageSink() {
  if (log_ != nullptr) std::fclose(log_);
}

Expected<std::unique_ptr<MessageSink>> MessageSink::open(const Console& console, const SubscribeOptions& options,
                                                         const std::string& client_id) {
  std::unique_ptr<MessageSink> sink(new MessageSink(console, options, client_id));
  if (!options.directory.empty()) {
    if (const auto made = make_folder(options.directory); !made) return tl::make_unexpected(made.error());
  }
  if (!options.persist.empty()) {
    const fs::path path = log_of(options.persist);
    if (const auto made = make_folder(path.parent_path()); !made) return tl::make_unexpected(made.error());
    sink->log_path_ = path.string();
    sink->log_ = std::fopen(sink->log_path_.c_str(), "ae");
    if (sink->log_ == nullptr) return fail(ErrorCode::invalid_argument, sink->log_path_, "cannot be written", errno);
  }
  if (!options.webhook.empty()) {
    auto webhook = webhook_of(options);
    if (!webhook) return tl::make_unexpected(webhook.error());
    sink->webhook_ = std::make_unique<Webhook>(console, std::move(*webhook));
  }
  return sink;
}

Expected<void> MessageSink::take(const SidecarMessage& message, const std::string& from, const char* protocol) {
  ++count_;
  if (console_.is_debug())
    console_.note(fmt::format(
        "Recv:\t[{}]\treceiver_addr:{}\t[recv_time, size]:[{}, {}]\ttopic:{}\thash:{}\tprotocol:{}", count_, from,
        wall_time().count(), message.payload.size(), on_line(message.topic), sha256_hex(message.payload).substr(0, 8),
        protocol));
  if (const auto kept = persist(message); !kept) return kept;
  if (webhook_) webhook_->offer({message.payload, now_text(), message.topic, client_id_, message.message_id});
  if (options_.is_raw) {
    console_.print(message.payload);
    return {};
  }
  std::string file;
  if (!options_.directory.empty()) {
    auto saved = save(message);
    if (!saved) return tl::make_unexpected(saved.error());
    file = std::move(*saved);
  }
  show(message, file);
  return {};
}

Expected<void> MessageSink::persist(const SidecarMessage& message) {
  if (log_ == nullptr) return {};
  const std::string line = persisted_line(now_text(), message.payload);
  const bool is_written = std::fwrite(line.data(), 1, line.size(), log_) == line.size() && std::fflush(log_) == 0;
  if (!is_written) return fail(ErrorCode::internal, log_path_, "cannot be written", errno);
  return {};
}

Expected<std::string> MessageSink::save(const SidecarMessage& message) const {
  // The id comes from outside, and names a file.
  std::string id = message.message_id.substr(0, 12);
  const bool is_hex = id.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos;
  if (!is_hex || id.empty()) id = sha256_hex(message.payload).substr(0, 12);
  const auto path = fs::path(options_.directory) / fmt::format("{:06}-{}.bin", count_, id);
  std::ofstream file(path, std::ios::binary);
  file.write(message.payload.data(), static_cast<std::streamsize>(message.payload.size()));
  file.close();
  if (!file) return fail(ErrorCode::internal, path.string(), "cannot be written", errno);
  return path.string();
}

void MessageSink::show(const SidecarMessage& message, const std::string& file) const {
  if (console_.is_table()) {
    const std::string topic = options_.topics.size() > 1 ? fmt::format("[{}] ", on_line(message.topic)) : "";
    const std::string saved = file.empty() ? "" : console_.dim(" in " + file);
    console_.print(fmt::format("{}Received message: {}{}\n", topic, shown_payload(message.payload), saved));
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

void MessageSink::finish(bool is_told) {
  if (is_told) console_.note(fmt::format("\n{} message{} received", with_commas(count_), count_ == 1 ? "" : "s"));
  if (!webhook_) return;
  const WebhookCounts counts = webhook_->finish();
  webhook_.reset();
  console_.note(fmt::format("Webhook: {} sent, {} failed, {} dropped", with_commas(counts.sent),
                            with_commas(counts.failed), with_commas(counts.dropped)));
}

}  // namespace corelay::tools
