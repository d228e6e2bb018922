#include "control/gateway/connection.h"

#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>

namespace corelay::gateway {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr std::size_t read_bytes = 4096;
constexpr std::size_t gather_frames_max = 128;
constexpr std::size_t gather_bytes_max = 128u << 10;
constexpr std::size_t turn_bytes_max = 1u << 20;  // then others have their turn
constexpr std::size_t tls_bytes_max = 32u << 10;
constexpr std::size_t control_frames_max = 1024;  // answers and pongs that a client does not read

Instant now() { return std::chrono::steady_clock::now(); }

}  // namespace

Connection::Connection(Tcp::socket socket, asio::ssl::context* tls, const ConnectionSettings& settings, Api& api,
                       Hub& hub, ConnectionTotals& totals, Closed closed)
    : socket_(std::move(socket)),
      settings_(settings),
      api_(api),
      hub_(hub),
      totals_(totals),
      closed_(std::move(closed)),
      parser_(settings.bounds) {
  if (tls != nullptr) tls_ = std::make_unique<asio::ssl::stream<Tcp::socket&>>(socket_, *tls);
  error_code ignored;
  address_ = socket_.remote_endpoint(ignored).address().to_string(ignored);
  ++totals_.connections;
}

Connection::~Connection() = default;

void Connection::begin() {
  error_code ignored;
  socket_.set_option(Tcp::no_delay(true), ignored);
  socket_.non_blocking(true, ignored);
  began_ = heard_ = wrote_ = now();
  read_buffer_.resize(read_bytes);
  if (!tls_) return read();
  is_reading_ = true;
  tls_->async_handshake(asio::ssl::stream_base::server, [self = shared_from_this()](error_code error) {
    self->is_reading_ = false;
    if (error) return self->close();
    self->heard_ = now();
    self->read();
  });
}

void Connection::close() {
  if (!is_open_) return;
  is_open_ = false;
  const auto self = shared_from_this();
  --totals_.connections;
  totals_.held_bytes -= held_;
  held_ = 0;
  if (feed_ != nullptr) {
    api_.on_stream_end(*this);
    hub_.close(feed_);
    feed_ = nullptr;
    --(mode_ == Mode::websocket ? totals_.websockets : totals_.event_streams);
  }
  error_code ignored;
  socket_.shutdown(Tcp::socket::shutdown_both, ignored);
  socket_.close(ignored);
  closed_(self);
}

void Connection::leave(WsClose code, std::string_view why) {
  if (mode_ != Mode::websocket || !is_open_ || is_ending_) return close();
  if (feed_ != nullptr) {
    api_.on_stream_end(*this);
    hub_.close(feed_);
    feed_ = nullptr;
    --totals_.websockets;
  }
  is_ending_ = true;
  began_ = now();
  send(ws_close_frame(code, why));
}

void Connection::check(Instant at) {
  if (!is_open_) return;
  const auto late = [&](Instant since, auto time) { return at - since > time; };
  const bool has_output = !out_.empty() || !tls_out_.empty();
  bool is_late = false;
  if (is_ending_) {
    is_late = late(began_, settings_.timeout);
  } else if (mode_ == Mode::http) {
    if (has_output) {
      is_late = late(wrote_, settings_.timeout);
    } else if (is_answering_) {
      is_late = false;  // the API has deadlines of its own
    } else {
      is_late = late(began_, parser_.is_inside() ? settings_.timeout : settings_.idle);
    }
  } else if (mode_ == Mode::websocket) {
    is_late = late(heard_, 3 * settings_.ping) && (!has_output || late(wrote_, 3 * settings_.ping));
  } else {
    is_late = has_output && late(wrote_, 3 * settings_.ping);
  }
  if (is_late) {
    ++totals_.timeouts;
    const bool is_told = mode_ == Mode::http && !is_ending_ && !has_output && parser_.is_inside();
    if (!is_told) return close();
    constexpr std::string_view why = "{\"error\":\"the request did not come whole within http.timeout_ms\"}\n";
    return answer({408, "application/json", std::string(why), {}}, false, false);
  }
  if (mode_ == Mode::http || is_ending_ || !late(pinged_, settings_.ping)) return;
  pinged_ = at;
  if (out_.size() < control_frames_max) send(mode_ == Mode::websocket ? ws_frame(WsOpcode::ping, "") : ": ping\n\n");
}

void Connection::note_held() {
  const std::size_t held = parser_.held_bytes() + input_.capacity() + (frames_ ? frames_->held_bytes() : 0);
  totals_.held_bytes += held - held_;
  held_ = held;
}

