#include "control/libp2p/yamux.h"

#include <algorithm>

#include "codec/check.h"
#include "control/libp2p/varint.h"

namespace corelay::libp2p {
namespace {

enum Type : std::uint8_t { type_data = 0, type_window_update = 1, type_ping = 2, type_go_away = 3 };
enum Flag : std::uint16_t { flag_syn = 1, flag_ack = 2, flag_fin = 4, flag_rst = 8 };

constexpr std::size_t turn_bytes = 16 * 1024;
constexpr std::uint64_t send_window_max = std::uint64_t{1} << 32;

void store_be32(std::uint8_t* to, std::uint32_t value) noexcept {
  store_le(to, __builtin_bswap32(value));
}
std::uint32_t load_be32(const std::uint8_t* from) noexcept {
  return __builtin_bswap32(load_le<std::uint32_t>(from));
}

void append_header(std::vector<std::uint8_t>& to, std::uint8_t type, std::uint16_t flags,
                   std::uint32_t id, std::uint32_t length) {
  std::array<std::uint8_t, yamux_header_bytes> header{};
  header[1] = type;
  header[2] = static_cast<std::uint8_t>(flags >> 8);
  header[3] = static_cast<std::uint8_t>(flags);
  store_be32(header.data() + 4, id);
  store_be32(header.data() + 8, length);
  append_bytes(to, header);
}

}  // namespace

YamuxSession::YamuxSession(Role role, const YamuxLimits& limits)
    : role_(role), limits_(limits), next_id_(role == Role::dialer ? 1 : 2) {
  limits_.receive_window_bytes =
      std::clamp(limits_.receive_window_bytes, yamux_window_bytes, yamux_window_bytes_max);
}

// Reading.

Expected<void> YamuxSession::receive(Bytes in, YamuxEvents& events) {
  while (!in.empty()) {
    if (is_broken_) return fail(ErrorCode::closed, "yamux", "the session is over");
    if (payload_left_ > 0) {
      const std::size_t taken = std::min<std::size_t>(payload_left_, in.size());
      payload_left_ -= static_cast<std::uint32_t>(taken);
      on_payload(in.first(taken), events);
      in = in.subspan(taken);
      continue;
    }
    const std::size_t taken = std::min(yamux_header_bytes - header_bytes_, in.size());
    std::copy_n(in.begin(), taken, header_.begin() + static_cast<std::ptrdiff_t>(header_bytes_));
    header_bytes_ += taken;
    in = in.subspan(taken);
    if (header_bytes_ < yamux_header_bytes) break;
    header_bytes_ = 0;
    const auto outcome = on_header(events);
    if (!outcome) return outcome;
  }
  return {};
}

tl::unexpected<Error> YamuxSession::violation(std::string what) {
  go_away(GoAway::protocol_error);
  is_broken_ = true;
  return fail(ErrorCode::malformed, "yamux", std::move(what));
}

Expected<void> YamuxSession::on_header(YamuxEvents& events) {
  Header header;
  header.type = header_[1];
  header.flags = static_cast<std::uint16_t>(header_[2] << 8 | header_[3]);
  header.id = load_be32(header_.data() + 4);
  header.length = load_be32(header_.data() + 8);
  if (header_[0] != 0) return violation("version " + std::to_string(header_[0]));
  switch (header.type) {
    case type_data:
    case type_window_update:
      if (header.id == 0) return violation("stream frame for the session");
      return on_stream_frame(header, events);
    case type_ping:
    case type_go_away:
      on_session_frame(header, events);
      return {};
    default:
      return violation("frame type " + std::to_string(header.type));
  }
}

void YamuxSession::on_session_frame(const Header& header, YamuxEvents& events) {
  if (header.type == type_go_away) {
    is_peer_leaving_ = true;
    events.on_go_away(header.length);
  } else if ((header.flags & flag_syn) != 0) {
    send_control(type_ping, flag_ack, 0, header.length);
  } else if ((header.flags & flag_ack) != 0) {
    events.on_pong(header.length);
  }
}

Expected<void> YamuxSession::on_syn(const Header& header, YamuxEvents& events) {
  const bool is_peers_id = (header.id % 2 == 1) == (role_ == Role::listener);
  if (!is_peers_id) return violation("stream id of ours opened by the peer");
  if (streams_.contains(header.id)) return violation("stream opened twice");
  if (inbound_count_ >= limits_.inbound_streams_max) {
    send_control(type_window_update, flag_rst, header.id, 0);
    return {};
  }
  Stream& stream = streams_[header.id];
  stream.is_acknowledged = true;
  ++inbound_count_;
  const std::uint32_t extra = limits_.receive_window_bytes - yamux_window_bytes;
  stream.receive_window += extra;
  send_control(type_window_update, flag_ack, header.id, extra);
  events.on_stream(header.id);
  return {};
}

Expected<void> YamuxSession::on_stream_frame(const Header& header, YamuxEvents& events) {
  if ((header.flags & flag_syn) != 0) {
    const auto outcome = on_syn(header, events);
    if (!outcome) return outcome;
  }
  const bool has_payload = header.type == type_data && header.length > 0;
  if (has_payload) {
    if (header.length > yamux_window_bytes_max) return violation("data frame over 16 MiB");
    payload_left_ = header.length;
    payload_id_ = 0;
    payload_ends_stream_ = false;
  }
  const auto found = streams_.find(header.id);
  // A stream that is over here may still be open there: its frames are no error.
  if (found == streams_.end()) return {};
  Stream& stream = found->second;
  if ((header.flags & flag_ack) != 0 && !stream.is_acknowledged) {
    stream.is_acknowledged = true;
    --unacknowledged_count_;
  }
  if ((header.flags & flag_rst) != 0) {
    erase(header.id);
    events.on_reset(header.id);
    return {};
  }
  if (header.type == type_window_update) {
    stream.send_window = std::min(stream.send_window + header.length, send_window_max);
    make_ready(header.id, stream);
  } else if (has_payload && !stream.is_fin_received) {
    if (header.length > stream.receive_window) return violation("window exceeded");
    stream.receive_window -= header.length;
    payload_id_ = header.id;
  }
  if ((header.flags & flag_fin) != 0) {
    if (has_payload) {
      payload_ends_stream_ = true;
    } else {
      end_of_peer(header.id, events);
    }
  }
  return {};
}

void YamuxSession::on_payload(Bytes data, YamuxEvents& events) {
  const std::uint32_t id = payload_id_;
  if (id == 0) return;
  if (streams_.contains(id)) events.on_data(id, data);
  if (payload_left_ == 0 && payload_ends_stream_) end_of_peer(id, events);
}

void YamuxSession::end_of_peer(std::uint32_t id, YamuxEvents& events) {
  const auto found = streams_.find(id);
  if (found == streams_.end() || found->second.is_fin_received) return;
  found->second.is_fin_received = true;
  erase_if_done(id);
  events.on_end(id);
}

// Writing.

Expected<std::uint32_t> YamuxSession::open() {
  if (is_peer_leaving_ || is_broken_)
    return fail(ErrorCode::closed, "yamux", "the peer is leaving");
  if (unacknowledged_count_ >= limits_.unacknowledged_streams_max) {
    return fail(ErrorCode::unavailable, "yamux", "too many streams the peer has not acknowledged");
  }
  if (next_id_ > 0xfffffff0u)
    return fail(ErrorCode::unavailable, "yamux", "stream ids are used up");
  const std::uint32_t id = next_id_;
  next_id_ += 2;
  Stream& stream = streams_[id];
  stream.is_ours = true;
  ++unacknowledged_count_;
  const std::uint32_t extra = limits_.receive_window_bytes - yamux_window_bytes;
  stream.receive_window += extra;
  send_control(type_window_update, flag_syn, id, extra);
  return id;
}

bool YamuxSession::write(std::uint32_t id, Bytes data) {
  const auto found = streams_.find(id);
  if (found == streams_.end() || found->second.is_fin_wanted) return false;
  append_bytes(found->second.pending, data);
  data_bytes_ += data.size();
  make_ready(id, found->second);
  return true;
}

void YamuxSession::close_write(std::uint32_t id) {
  const auto found = streams_.find(id);
  if (found == streams_.end()) return;
  found->second.is_fin_wanted = true;
  make_ready(id, found->second);
}

void YamuxSession::reset(std::uint32_t id) {
  if (!streams_.contains(id)) return;
  erase(id);
  send_control(type_window_update, flag_rst, id, 0);
}

void YamuxSession::consumed(std::uint32_t id, std::size_t bytes) {
  const auto found = streams_.find(id);
  if (found == streams_.end() || found->second.is_fin_received) return;
  Stream& stream = found->second;
  stream.unreported += bytes;
  // One update for half a window, not one for each read.
  if (stream.unreported * 2 < limits_.receive_window_bytes) return;
  const auto credit = static_cast<std::uint32_t>(std::min<std::uint64_t>(
      stream.unreported, limits_.receive_window_bytes - stream.receive_window));
  stream.unreported = 0;
  stream.receive_window += credit;
  send_control(type_window_update, 0, id, credit);
}

void YamuxSession::ping(std::uint32_t value) { send_control(type_ping, flag_syn, 0, value); }

void YamuxSession::go_away(GoAway code) {
  send_control(type_go_away, 0, 0, static_cast<std::uint32_t>(code));
}

void YamuxSession::send_control(std::uint8_t type, std::uint16_t flags, std::uint32_t id,
                                std::uint32_t length) {
  append_header(control_, type, flags, id, length);
}

void YamuxSession::make_ready(std::uint32_t id, Stream& stream) {
  const bool may_send =
      (stream.pending_bytes() > 0 && stream.send_window > 0) ||
      (stream.pending_bytes() == 0 && stream.is_fin_wanted && !stream.is_fin_sent);
  if (!may_send || stream.is_ready) return;
  stream.is_ready = true;
  ready_.push_back(id);
}

std::size_t YamuxSession::take_output(std::vector<std::uint8_t>& out, std::size_t bytes_max) {
  const std::size_t begin = out.size();
  const std::size_t control =
      std::min(control_.size(), bytes_max / yamux_header_bytes * yamux_header_bytes);
  append_bytes(out, Bytes(control_).first(control));
  control_.erase(control_.begin(), control_.begin() + static_cast<std::ptrdiff_t>(control));
  while (!ready_.empty() && out.size() - begin + yamux_header_bytes < bytes_max) {
    const std::uint32_t id = ready_.front();
    ready_.pop_front();
    const auto found = streams_.find(id);
    if (found == streams_.end()) continue;  // reset since it was queued
    found->second.is_ready = false;
    send_turn(id, found->second, out, bytes_max - (out.size() - begin));
    if (found->second.is_fin_sent) {
      erase_if_done(id);
    } else {
      make_ready(id, found->second);
    }
  }
  return out.size() - begin;
}

/// One data frame of one stream, within its window, or the FIN once all data is out. FIN goes in a
/// frame of its own: js-libp2p 3.3 acts on a data frame's flags before its payload and would lose
/// the payload.
void YamuxSession::send_turn(std::uint32_t id, Stream& stream, std::vector<std::uint8_t>& out,
                             std::size_t bytes_max) {
  if (stream.pending_bytes() == 0) {
    if (!stream.is_fin_wanted || stream.is_fin_sent) return;
    append_header(out, type_window_update, flag_fin, id, 0);
    stream.is_fin_sent = true;
    return;
  }
  std::size_t length =
      std::min({stream.pending_bytes(), turn_bytes, bytes_max - yamux_header_bytes});
  length = static_cast<std::size_t>(std::min<std::uint64_t>(length, stream.send_window));
  if (length == 0) return;
  append_header(out, type_data, 0, id, static_cast<std::uint32_t>(length));
  append_bytes(out, Bytes(stream.pending).subspan(stream.pending_at, length));
  stream.pending_at += length;
  stream.send_window -= length;
  data_bytes_ -= length;
  if (stream.pending_at == stream.pending.size()) {
    stream.pending.clear();
    stream.pending_at = 0;
    // A burst should not keep its memory for the life of the stream.
    if (stream.pending.capacity() > 4 * turn_bytes) stream.pending.shrink_to_fit();
  } else if (stream.pending_at > stream.pending.size() / 2 && stream.pending_at > turn_bytes) {
    stream.pending.erase(stream.pending.begin(),
                         stream.pending.begin() + static_cast<std::ptrdiff_t>(stream.pending_at));
    stream.pending_at = 0;
  }
}

void YamuxSession::erase(std::uint32_t id) {
  const auto found = streams_.find(id);
  CHECK(found != streams_.end());
  data_bytes_ -= found->second.pending_bytes();
  if (!found->second.is_ours) --inbound_count_;
  if (found->second.is_ours && !found->second.is_acknowledged) --unacknowledged_count_;
  streams_.erase(found);
}

void YamuxSession::erase_if_done(std::uint32_t id) {
  const auto found = streams_.find(id);
  if (found == streams_.end()) return;
  if (found->second.is_fin_sent && found->second.is_fin_received) erase(id);
}

}  // namespace corelay::libp2p
