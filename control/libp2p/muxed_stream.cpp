#include "control/libp2p/muxed_stream.h"

#include <algorithm>

#include "codec/check.h"
#include "control/libp2p/connection.h"
#include "control/libp2p/varint.h"

namespace corelay::libp2p {

MuxedStream::MuxedStream(LoopPtr loop, std::weak_ptr<Connection> connection, std::uint32_t id,
                         PeerId peer, std::string protocol)
    : loop_(std::move(loop)),
      connection_(std::move(connection)),
      id_(id),
      peer_(std::move(peer)),
      protocol_(std::move(protocol)) {}

MuxedStream::~MuxedStream() {
  if (const auto connection = connection_.lock())
    connection->drop_stream(id_, is_write_closed_, unread_bytes());
}

void MuxedStream::read_message(std::size_t bytes_max, Done done) {
  start({true, bytes_max, std::move(done)});
}

void MuxedStream::read_some(std::size_t bytes_max, Done done) {
  start({false, bytes_max, std::move(done)});
}

void MuxedStream::start(Read read) {
  CHECK(!read_);  // one read at a time
  read_ = std::move(read);
  advance();
}

/// Completes the waiting read if it can be: with data, else with the stream's end.
void MuxedStream::advance() {
  if (!read_) return;
  if (!read_->is_message) {
    if (unread_bytes() > 0)
      return finish(take(0, std::min(unread_bytes(), std::max<std::size_t>(1, read_->bytes_max))));
    if (gone_ || has_ended_) finish(tl::make_unexpected(end_error()));
    return;
  }
  if (auto outcome = try_message(read_->bytes_max)) return finish(std::move(*outcome));
  if (gone_) return finish(tl::make_unexpected(*gone_));
  if (!has_ended_) return;
  if (unread_bytes() == 0) return finish(tl::make_unexpected(end_error()));
  finish(fail(ErrorCode::malformed, "stream " + protocol_, "ended inside a message"));
}

std::optional<Expected<std::vector<std::uint8_t>>> MuxedStream::try_message(std::size_t bytes_max) {
  const Varint length = read_varint(Bytes(buffer_).subspan(at_));
  if (length.status == VarintStatus::incomplete) return std::nullopt;
  if (length.status == VarintStatus::malformed) {
    return fail(ErrorCode::malformed, "stream " + protocol_, "message length is not a varint");
  }
  if (length.value > bytes_max) {
    return fail(ErrorCode::too_large, "stream " + protocol_,
                "message of " + std::to_string(length.value) + " bytes, at most " +
                    std::to_string(bytes_max));
  }
  const std::size_t total = length.bytes + length.value;
  if (unread_bytes() < total) {
    // The message may be larger than the window: what it already fills is as good as read.
    credit_up_to(unread_bytes());
    return std::nullopt;
  }
  return take(length.bytes, length.value);
}

std::vector<std::uint8_t> MuxedStream::take(std::size_t header_bytes, std::size_t bytes) {
  const std::size_t total = header_bytes + bytes;
  const auto begin = buffer_.begin() + static_cast<std::ptrdiff_t>(at_ + header_bytes);
  std::vector<std::uint8_t> taken(begin, begin + static_cast<std::ptrdiff_t>(bytes));
  credit_up_to(total);
  credited_ -= total;
  at_ += total;
  if (const auto connection = connection_.lock()) connection->unread_shrank(total);
  if (at_ == buffer_.size()) {
    buffer_ = {};
    at_ = 0;
  } else if (at_ > buffer_.size() / 2) {
    buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(at_));
    at_ = 0;
  }
  return taken;
}

/// Gives the window of the first `bytes` unread bytes back, once.
void MuxedStream::credit_up_to(std::size_t bytes) {
  if (bytes <= credited_) return;
  if (const auto connection = connection_.lock()) connection->consumed(id_, bytes - credited_);
  credited_ = bytes;
}

void MuxedStream::finish(Expected<std::vector<std::uint8_t>> outcome) {
  Done done = std::move(read_->done);
  read_.reset();
  post(loop_, [done = std::move(done), outcome = std::move(outcome)]() mutable {
    done(std::move(outcome));
  });
}

Error MuxedStream::end_error() const {
  return gone_ ? *gone_ : Error{ErrorCode::closed, "stream " + protocol_, "end of stream"};
}

Expected<void> MuxedStream::write_message(Bytes message) {
  std::vector<std::uint8_t> bytes;
  bytes.reserve(message.size() + 9);
  append_varint(bytes, message.size());
  append_bytes(bytes, message);
  return write(bytes);
}

Expected<void> MuxedStream::write(Bytes bytes) {
  const auto connection = connection_.lock();
  if (gone_ || is_write_closed_ || !connection) {
    return fail(ErrorCode::closed, "stream " + protocol_, "closed for writing");
  }
  return connection->write(id_, bytes);
}

void MuxedStream::close_write() {
  if (is_write_closed_) return;
  is_write_closed_ = true;
  if (const auto connection = connection_.lock()) connection->close_write(id_);
}

void MuxedStream::reset() {
  if (const auto connection = connection_.lock()) connection->reset_stream(id_);
  on_gone({ErrorCode::closed, "stream " + protocol_, "reset"});
}

void MuxedStream::on_data(Bytes data) {
  append_bytes(buffer_, data);
  advance();
}

void MuxedStream::on_end() {
  has_ended_ = true;
  advance();
}

void MuxedStream::on_gone(Error reason) {
  if (!gone_) gone_ = std::move(reason);
  advance();
}

}  // namespace corelay::libp2p