void Connection::read() {
  if (is_reading_ || !is_open_ || is_ending_) return;
  is_reading_ = true;
  const auto done = [self = shared_from_this()](error_code error, std::size_t bytes) { self->on_read(error, bytes); };
  const auto buffer = asio::buffer(read_buffer_);
  if (tls_) {
    tls_->async_read_some(buffer, done);
  } else {
    socket_.async_read_some(buffer, done);
  }
}

void Connection::on_read(const error_code& error, std::size_t bytes) {
  is_reading_ = false;
  if (!is_open_) return;
  if (error) return close();
  if (is_ending_) return;
  const bool is_full = bytes == read_buffer_.size();
  heard_ = now();
  const std::string_view text(read_buffer_.data(), bytes);
  if (mode_ == Mode::http) {
    const bool was_inside = parser_.is_inside();
    if (!was_inside) began_ = heard_;
    const auto outcome = parser_.feed(text);
    note_held();
    if (is_full && read_buffer_.size() < 16 * read_bytes) read_buffer_.resize(read_buffer_.size() * 2);
    if (outcome == RequestParser::Outcome::error) return answer(parser_.error(), false, false);
    if (outcome == RequestParser::Outcome::request) return take_request();
    if (parser_.wants_continue()) send("HTTP/1.1 100 Continue\r\n\r\n");
    return read();
  }
  if (mode_ == Mode::websocket) {
    input_ += text;
    if (is_full && read_buffer_.size() < 16 * read_bytes) read_buffer_.resize(read_buffer_.size() * 2);
    return take_frames();
  }
  read();  // an event stream's client has nothing to say
}

void Connection::take_request() {
  Request request = parser_.take();
  note_held();
  ++totals_.requests;
  request.client_address = address_;
  is_answering_ = true;
  const bool is_head = request.is_head;
  const bool keep_alive = request.keep_alive;
  const auto self = shared_from_this();
  api_.answer(self, std::move(request),
              [self, is_head, keep_alive](const Response& response) { self->answer(response, is_head, keep_alive); });
}

void Connection::answer(const Response& response, bool is_head, bool keep_alive) {
  if (!is_open_) return;
  is_answering_ = false;
  began_ = now();
  if (!keep_alive) is_ending_ = true;
  send(format_response(response, is_head, keep_alive));
  if (!is_open_ || is_ending_) return;
  // Not from inside the call that answered: a client that sends many requests ahead would pile up frames.
  asio::post(socket_.get_executor(), [self = shared_from_this()] {
    if (!self->is_open_ || self->mode_ != Mode::http || self->is_answering_) return;
    const auto outcome = self->parser_.feed({});
    if (outcome == RequestParser::Outcome::error) return self->answer(self->parser_.error(), false, false);
    if (outcome == RequestParser::Outcome::request) return self->take_request();
    self->read();
  });
}

void Connection::start_stream(StreamPlan plan) {
  if (!is_open_) return hub_.close(plan.feed);
  is_answering_ = false;
  feed_ = plan.feed;
  client_ = std::move(plan.client);
  admission_ = std::move(plan.admission);
  pinged_ = now();
  error_code ignored;
  socket_.set_option(asio::socket_base::send_buffer_size(settings_.send_buffer_bytes), ignored);
  mode_ = plan.is_websocket ? Mode::websocket : Mode::events;
  ++(plan.is_websocket ? totals_.websockets : totals_.event_streams);
  if (plan.is_websocket) frames_.emplace(settings_.ws_message_bytes_max);
  input_ = parser_.take_rest();
  read_buffer_.resize(read_bytes);
  read_buffer_.shrink_to_fit();
  send(format_head(plan.is_websocket ? 101 : 200, plan.headers));
  if (is_open_ && plan.is_websocket) return take_frames();
  if (is_open_) read();
}

void Connection::take_frames() {
  std::string_view rest = input_;
  while (is_open_ && !is_ending_ && publishes_ < settings_.publishes_max && !hub_.is_busy()) {
    const auto outcome = frames_->feed(rest);
    if (outcome == WsParser::Outcome::need_more) break;
    if (outcome == WsParser::Outcome::error) {
      leave(frames_->error_code(), "");
      return;
    }
    if (outcome == WsParser::Outcome::message) {
      ++publishes_;
      api_.on_frame(*this, frames_->payload(), [self = shared_from_this()](std::string reply) {
        --self->publishes_;
        self->reply(reply);
      });
      continue;
    }
    if (frames_->opcode() == WsOpcode::close) return leave(WsClose::normal, "");
    if (frames_->opcode() == WsOpcode::ping && out_.size() < control_frames_max) {
      send(ws_frame(WsOpcode::pong, frames_->payload()));
    }
  }
  if (!is_open_) return;
  input_.erase(0, input_.size() - rest.size());
  note_held();
  if (publishes_ < settings_.publishes_max && !hub_.is_busy()) return read();
  if (publishes_ == 0) {  // others are busy: looks again soon
    const auto timer = std::make_shared<asio::steady_timer>(socket_.get_executor(), std::chrono::milliseconds(2));
    timer->async_wait([self = shared_from_this(), timer](error_code) {
      if (self->is_open_ && !self->is_reading_) self->take_frames();
    });
  }
}

