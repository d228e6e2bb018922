// Any bytes as what an HTTP client sends, cut anywhere: never a crash, requests within their bounds, and the cut
// changes nothing. Bodies are read as the API reads them, queries as its streams do.
#include <cstddef>
#include <cstdint>
#include <string>

#include "codec/check.h"
#include "control/gateway/api_input.h"
#include "control/gateway/encode.h"
#include "control/gateway/http_message.h"

using namespace corelay::gateway;

namespace {

std::string read(std::string_view bytes, std::size_t part) {
  RequestParser parser({512, 1024});
  std::string seen;
  for (std::size_t at = 0; at < bytes.size(); at += part) {
    auto outcome = parser.feed(bytes.substr(at, part));
    for (; outcome == RequestParser::Outcome::request; outcome = parser.feed({})) {
      const Request request = parser.take();
      CHECK(request.body.size() <= 1024);
      seen += request.target.method + " " + request.target.path + "\n" + request.body + "\n";
      if (const auto input = parse_input(request.body)) CHECK(!input->threshold || *input->threshold <= 1);
      Position position;
      if (parse_position(request.target.parameter("offset"), position)) CHECK(position.epoch.size() <= 32);
    }
    if (outcome == RequestParser::Outcome::error) {
      CHECK(parser.error().status >= 400);
      return seen + "error";
    }
  }
  return seen;
}

/// Plain objects are read without the JSON parser, which one more field leads to: no difference.
void read_both_ways(const std::string& text) {
  const std::size_t start = text.find_first_not_of(" \t\r\n");
  if (start == std::string::npos || text[start] != '{' || text.find('"') == std::string::npos) return;
  std::string longer = text;
  longer.insert(start + 1, R"("past":[],)");
  const auto plain = parse_input(text);
  const auto full = parse_input(longer);
  CHECK(plain.has_value() == full.has_value());
  if (!plain) return;
  CHECK(plain->type == full->type && plain->client_id == full->client_id && plain->topic == full->topic);
  CHECK(plain->message == full->message && plain->timestamp == full->timestamp && plain->id == full->id);
  CHECK(plain->no_dedup == full->no_dedup);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 8192) return 0;
  const std::string text(reinterpret_cast<const char*>(data), size);
  read_both_ways(text);
  const std::string whole = read(text, text.size() + 1);
  const std::string parts = read(text, 1);
  // A bound may be noticed sooner or later, but no request is read differently.
  CHECK(whole.starts_with(parts.substr(0, parts.find("error"))) ||
        parts.starts_with(whole.substr(0, whole.find("error"))));
  return 0;
}
