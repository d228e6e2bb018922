// Any text as a token, as an issuer's keys and as claims: never a crash, and nothing signed by nobody is believed.
#include <cstddef>
#include <cstdint>
#include <string>

#include "codec/check.h"
#include "control/gateway/jwt.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace corelay::gateway;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto keys = parse_jwks(text);
  if (const auto token = parse_jwt(text)) {
    if (keys) {
      for (const auto& key : *keys) CHECK(!is_signed_by(*token, key));
    }
    static_cast<void>(check_claims(token->claims, {"", "", 1'000'000, 60}));
  }
  if (const auto admission = check_claims(text, {"https://issuer/", "api", 1'000'000, 60})) {
    CHECK(!admission->client_id.empty() && admission->expires_at + 60 >= 1'000'000);
  }
  return 0;
}
