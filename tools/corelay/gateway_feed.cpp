#include "tools/corelay/gateway_feed.h"

#include <utility>

#include "tools/corelay/ws_client.h"

namespace corelay::tools {
namespace {

class WsFeed final : public GatewayFeed {
 public:
  explicit WsFeed(std::unique_ptr<WsClient> socket) : socket_(std::move(socket)) {}

  std::optional<FeedEvent> next(std::chrono::milliseconds timeout) override {
    auto text = socket_->next(timeout);
    if (!text) return FeedEnded{text.error()};
    if (!*text) return std::nullopt;
    auto frame = parse_gateway_frame(**text);
    if (!frame) return FeedEnded{frame.error()};
    return std::visit([](auto&& part) { return FeedEvent(std::move(part)); }, std::move(*frame));
  }

  void close() override { socket_->close(); }

 private:
  std::unique_ptr<WsClient> socket_;
};

}  // namespace

Expected<std::unique_ptr<GatewayFeed>> open_ws_feed(const Url& url,
                                                    const std::vector<std::pair<std::string, std::string>>& headers,
                                                    std::chrono::milliseconds timeout) {
  auto socket = WsClient::open(url, headers, timeout);
  if (!socket) return tl::make_unexpected(socket.error());
  return std::make_unique<WsFeed>(std::move(*socket));
}

}  // namespace corelay::tools
