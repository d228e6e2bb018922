/// Requests over HTTP/1.1 and HTTPS, one after the other over one connection that is kept.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "codec/expected.h"
#include "tools/corelay/url.h"

namespace corelay::tools {

struct HttpRequest {
  std::string method = "GET";
  std::string target = "/";
  std::string body;
  std::string content_type = "application/json";  // sent with a body only
  std::vector<std::pair<std::string, std::string>> headers;
};

struct HttpReply {
  unsigned status = 0;
  std::string body;  // at most 16 MiB
  std::string retry_after;
};

class HttpClient {
 public:
  /// Requests go to the server of `url`; its path is not looked at.
  HttpClient(Url url, std::chrono::milliseconds timeout);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  /// Any status is a reply. A kept connection that the server has closed meanwhile is opened again, once. Errors:
  /// unavailable (no connection; `what` has the reason), timed_out, malformed (not HTTP), too_large.
  [[nodiscard]] Expected<HttpReply> send(const HttpRequest& request);

  [[nodiscard]] const Url& url() const noexcept { return url_; }

 private:
  struct Connection;
  [[nodiscard]] Expected<void> connect(std::chrono::steady_clock::time_point deadline);

  Url url_;
  std::chrono::milliseconds timeout_;
  std::unique_ptr<Connection> connection_;
};

/// One request to one URL.
[[nodiscard]] Expected<HttpReply> http_send(const Url& url, const HttpRequest& request,
                                            std::chrono::milliseconds timeout);

}  // namespace corelay::tools
