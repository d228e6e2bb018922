/// A Stream over one Yamux stream of a Connection. Bytes that nobody has read stay here and their
/// window stays shut, so a slow reader stops its sender and no other stream.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/libp2p/host.h"
#include "control/libp2p/loop.h"

namespace corelay::libp2p {

class Connection;

class MuxedStream final : public Stream {
 public:
  using Done = std::function<void(Expected<std::vector<std::uint8_t>>)>;

  MuxedStream(LoopPtr loop, std::weak_ptr<Connection> connection, std::uint32_t id, PeerId peer,
              std::string protocol);
  ~MuxedStream() override;
  MuxedStream(const MuxedStream&) = delete;
  MuxedStream& operator=(const MuxedStream&) = delete;

  void read_message(std::size_t bytes_max, Done done) override;
  void read_some(std::size_t bytes_max, Done done) override;
  Expected<void> write_message(Bytes message) override;
  Expected<void> write(Bytes bytes) override;
  void close_write() override;
  void reset() override;
  [[nodiscard]] const PeerId& peer() const noexcept override { return peer_; }
  [[nodiscard]] const std::string& protocol() const noexcept override { return protocol_; }

  // What the connection reports.
  void on_data(Bytes data);
  void on_end();
  void on_gone(Error reason);
  [[nodiscard]] std::size_t unread_bytes() const noexcept { return buffer_.size() - at_; }

 private:
  struct Read {
    bool is_message = false;
    std::size_t bytes_max = 0;
    Done done;
  };

  void start(Read read);
  void advance();
  void finish(Expected<std::vector<std::uint8_t>> outcome);
  [[nodiscard]] std::optional<Expected<std::vector<std::uint8_t>>> try_message(
      std::size_t bytes_max);
  [[nodiscard]] std::vector<std::uint8_t> take(std::size_t header_bytes, std::size_t bytes);
  void credit_up_to(std::size_t bytes);
  [[nodiscard]] Error end_error() const;

  LoopPtr loop_;
  std::weak_ptr<Connection> connection_;
  std::uint32_t id_;
  PeerId peer_;
  std::string protocol_;
  std::vector<std::uint8_t> buffer_;  // unread, from at_
  std::size_t at_ = 0;
  std::size_t credited_ =
      0;  // unread bytes whose window was already given back, because a read waits for more
  std::optional<Read> read_;
  std::optional<Error> gone_;
  bool has_ended_ = false;
  bool is_write_closed_ = false;
};

}  // namespace corelay::libp2p
