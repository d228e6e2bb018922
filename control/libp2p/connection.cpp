#include "control/libp2p/connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <utility>

namespace corelay::libp2p {
namespace {

using boost::system::error_code;

constexpr std::size_t write_bytes_max = 128 * 1024;
constexpr std::size_t control_bytes_max = 64 * 1024;  // answers waiting; above it we read no more
constexpr int pings_unanswered_max = 2;
constexpr std::chrono::milliseconds closing_timeout{1000};
constexpr std::chrono::milliseconds retire_interval{1000};
constexpr std::chrono::milliseconds go_away_timeout{5000};

Error socket_error(const error_code& error) {
  const bool is_end = error == boost::asio::error::eof ||
                      error == boost::asio::error::connection_reset ||
                      error == boost::asio::error::broken_pipe;
  return {is_end ? ErrorCode::closed : ErrorCode::internal, "connection",
          is_end ? "closed by the peer" : "socket error", is_end ? 0 : error.value()};
}

LinkConfig link_config(const HostConfig& config, Role role, std::optional<PeerId> expected_peer) {
  LinkConfig link;
  link.role = role;
  link.expected_peer = std::move(expected_peer);
  link.offers_early_muxer = config.offers_early_muxer;
  link.yamux.inbound_streams_max = config.streams_per_connection_max;
  link.yamux.receive_window_bytes = static_cast<std::uint32_t>(
      std::min<std::size_t>(config.stream_receive_bytes_max, yamux_window_bytes_max));
  return link;
}

}  // namespace

Connection::Connection(LoopPtr loop, ConnectionOwner& owner, const Identity& identity,
                       const HostConfig& config, Tcp::socket socket, Role role, Multiaddr remote,
                       std::optional<PeerId> expected_peer)
    : loop_(std::move(loop)),
      owner_(&owner),
      config_(config),
      socket_(std::move(socket)),
      role_(role),
      remote_(std::move(remote)),
      link_(identity, link_config(config, role, std::move(expected_peer)), *this),
      deadline_(loop_->io),
      keepalive_(loop_->io),
      retire_(loop_->io) {}

void Connection::start() {
  error_code ignored;
  socket_.set_option(Tcp::no_delay(true), ignored);
  const int unsent_bytes_max = static_cast<int>(write_bytes_max);
  static_cast<void>(::setsockopt(socket_.native_handle(), IPPROTO_TCP, TCP_NOTSENT_LOWAT,
                                 &unsent_bytes_max, sizeof unsent_bytes_max));
  arm(deadline_, config_.dial_timeout, &Connection::on_deadline);
  flush();
  read();
}

void Connection::arm(boost::asio::steady_timer& timer, std::chrono::milliseconds after,
                     void (Connection::*call)()) {
  timer.expires_after(after);
  timer.async_wait([weak = weak_from_this(), &timer, call](const error_code& error) {
    const auto self = weak.lock();
    // A timer set anew may have a call of its old time under way.
    if (!error && self && timer.expiry() <= std::chrono::steady_clock::now()) ((*self).*call)();
  });
}

// Bytes.

void Connection::read() {
  if (is_reading_ || is_closing_) return;
  if (link_.is_ready() && link_.session().control_bytes() > control_bytes_max)
    return;  // again when written
  is_reading_ = true;
  socket_.async_read_some(boost::asio::buffer(read_buffer_),
                          [self = shared_from_this()](const error_code& error, std::size_t bytes) {
                            self->is_reading_ = false;
                            if (self->is_closing_) return;
                            if (error) return self->close(socket_error(error));
                            self->on_read(bytes);
                          });
}

void Connection::on_read(std::size_t bytes) {
  has_received_ = true;
  const auto outcome = link_.receive(Bytes(read_buffer_).first(bytes));
  if (!outcome) return close(outcome.error());
  flush();
  read();
}

void Connection::flush() {
  if (is_flush_posted_ || is_writing_ || !link_.has_output()) return;
  is_flush_posted_ = true;
  // Posted, so that everything written in one turn of the loop shares records.
  boost::asio::post(loop_->io, [self = shared_from_this()] {
    self->is_flush_posted_ = false;
    self->write_some();
  });
}

void Connection::write_some() {
  if (is_writing_ || !socket_.is_open()) return;
  write_buffer_.clear();
  const auto taken = link_.take_output(write_buffer_, write_bytes_max);
  if (!taken) {
    close(taken.error());
    return finish_close();
  }
  if (write_buffer_.empty()) {
    if (is_closing_) finish_close();
    return;
  }
  is_writing_ = true;
  boost::asio::async_write(socket_, boost::asio::buffer(write_buffer_),
                           [self = shared_from_this()](const error_code& error, std::size_t) {
                             self->is_writing_ = false;
                             if (error) {
                               self->close(socket_error(error));
                               return self->finish_close();
                             }
                             self->write_some();
                             self->read();
                           });
}

// Life.

void Connection::on_ready() {
  if (is_closing_) return;
  deadline_.expires_at(std::chrono::steady_clock::time_point::max());
  ready_at_ = std::chrono::steady_clock::now();
  if (config_.keepalive_interval.count() > 0) {
    arm(keepalive_, config_.keepalive_interval, &Connection::on_keepalive);
  }
  owner_->on_ready(*this);
}

void Connection::on_deadline() {
  if (is_closing_) return finish_close();
  if (link_.is_ready()) return close({ErrorCode::closed, "connection", "the peer left"});
  close({ErrorCode::timed_out, "connection", "the handshake took too long"});
}

void Connection::on_keepalive() {
  if (is_closing_) return;
  if (std::exchange(has_received_, false)) pings_unanswered_ = 0;
  if (pings_unanswered_ == pings_unanswered_max) {
    return close({ErrorCode::timed_out, "connection", "two keepalive pings were not answered"});
  }
  link_.session().ping(static_cast<std::uint32_t>(++pings_unanswered_));
  flush();
  arm(keepalive_, config_.keepalive_interval, &Connection::on_keepalive);
}

void Connection::on_pong(std::uint32_t) { pings_unanswered_ = 0; }

void Connection::on_go_away(std::uint32_t code) {
  if (is_closing_) return;
  // Streams may finish; then, or after a while, the connection goes.
  arm(deadline_, code == 0 && !slots_.empty() ? go_away_timeout : std::chrono::milliseconds(0),
      &Connection::on_deadline);
}

void Connection::retire() { arm(retire_, retire_interval, &Connection::on_retire); }

void Connection::on_retire() {
  if (is_closing_) return;
  if (!slots_.empty()) return retire();
  close({ErrorCode::closed, "connection", "another connection to the peer took over"});
}

void Connection::close(Error reason) {
  if (is_closing_) return;
  is_closing_ = true;
  const auto self = shared_from_this();
  keepalive_.cancel();
  retire_.cancel();
  auto slots = std::exchange(slots_, {});
  for (auto& [id, slot] : slots) {
    if (slot.opening && slot.opening->done) {
      post(loop_,
           [done = std::move(slot.opening->done), reason] { done(tl::make_unexpected(reason)); });
    }
    if (const auto stream = slot.stream.lock())
      stream->on_gone({ErrorCode::closed, reason.where, reason.what});
  }
  if (link_.is_ready() && reason.code != ErrorCode::malformed) {
    link_.session().go_away(YamuxSession::GoAway::normal);
  }
  if (ConnectionOwner* owner = std::exchange(owner_, nullptr)) owner->on_closed(*this, reason);
  arm(deadline_, closing_timeout, &Connection::on_deadline);
  if (!is_writing_) write_some();
}

void Connection::finish_close() {
  deadline_.cancel();
  error_code ignored;
  socket_.shutdown(Tcp::socket::shutdown_both, ignored);
  socket_.close(ignored);
}

void Connection::abandon() {
  owner_ = nullptr;
  is_closing_ = true;
  for (boost::asio::steady_timer* timer : {&deadline_, &keepalive_, &retire_}) timer->cancel();
  if (link_.is_ready() && !is_writing_) {
    // One try, without waiting: the peer learns at once instead of from its keepalive.
    error_code ignored;
    write_buffer_.clear();
    link_.session().go_away(YamuxSession::GoAway::normal);
    socket_.non_blocking(true, ignored);
    if (link_.take_output(write_buffer_, write_bytes_max)) {
      socket_.write_some(boost::asio::buffer(write_buffer_), ignored);
    }
  }
  finish_close();
  auto slots = std::exchange(slots_, {});
  for (auto& [id, slot] : slots) {
    if (const auto stream = slot.stream.lock())
      stream->on_gone({ErrorCode::closed, "host", "stopped"});
  }
}

}  // namespace corelay::libp2p
