/// The body of a webhook's request: the payload as it is, or a JSON template with the message's fields put in, as
/// mump2p-cli has them: {"content":"{{.Message}}"}.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "codec/expected.h"

namespace corelay::tools {

/// What a template may name. Time is RFC 3339.
struct WebhookFields {
  std::string message;
  std::string timestamp;
  std::string topic;
  std::string client_id;
  std::string message_id;
};

class WebhookTemplate {
 public:
  /// Takes JSON in which strings hold {{.Message}}, {{.Timestamp}}, {{.Topic}}, {{.ClientID}} and {{.MessageID}};
  /// spaces inside of the braces do no harm. Errors: invalid_argument, saying what is wrong: an unknown name, braces
  /// left open, a name outside of a string, or no JSON.
  [[nodiscard]] static Expected<WebhookTemplate> parse(std::string_view text);

  /// Valid JSON, whatever the fields hold: they are escaped, and bytes that are not UTF-8 become U+FFFD.
  [[nodiscard]] std::string fill(const WebhookFields& fields) const;

 private:
  struct Part {
    std::string text;                             // as it stands
    std::string WebhookFields::*field = nullptr;  // put behind it; null in the last part
  };
  std::vector<Part> parts_;
};

/// What a body that is no template is: JSON, text or bytes.
[[nodiscard]] std::string content_type_of(std::string_view payload);

}  // namespace corelay::tools
