// Any bytes as what gateways, issuers, token files and people give the command line. Never a crash; a template that is
// taken gives JSON whatever is put into it, a token file that is written is read back, and nothing that goes to a
// terminal or into a request has control characters.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "codec/bytes.h"
#include "codec/check.h"
#include "tools/corelay/gateway_frame.h"
#include "tools/corelay/load_payload.h"
#include "tools/corelay/metrics_page.h"
#include "tools/corelay/oauth_reply.h"
#include "tools/corelay/token_file.h"
#include "tools/corelay/url.h"
#include "tools/corelay/webhook_template.h"

namespace {

bool is_plain(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace corelay;
  using namespace corelay::tools;
  const std::string_view text = as_text({data, size});
  if (const auto schema = WebhookTemplate::parse(text)) {
    const std::string bytes(text);
    CHECK(nlohmann::json::accept(schema->fill({bytes, "2026", "\"\\", "0f", std::string(1, '\0')})));
    CHECK(nlohmann::json::accept(schema->fill({})));
  }
  CHECK(content_type_of(text).find('/') != std::string::npos);
  if (const auto tokens = parse_tokens(text)) {
    CHECK(is_plain(tokens->token) && tokens->token.find(' ') == std::string::npos);
    const auto again = parse_tokens(format_tokens(*tokens));
    CHECK(again && again->token == tokens->token && again->expires_at == tokens->expires_at);
  }
  if (const auto time = parse_time(text)) CHECK(parse_time(format_time(*time)) == *time || *time < 0);
  if (const auto claims = parse_claims(text)) CHECK(claims->expires_at >= 0);
  if (const auto frame = parse_gateway_frame(text)) {
    if (const auto* message = std::get_if<GatewayMessage>(&*frame))
      CHECK(url_encoded(message->offset) == message->offset);
  }
  CHECK(is_plain(error_text(text)));
  if (const auto grant = parse_device_grant(text)) {
    CHECK(is_plain(grant->user_code) && is_plain(grant->verification_url) && grant->interval_s > 0);
  }
  static_cast<void>(parse_discovery(text));
  static_cast<void>(parse_token_reply(text));
  if (const auto url = parse_url(text)) {
    CHECK(is_plain(url->target) && url->target.front() == '/' && !url->host.empty());
    const auto again = parse_url(url->origin());
    CHECK(again && again->host == url->host && again->port == url->port);
  }
  CHECK(MetricsPage::parse(text).lanes() <= 1024);
  if (const auto stamp = parse_load(text)) CHECK(parse_load(load_payload(*stamp, 64)).has_value());
  return 0;
}
