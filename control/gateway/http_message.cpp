#include "control/gateway/http_message.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/status.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cctype>
#include <optional>

#include "control/gateway/text.h"

namespace corelay::gateway {
namespace {

namespace http = boost::beast::http;
using Parser = http::request_parser<http::string_body>;

}  // namespace

struct RequestParser::State {
  std::optional<Parser> parser;
  bool has_continued = false;
};

std::string format_head(unsigned status, const std::vector<std::pair<std::string, std::string>>& headers) {
  const auto reason = http::obsolete_reason(static_cast<http::status>(status));
  std::string out = "HTTP/1.1 " + std::to_string(status) + " ";
  out.append(reason.data(), reason.size());
  out += "\r\nServer: corelay\r\n";
  for (const auto& [name, value] : headers) out += name + ": " + value + "\r\n";
  return out + "\r\n";
}

std::string format_response(const Response& response, bool is_head, bool keep_alive) {
  auto headers = response.headers;
  if (response.status != 204) {
    headers.emplace_back("Content-Type", response.content_type);
    headers.emplace_back("Content-Length", std::to_string(response.body.size()));
  }
  headers.emplace_back("Cache-Control", "no-store");
  headers.emplace_back("Connection", keep_alive ? "keep-alive" : "close");
  std::string out = format_head(response.status, headers);
  if (!is_head) out += response.body;
  return out;
}

RequestParser::RequestParser(RequestBounds bounds) : bounds_(bounds), state_(std::make_unique<State>()) {}

RequestParser::~RequestParser() = default;

RequestParser::Outcome RequestParser::refuse(unsigned status, std::string_view why) {
  error_ = {status, "application/json", "{\"error\":" + json_text(why) + "}\n", {}};
  return Outcome::error;
}

RequestParser::Outcome RequestParser::feed(std::string_view bytes) {
  buffer_ += bytes;
  auto& parser = state_->parser;
  if (!parser) {
    if (buffer_.empty()) return Outcome::need_more;
    parser.emplace();
    parser->header_limit(static_cast<std::uint32_t>(bounds_.header_bytes_max));
    parser->body_limit(bounds_.body_bytes_max);
    parser->eager(true);
    state_->has_continued = false;
  }
  std::size_t taken = 0;
  while (taken < buffer_.size() && !parser->is_done()) {
    boost::system::error_code error;
    const std::size_t used = parser->put(boost::asio::buffer(buffer_.data() + taken, buffer_.size() - taken), error);
    taken += used;
    if (error == http::error::need_more) break;
    if (error == http::error::header_limit) return refuse(431, "the request header is too large");
    if (error == http::error::body_limit) {
      return refuse(413, "the request body is too large: at most " + std::to_string(bounds_.body_bytes_max) + " bytes");
    }
    if (error) return refuse(400, "the request is malformed");
    if (used == 0) break;
  }
  buffer_.erase(0, taken);
  if (!parser->is_done()) {
    if (!parser->is_header_done() && buffer_.size() > bounds_.header_bytes_max) {
      return refuse(431, "the request header is too large");
    }
    return Outcome::need_more;
  }
  return Outcome::request;
}

Request RequestParser::take() {
  auto& message = state_->parser->get();
  const auto header = [&](std::string_view name) {
    const auto value = message[boost::beast::string_view(name.data(), name.size())];
    return std::string(value.data(), value.size());
  };
  Request request;
  request.is_head = message.method() == http::verb::head;
  const auto method = message.method_string();
  const auto target = message.target();
  auto parsed = daemon::parse_target(request.is_head ? "GET" : std::string_view(method.data(), method.size()),
                                     {target.data(), target.size()});
  if (parsed) request.target = std::move(*parsed);  // else the path stays empty, which nothing answers to
  request.authorization = header("Authorization");
  request.origin = header("Origin");
  request.last_event_id = header("Last-Event-ID");
  request.upgrade = header("Upgrade");
  std::transform(request.upgrade.begin(), request.upgrade.end(), request.upgrade.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  request.ws_key = header("Sec-WebSocket-Key");
  request.ws_version = header("Sec-WebSocket-Version");
  request.ws_protocols = header("Sec-WebSocket-Protocol");
  request.content_type = header("Content-Type");
  request.keep_alive = message.keep_alive();
  request.body = std::move(message.body());
  state_->parser.reset();
  return request;
}

std::string RequestParser::take_rest() { return std::exchange(buffer_, {}); }

bool RequestParser::wants_continue() {
  auto& parser = state_->parser;
  if (!parser || !parser->is_header_done() || parser->is_done() || state_->has_continued) return false;
  const auto expect = parser->get()[http::field::expect];
  state_->has_continued = boost::beast::iequals(expect, "100-continue");
  return state_->has_continued;
}

bool RequestParser::is_inside() const noexcept { return state_->parser.has_value() || !buffer_.empty(); }

std::size_t RequestParser::held_bytes() const noexcept {
  return buffer_.capacity() + (state_->parser ? state_->parser->get().body().capacity() : 0);
}

}  // namespace corelay::gateway
