#include "tools/corelay/grpc_channel.h"

#include <grpc/grpc.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <cstdlib>

#include "tools/corelay/read_file.h"
#include "tools/corelay/sidecar_event.h"
#include "tools/corelay/text.h"

namespace corelay::tools {

std::shared_ptr<grpc::Channel> make_channel(const std::string& address, bool is_tls) {
  grpc_init();  // never undone: the last user's shutdown joins a thread that may sleep in its poll for ten seconds
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  if (!is_tls) return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
  grpc::SslCredentialsOptions options;
  for (const char* path :
       std::initializer_list<const char*>{std::getenv("SSL_CERT_FILE"), "/etc/ssl/certs/ca-certificates.crt"}) {
    if (path == nullptr || !options.pem_root_certs.empty()) continue;
    if (auto roots = read_file(path)) options.pem_root_certs = std::move(*roots);
  }
  return grpc::CreateCustomChannel(address, grpc::SslCredentials(options), arguments);
}

Error grpc_error(const grpc::Status& status, const std::string& address, const std::string& peer) {
  Error error{ErrorCode::internal, address, status.error_message()};
  switch (status.error_code()) {
    case grpc::StatusCode::OK:
      error.code = ErrorCode::closed;
      error.what = "the " + peer + " ended the stream";
      break;
    case grpc::StatusCode::UNAVAILABLE:
      error.code = ErrorCode::unavailable;
      break;
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      error.code = ErrorCode::timed_out;
      break;
    case grpc::StatusCode::UNIMPLEMENTED:
      error.code = ErrorCode::malformed;
      error.what = "it speaks gRPC, but not as a " + peer;
      break;
    case grpc::StatusCode::FAILED_PRECONDITION:
      error.code = ErrorCode::not_found;
      break;
    case grpc::StatusCode::INVALID_ARGUMENT:
      error.code = ErrorCode::invalid_argument;
      break;
    case grpc::StatusCode::OUT_OF_RANGE:
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      error.code = ErrorCode::too_large;
      break;
    case grpc::StatusCode::PERMISSION_DENIED:
      error.code = ErrorCode::permission_denied;
      break;
    case grpc::StatusCode::UNAUTHENTICATED:
      error.code = ErrorCode::unauthenticated;
      break;
    case grpc::StatusCode::CANCELLED:
      error.code = ErrorCode::closed;
      break;
    default:
      break;
  }
  const bool is_gateway = peer == "gateway";
  if (auto over = over_request_limit(error.what, is_gateway)) {
    error.what = std::move(*over);
    // To a gateway too_large is a limit in time, and trying later helps; here it does not.
    if (is_gateway) error.code = ErrorCode::invalid_argument;
  }
  // gRPC wraps the system's reason in a sentence about its own subchannels; the reason is what a
  // person needs.
  const auto last = error.what.rfind("last error: ");
  if (last != std::string::npos) error.what = error.what.substr(last + 12);
  const auto reason = error.what.find("Connection refused");
  if (reason != std::string::npos) error.what = "connection refused";
  if (error.what.starts_with("DNS resolution failed")) error.what = "no such host";
  error.what = on_terminal(error.what);
  if (error.what.empty()) error.what = "the " + peer + " closed the connection";
  return error;
}

std::chrono::system_clock::time_point grpc_deadline(std::chrono::milliseconds time) {
  return std::chrono::system_clock::now() + time;
}

}  // namespace corelay::tools
