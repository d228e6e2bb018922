// The stream side of a connection: opening, agreeing on a protocol, handing bytes over, letting go.
#include <algorithm>
#include <utility>

#include "control/libp2p/connection.h"

namespace corelay::libp2p {

void Connection::open_stream(std::string protocol, Opened done) {
  const auto refuse = [&](Error reason) {
    post(loop_, [done = std::move(done), reason = std::move(reason)] {
      done(tl::make_unexpected(reason));
    });
  };
  if (protocol.empty() || protocol.size() >= multistream_text_bytes_max) {
    return refuse(
        {ErrorCode::invalid_argument, "open_stream", "protocol must have 1 to 1023 characters"});
  }
  if (is_closing_ || !link_.is_ready())
    return refuse({ErrorCode::closed, "open_stream", "the connection is closed"});
  const auto id = link_.session().open();
  if (!id) return refuse(id.error());
  Slot& slot = slots_[*id];
  slot.opening =
      std::make_unique<Opening>(Opening{Negotiation::dial({std::move(protocol)}), std::move(done)});
  link_.session().write(*id, slot.opening->negotiation.take_output());
  set_slot_deadline(*id, slot);
  flush();
}

void Connection::set_slot_deadline(std::uint32_t id, Slot& slot) {
  slot.deadline = std::make_unique<boost::asio::steady_timer>(loop_->io, config_.negotiate_timeout);
  slot.deadline->async_wait([weak = weak_from_this(), id](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (error || !self || self->is_closing_) return;
    const auto found = self->slots_.find(id);
    const bool is_due = found != self->slots_.end() && found->second.deadline != nullptr &&
                        found->second.deadline->expiry() <= std::chrono::steady_clock::now();
    if (!is_due) return;
    self->fail_opening(
        id, {ErrorCode::timed_out, "multistream", "the peer did not agree on a protocol in time"});
  });
}

/// Gives a stream up that nobody holds (yet): it is reset and its opener, if any, is told.
void Connection::fail_opening(std::uint32_t id, Error reason) {
  const auto found = slots_.find(id);
  if (found == slots_.end()) return;
  const Slot slot = std::move(found->second);
  slots_.erase(found);
  link_.session().reset(id);
  flush();
  if (slot.opening && slot.opening->done) {
    post(loop_, [done = std::move(slot.opening->done), reason = std::move(reason)] {
      done(tl::make_unexpected(reason));
    });
  }
}

void Connection::on_stream(std::uint32_t id) {
  if (is_closing_) return;
  Slot& slot = slots_[id];
  slot.opening =
      std::make_unique<Opening>(Opening{Negotiation::listen([this](std::string_view protocol) {
                                          return owner_ != nullptr && owner_->is_served(protocol);
                                        }),
                                        nullptr});
  set_slot_deadline(id, slot);
}

void Connection::on_data(std::uint32_t id, Bytes data) {
  const auto found = slots_.find(id);
  if (is_closing_ || found == slots_.end()) return;
  Slot& slot = found->second;
  if (slot.opening) return on_negotiation(id, slot, data);
  const auto stream = slot.stream.lock();
  if (!stream) return;  // let go of by its holder; the deadline ends it
  if (unread_bytes_ + data.size() > config_.unread_bytes_max) {
    reset_stream(id);
    return stream->on_gone({ErrorCode::unavailable, "stream " + stream->protocol(),
                            "reset: too much of this connection is unread"});
  }
  unread_bytes_ += data.size();
  stream->on_data(data);
}

void Connection::on_negotiation(std::uint32_t id, Slot& slot, Bytes data) {
  const auto used = slot.opening->negotiation.receive(data);
  const std::vector<std::uint8_t> output = slot.opening->negotiation.take_output();
  if (!output.empty()) link_.session().write(id, output);
  if (!used) return fail_opening(id, used.error());
  link_.session().consumed(id, *used);
  if (slot.opening->negotiation.is_done()) agreed(id, slot, data.subspan(*used));
}

void Connection::agreed(std::uint32_t id, Slot& slot, Bytes rest) {
  const auto opening = std::move(slot.opening);
  slot.deadline.reset();
  const auto stream = std::make_shared<MuxedStream>(loop_, weak_from_this(), id, link_.peer(),
                                                    opening->negotiation.protocol());
  slot.stream = stream;
  unread_bytes_ += rest.size();
  if (!rest.empty()) stream->on_data(rest);
  if (opening->done) {
    post(loop_, [done = std::move(opening->done), stream] { done(StreamPtr(stream)); });
  } else {
    owner_->on_stream(*this, stream);
  }
}

void Connection::on_end(std::uint32_t id) {
  const auto found = slots_.find(id);
  if (is_closing_ || found == slots_.end()) return;
  if (found->second.opening) {
    return fail_opening(id, {ErrorCode::closed, "multistream", "the peer closed the stream"});
  }
  if (const auto stream = found->second.stream.lock()) {
    stream->on_end();
  } else if (!link_.session().has_stream(id)) {
    slots_.erase(found);
  }
}

void Connection::on_reset(std::uint32_t id) {
  const auto found = slots_.find(id);
  if (is_closing_ || found == slots_.end()) return;
  if (found->second.opening) {
    return fail_opening(id, {ErrorCode::closed, "multistream", "the peer reset the stream"});
  }
  const auto stream = found->second.stream.lock();
  slots_.erase(found);
  if (stream)
    stream->on_gone({ErrorCode::closed, "stream " + stream->protocol(), "reset by the peer"});
}

Expected<void> Connection::write(std::uint32_t id, Bytes bytes) {
  if (is_closing_) return fail(ErrorCode::closed, "stream", "the connection is closed");
  if (bytes.size() > config_.send_queue_bytes_max) {
    return fail(ErrorCode::too_large, "stream",
                std::to_string(bytes.size()) + " bytes, at most " +
                    std::to_string(config_.send_queue_bytes_max));
  }
  if (link_.session().queued_bytes() + bytes.size() > config_.send_queue_bytes_max) {
    return fail(ErrorCode::unavailable, "stream", "the connection's send queue is full");
  }
  if (!link_.session().write(id, bytes))
    return fail(ErrorCode::closed, "stream", "closed for writing");
  flush();
  return {};
}

void Connection::close_write(std::uint32_t id) {
  if (is_closing_) return;
  link_.session().close_write(id);
  flush();
}

void Connection::reset_stream(std::uint32_t id) {
  if (is_closing_) return;
  slots_.erase(id);
  link_.session().reset(id);
  flush();
}

void Connection::consumed(std::uint32_t id, std::size_t bytes) {
  if (is_closing_) return;
  link_.session().consumed(id, bytes);
  flush();
}

/// The last holder let go. After close_write() the queued bytes and the FIN still go out and the
/// peer may finish in its own time, within the deadline; otherwise the stream is reset.
void Connection::drop_stream(std::uint32_t id, bool is_write_closed, std::size_t unread_bytes) {
  unread_bytes_ -= unread_bytes;
  const auto found = slots_.find(id);
  if (is_closing_ || found == slots_.end()) return;
  if (!link_.session().has_stream(id) || !is_write_closed) return reset_stream(id);
  set_slot_deadline(id, found->second);
}

}  // namespace corelay::libp2p
