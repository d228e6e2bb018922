/// What becomes of a message that came: shown, written to files, passed on; the same whether a node or a gateway sent
/// it.
#pragma once

#include <cstdio>
#include <memory>
#include <string>

#include "tools/corelay/commands.h"
#include "tools/corelay/sidecar_event.h"
#include "tools/corelay/webhook.h"

namespace corelay::tools {

class MessageSink {
 public:
  /// Makes folders, opens files, starts the webhook. Errors: invalid_argument (template, URL), and what the file system
  /// says.
  [[nodiscard]] static Expected<std::unique_ptr<MessageSink>> open(const Console& console,
                                                                   const SubscribeOptions& options,
                                                                   const std::string& client_id);
  ~MessageSink();

  /// Errors: what the file system says.
  [[nodiscard]] Expected<void> take(const SidecarMessage& message, const std::string& from, const char* protocol);
  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
  /// Waits for the webhook and says what came of it; "12 messages received" where `is_told`.
  void finish(bool is_told);

 private:
  MessageSink(const Console& console, const SubscribeOptions& options, std::string client_id);
  [[nodiscard]] Expected<std::string> save(const SidecarMessage& message) const;
  [[nodiscard]] Expected<void> persist(const SidecarMessage& message);
  void show(const SidecarMessage& message, const std::string& file) const;

  const Console& console_;
  const SubscribeOptions& options_;
  const std::string client_id_;
  std::uint64_t count_ = 0;
  std::string log_path_;
  std::FILE* log_ = nullptr;
  std::unique_ptr<Webhook> webhook_;
};

/// One line of --persist, as mump2p-cli writes it: "[RFC 3339] payload". A payload with line breaks or other control
/// characters stands in quotes and escaped, one that is no text in base64: one line is one message.
[[nodiscard]] std::string persisted_line(std::string_view time, std::string_view payload);

}  // namespace corelay::tools
