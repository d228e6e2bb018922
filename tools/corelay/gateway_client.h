/// Calls to a gateway's REST API, with our token, and what a failure of one means for a person. Of several gateways the
/// next is taken where one does not answer.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "tools/corelay/access.h"
#include "tools/corelay/console.h"
#include "tools/corelay/http_client.h"

namespace corelay::tools {

struct GatewayOptions {
  std::vector<std::string> service_urls{"http://localhost:8081"};
  AccessOptions access;
  bool is_grpc = false;
  std::uint16_t grpc_port = 0;  // 0: by --service-url, see grpc_url
  std::chrono::milliseconds timeout{45'000};  // of one call; a gateway waits 35 s for a node's answer
};

/// Where the gateway at `url` has its gRPC: at --grpc-port; else where the record of the local fleet has it; else 50051
/// for HTTP on 8081, 50052 for 8082 and so on for a hundred, as `corelay up` starts them; a port from 50051 on, as far,
/// is that of gRPC itself; else 50051 for 80, 443 and 8080, which are where no port was given and a gateway's own
/// default. Errors: invalid_argument (any other port says nothing about gRPC's).
[[nodiscard]] Expected<Url> grpc_url(Url url, const GatewayOptions& options);

/// A gateway of --service-url.
struct ServiceUrl {
  Url http;
  Url grpc;  // with --grpc: grpc_url() as the command began, whatever becomes of the record
};

/// Errors: invalid_argument, naming the URL.
[[nodiscard]] Expected<std::vector<Url>> parse_service_urls(const std::vector<std::string>& texts);

/// The gateways of --service-url; what is wrong has been reported.
[[nodiscard]] tl::expected<std::vector<ServiceUrl>, ExitCode> service_urls_of(const Console& console,
                                                                              const GatewayOptions& options);

class GatewayClient {
 public:
  GatewayClient(const Console& console, std::vector<ServiceUrl> urls, Access& access,
                std::chrono::milliseconds timeout);

  /// `path` is below the service URL ("/api/v1/health"). Any status is a reply. Errors as HttpClient::send, of the last
  /// gateway tried.
  [[nodiscard]] Expected<HttpReply> call(const std::string& method, const std::string& path,
                                         const std::string& body = "");

  /// The gateway that answered last, or is to be asked next.
  [[nodiscard]] const ServiceUrl& service() const { return urls_[index_]; }
  [[nodiscard]] const Url& url() const { return service().http; }
  [[nodiscard]] const Url& grpc_url() const { return service().grpc; }
  [[nodiscard]] std::size_t gateways() const noexcept { return urls_.size(); }
  /// The same gateway's URL for another path.
  [[nodiscard]] Url at(const std::string& path) const;
  void try_next();

  /// Reports why there is no answer.
  [[nodiscard]] ExitCode unreachable(const Error& error) const;
  /// Reports an answer that says no; `doing` completes "the gateway refused ...".
  [[nodiscard]] ExitCode refused(const HttpReply& reply, const std::string& doing) const;
  [[nodiscard]] ExitCode refused(unsigned status, const std::string& why, const std::string& doing,
                                 const std::string& retry_after = "") const;

 private:
  const Console& console_;
  std::vector<ServiceUrl> urls_;
  Access& access_;
  std::chrono::milliseconds timeout_;
  std::size_t index_ = 0;
  std::unique_ptr<HttpClient> http_;
};

}  // namespace corelay::tools
