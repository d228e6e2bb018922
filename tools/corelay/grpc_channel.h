/// What every gRPC client of ours needs: a channel, and a status in a person's words.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/support/status.h>

#include <chrono>
#include <memory>
#include <string>

#include "codec/expected.h"

namespace corelay::tools {

/// Connects when it is first used; no bounds on message sizes. With `is_tls` the server's certificate is checked
/// against the system's roots, or those of SSL_CERT_FILE.
[[nodiscard]] std::shared_ptr<grpc::Channel> make_channel(const std::string& address, bool is_tls);

/// `peer` is "node" or "gateway". A status that is OK is the end of a stream: closed.
[[nodiscard]] Error grpc_error(const grpc::Status& status, const std::string& address, const std::string& peer);

[[nodiscard]] std::chrono::system_clock::time_point grpc_deadline(std::chrono::milliseconds time);

}  // namespace corelay::tools
