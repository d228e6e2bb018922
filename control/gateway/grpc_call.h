/// One ClientStream call: messages out, publishes in. Everything but gRPC's own callbacks happens on the gateway's
/// loop, so nothing is locked. A client that never reads blocks nobody: it is read from all the same, answers it does
/// not take are let go of.
#pragma once

#include <grpcpp/impl/codegen/byte_buffer.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "control/gateway/gatekeeper.h"
#include "control/gateway/service.h"

namespace corelay::gateway {

struct GrpcTotals {
  std::size_t streams = 0;
  std::uint64_t sent_messages = 0;
  std::uint64_t sent_bytes = 0;
  std::uint64_t received_messages = 0;
  std::uint64_t received_bytes = 0;
  std::uint64_t dropped_replies = 0;
};

/// How a call ends whose token does not hold.
[[nodiscard]] grpc::Status refusal_of(const Error& error);

class GrpcCall final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                       public Reader,
                       public std::enable_shared_from_this<GrpcCall> {
 public:
  using Ended = std::function<void(const std::shared_ptr<GrpcCall>&)>;

  GrpcCall(Service& service, Gatekeeper* gatekeeper, GrpcTotals& totals, std::string token, Ended ended);

  /// On any thread; the call keeps itself alive until gRPC is done with it.
  void begin();
  /// On the loop.
  void end(const grpc::Status& status);

  void wake() override;
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  void admit();
  void read();
  void on_message(const grpc::ByteBuffer& bytes);
  void open(const std::string& client);
  void publish(PublishRequest request);
  void reply(const std::string& type, const std::string& topic, const std::string& id, const std::string& text);
  void pump();
  void end_if_served();

  Service& service_;
  Gatekeeper* const gatekeeper_;
  GrpcTotals& totals_;
  const std::string token_;
  const Ended ended_;
  std::shared_ptr<GrpcCall> self_;
  std::shared_ptr<Admission> admission_;
  std::string client_;
  Feed* feed_ = nullptr;
  std::deque<SharedBytes> replies_;
  std::size_t publishes_ = 0;
  bool is_reading_ = false;
  bool is_read_closed_ = false;
  bool is_writing_ = false;
  bool is_finished_ = false;
  bool is_ending_ = false;
  grpc::ByteBuffer read_;   // gRPC's while is_reading_
  grpc::ByteBuffer write_;  // gRPC's while is_writing_
};

}  // namespace corelay::gateway