/// Answers come in bursts, as nodes' reports do: one write for all of them.
void Connection::reply(std::string_view text) {
  if (!is_open_) return;
  if (!text.empty() && out_.size() < control_frames_max) {
    if (out_.empty()) wrote_ = now();
    out_.push_back(std::make_shared<const std::string>(ws_frame(WsOpcode::text, text)));
  }
  if (is_reply_due_) return;
  is_reply_due_ = true;
  asio::post(socket_.get_executor(), [self = shared_from_this()] {
    self->is_reply_due_ = false;
    self->pump();
    if (self->is_open_ && !self->is_reading_) self->take_frames();
  });
}

void Connection::send(SharedBytes bytes) {
  if (!is_open_) return;
  if (out_.empty()) wrote_ = now();
  out_.push_back(std::move(bytes));
  pump();
}

void Connection::wake() {
  if (!is_write_blocked_ && !is_pumping_) pump();
}

/// Takes from the hub what the next write may carry. True where there is something to write.
bool Connection::gather() {
  std::size_t bytes = 0;
  for (const auto& item : out_) bytes += item->size();
  while (feed_ != nullptr && out_.size() < gather_frames_max && bytes < gather_bytes_max) {
    SharedBytes next = hub_.next(*feed_);
    if (!next) break;
    bytes += next->size();
    out_.push_back(std::move(next));
  }
  return !out_.empty();
}

void Connection::sent(std::size_t bytes) {
  totals_.sent_bytes += bytes;
  ++totals_.writes;
  wrote_ = now();
  out_at_ += bytes;
  while (!out_.empty() && out_at_ >= out_.front()->size()) {
    out_at_ -= out_.front()->size();
    out_.pop_front();
  }
}

/// One writev; false where the socket takes no more now, or is gone.
bool Connection::write_plain() {
  std::array<iovec, gather_frames_max> parts;
  std::size_t count = 0;
  for (auto at = out_.begin(); at != out_.end() && count < parts.size(); ++at, ++count) {
    const std::size_t skip = count == 0 ? out_at_ : 0;
    parts[count] = {const_cast<char*>((*at)->data() + skip), (*at)->size() - skip};
  }
  const ssize_t written = ::writev(socket_.native_handle(), parts.data(), static_cast<int>(count));
  if (written >= 0) {
    sent(static_cast<std::size_t>(written));
    return true;
  }
  if (errno == EINTR) return true;
  if (errno != EAGAIN && errno != EWOULDBLOCK) {
    close();
    return false;
  }
  is_write_blocked_ = true;
  socket_.async_wait(Tcp::socket::wait_write, [self = shared_from_this()](error_code error) {
    self->is_write_blocked_ = false;
    if (error) return self->close();
    self->pump();
  });
  return false;
}

void Connection::write_tls() {
  while (!out_.empty() && tls_out_.size() < tls_bytes_max) {
    tls_out_ += std::string_view(*out_.front()).substr(out_at_);
    out_at_ = 0;
    out_.pop_front();
  }
  is_write_blocked_ = true;
  asio::async_write(*tls_, asio::buffer(tls_out_), [self = shared_from_this()](error_code error, std::size_t bytes) {
    self->is_write_blocked_ = false;
    self->tls_out_.clear();
    if (error) return self->close();
    self->totals_.sent_bytes += bytes;
    self->wrote_ = now();
    self->pump();
  });
}

void Connection::pump() {
  if (!is_open_ || is_write_blocked_ || is_pumping_) return;
  is_pumping_ = true;
  const std::uint64_t start = totals_.sent_bytes;
  bool has_more = gather();
  while (has_more && is_open_) {
    if (tls_) {
      write_tls();
      break;
    }
    if (!write_plain()) break;
    if (totals_.sent_bytes - start > turn_bytes_max) {
      asio::post(socket_.get_executor(), [self = shared_from_this()] { self->pump(); });
      break;
    }
    has_more = gather();
  }
  is_pumping_ = false;
  if (is_open_ && is_ending_ && out_.empty() && tls_out_.empty()) close();
}

}  // namespace corelay::gateway
