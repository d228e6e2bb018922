/// One ListenCommands or ListenBursts stream: commands in, messages and traces out. A slow client costs nobody but
/// itself: what waits for it is bounded, and above the bound its messages are dropped and counted. A client that never
/// reads is not blocked either: its publishes go on, only their answers are lost to it.
#pragma once

#include <grpcpp/impl/codegen/byte_buffer.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "control/node/node.h"
#include "control/node/subscribers.h"

namespace corelay::node {

/// Shared by all streams.
struct SidecarTotals {
  std::atomic<std::uint64_t> streams{0};
  std::atomic<std::uint64_t> messages_sent{0};
  std::atomic<std::uint64_t> bytes_sent{0};
  std::atomic<std::uint64_t> messages_received{0};
  std::atomic<std::uint64_t> bytes_received{0};
  std::atomic<std::uint64_t> dropped_messages{0};
  std::atomic<std::uint64_t> dropped_traces{0};
};

class SidecarStream final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                            public Subscriber,
                            public std::enable_shared_from_this<SidecarStream> {
 public:
  using Ended = std::function<void(const std::shared_ptr<SidecarStream>&)>;
  enum class Form : std::uint8_t { single, bursts };  // of what goes over it

  /// `ended` is called when gRPC has let go of the stream.
  SidecarStream(Node& node, SidecarTotals& totals, Form form, std::string client, Ended ended);

  /// Starts reading; the stream keeps itself alive until gRPC is done with it.
  void begin();
  /// Ends it with a status, from any thread.
  void end(const grpc::Status& status);

  // Subscriber
  void on_message(const SharedResponse& message) override;
  [[nodiscard]] bool wants_deliveries() const override { return form_ == Form::bursts; }
  void on_trace(const SharedResponse& trace) override;
  void on_refused(const std::string& topic, const SharedResponse& answer) override;

  // ServerBidiReactor
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  /// What to do once the lock is let go of: gRPC may call back inside a Start call.
  struct Step {
    bool read = false;
    bool write = false;
    bool has_more = false;  // waits behind what is written
    bool finish = false;
  };
  void take(Step step);
  [[nodiscard]] Step next_step();
  enum class Kind : std::uint8_t { trace, answer, message };
  struct Waiting {
    SharedResponse bytes;
    Kind kind = Kind::trace;
  };
  void queue(const SharedResponse& response, Kind kind);
  [[nodiscard]] grpc::ByteBuffer take_waiting();
  [[nodiscard]] grpc::ByteBuffer take_burst();
  void flush();
  void on_bytes(grpc::ByteBuffer& bytes);
  [[nodiscard]] bool on_request(std::string_view bytes);
  void publish(std::string topic, const std::string& data);
  void on_published(const PublishResult& result);
  void subscribe(std::vector<std::string> topics);
  void refuse(const std::string& topic, const Error& error);

  Node& node_;
  SidecarTotals& totals_;
  const Form form_;
  const std::string client_;
  const Ended ended_;
  std::optional<PublishQueue> publish_queue_;  // let go of before the pool it runs on
  std::shared_ptr<SidecarStream> self_;  // until OnDone

  std::mutex mutex_;  // guards what follows
  std::deque<Waiting> waiting_;
  std::size_t waiting_bytes_ = 0;
  std::set<std::string> topics_;
  std::size_t publishes_ = 0;   // under way
  bool is_reading_ = false;
  bool is_read_closed_ = false;  // the client has sent all it had, or is gone
  bool is_writing_ = false;
  bool is_flush_due_ = false;     // a burst is being gathered
  std::size_t writing_ = 0;       // responses in what is being written
  std::size_t starting_ = 0;     // threads inside take(): until they are out, gRPC may not be told to finish
  bool is_ending_ = false;       // Finish as soon as no write is under way
  bool is_finished_ = false;
  bool is_lagging_ = false;      // drops have been logged since the queue was last empty
  std::uint64_t dropped_ = 0;
  grpc::Status status_;

  grpc::ByteBuffer read_buffer_;   // gRPC's while is_reading_
  grpc::ByteBuffer write_buffer_;  // gRPC's while is_writing_
};

}  // namespace corelay::node
