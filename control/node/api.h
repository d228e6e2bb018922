/// The node's HTTP API: /api/v1/{health,node-state,version,topics,peers,config,p2p-snapshot}, /metrics, /livez,
/// /readyz. All are GET (and HEAD); anything else is answered with a JSON error.
#pragma once

#include <cstdint>
#include <memory>

#include "codec/expected.h"
#include "control/node/http_server.h"

namespace corelay::node {

class Node;

class Api {
 public:
  /// Listens where node.config() says. Errors: unavailable, naming the port and what to do.
  [[nodiscard]] static Expected<std::unique_ptr<Api>> start(Node& node);
  ~Api();
  Api(const Api&) = delete;
  Api& operator=(const Api&) = delete;

  [[nodiscard]] std::uint16_t port() const noexcept;

 private:
  explicit Api(std::unique_ptr<HttpServer> server);
  std::unique_ptr<HttpServer> server_;
};

/// The answer to one request, on the control thread.
[[nodiscard]] HttpResponse answer_api(const Node& node, const daemon::HttpRequest& request);

}  // namespace corelay::node
