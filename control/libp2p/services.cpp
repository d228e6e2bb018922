// The protocols every libp2p peer serves: identify, identify push, ping.
#include <sodium.h>

#include <algorithm>
#include <utility>

#include "control/libp2p/identify.h"
#include "control/libp2p/swarm.h"

namespace corelay::libp2p {
namespace {

using boost::system::error_code;

constexpr std::size_t ping_bytes = 32;
constexpr int ping_streams_max = 2;  // inbound, a peer
constexpr const char* protocol_version = "ipfs/0.1.0";

/// Resets a stream that is still open after `after`; the guard goes with its last copy.
std::shared_ptr<boost::asio::steady_timer> reset_after(const LoopPtr& loop, const StreamPtr& stream,
                                                       std::chrono::milliseconds after) {
  auto timer = std::make_shared<boost::asio::steady_timer>(loop->io, after);
  timer->async_wait([weak = std::weak_ptr<Stream>(stream)](const error_code& error) {
    const auto held = weak.lock();
    if (!error && held) held->reset();
  });
  return timer;
}

/// Echoes what comes, as long as it comes.
void echo(const StreamPtr& stream, const std::shared_ptr<void>& counted) {
  stream->read_some(4096, [stream, counted](Expected<std::vector<std::uint8_t>> bytes) {
    if (!bytes) return stream->close_write();
    if (stream->write(*bytes)) return echo(stream, counted);
    stream->reset();  // it sends pings and does not read the answers
  });
}

/// One ping: reads until the 32 bytes are back.
struct Pinging {
  StreamPtr stream;
  std::vector<std::uint8_t> sent;
  std::vector<std::uint8_t> back;
  std::chrono::steady_clock::time_point started;
  std::shared_ptr<boost::asio::steady_timer> deadline;
  Swarm::Pinged done;
};

void read_pong(const std::shared_ptr<Pinging>& ping) {
  ping->stream->read_some(
      ping_bytes - ping->back.size(), [ping](Expected<std::vector<std::uint8_t>> bytes) {
        if (!bytes && ping->deadline->expiry() <= std::chrono::steady_clock::now()) {
          return ping->done(fail(ErrorCode::timed_out, "ping", "no answer in time"));
        }
        if (!bytes) return ping->done(tl::make_unexpected(bytes.error()));
        ping->back.insert(ping->back.end(), bytes->begin(), bytes->end());
        if (ping->back.size() < ping_bytes) return read_pong(ping);
        ping->stream->close_write();
        if (ping->back != ping->sent)
          return ping->done(fail(ErrorCode::malformed, "ping", "other bytes came back"));
        ping->done(std::chrono::duration_cast<std::chrono::microseconds>(
            std::chrono::steady_clock::now() - ping->started));
      });
}

/// One identify exchange: messages up to the end of the stream, merged.
struct Identifying {
  StreamPtr stream;
  PeerIdentity merged;
  std::size_t messages = 0;
  std::shared_ptr<boost::asio::steady_timer> deadline;
  std::function<void(const PeerId&, const PeerIdentity&)> done;
};

void read_message(const std::shared_ptr<Identifying>& reading) {
  reading->stream->read_message(
      identify_read_bytes_max, [reading](Expected<std::vector<std::uint8_t>> message) {
        const bool is_good =
            message && merge_identify(*message, reading->stream->peer(), reading->merged);
        if (is_good && ++reading->messages < identify_messages_max) return read_message(reading);
        if (reading->messages > 0) reading->done(reading->stream->peer(), reading->merged);
      });
}

}  // namespace

void Swarm::start() {
  const auto serve = [this](const char* protocol, void (Swarm::*call)(const StreamPtr&)) {
    handle(protocol, [weak = weak_from_this(), call](StreamPtr stream) {
      if (const auto self = weak.lock()) ((*self).*call)(stream);
    });
  };
  serve(identify_protocol, &Swarm::serve_identify);
  serve(ping_protocol, &Swarm::serve_ping);
  serve(identify_push_protocol, &Swarm::read_identify);
}

// Identify.

void Swarm::identify(Connection& connection) {
  connection.open_stream(identify_protocol, [weak = weak_from_this()](Expected<StreamPtr> stream) {
    const auto self = weak.lock();
    if (!self || !stream) return;  // a peer without identify is still a peer
    (*stream)->close_write();
    self->read_identify(*stream);
  });
}

void Swarm::read_identify(const StreamPtr& stream) {
  const auto reading = std::make_shared<Identifying>();
  reading->stream = stream;
  reading->deadline = reset_after(loop_, stream, config_.negotiate_timeout);
  if (const auto known = peers_.find(stream->peer()); known != peers_.end())
    reading->merged = known->second.identity;
  reading->done = [weak = weak_from_this()](const PeerId& id, const PeerIdentity& identity) {
    const auto self = weak.lock();
    if (!self) return;
    const auto at = self->peers_.find(id);
    if (at == self->peers_.end()) return;
    at->second.identity = identity;
    self->push_identify();                       // what changed while its answer was under way
    const auto call = self->on_identified_call;  // a copy: the call may stop the host
    if (call) call(id, identity);
  };
  read_message(reading);
}

std::optional<Multiaddr> Swarm::remote_of(const PeerId& peer) const {
  const auto at = peers_.find(peer);
  if (at == peers_.end()) return std::nullopt;
  return at->second.preferred->remote();
}

std::vector<std::uint8_t> Swarm::identify_message(const std::optional<Multiaddr>& observed) const {
  PeerIdentity ours;
  ours.agent_version = config_.agent_version;
  ours.protocol_version = protocol_version;
  for (const auto& [protocol, accept] : protocols_) ours.protocols.push_back(protocol);
  ours.listen_addresses = announced_.empty() ? listen_addresses() : announced_;
  for (Multiaddr& address : ours.listen_addresses) address = address.without_peer();
  return format_identify(identity_, ours, observed, record_sequence_);
}

void Swarm::serve_identify(const StreamPtr& stream) {
  static_cast<void>(stream->write_message(identify_message(remote_of(stream->peer()))));
  stream->close_write();
  const auto at = peers_.find(stream->peer());
  if (at != peers_.end()) at->second.told_sequence = record_sequence_;
}

void Swarm::set_announced(std::vector<Multiaddr> addresses) {
  announced_ = std::move(addresses);
  announce_change();
}

/// What identify says has changed: peers that are connected are told, once for all changes of this
/// turn.
void Swarm::announce_change() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto now_ms = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
  record_sequence_ = std::max(record_sequence_ + 1, static_cast<std::uint64_t>(now_ms));
  if (peers_.empty() || std::exchange(is_push_posted_, true)) return;
  post(loop_, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    self->is_push_posted_ = false;
    self->push_identify();
  });
}

/// Tells those peers that asked, take pushes and know something older.
void Swarm::push_identify() {
  for (auto& [id, peer] : peers_) {
    if (peer.told_sequence == 0 || peer.told_sequence == record_sequence_) continue;
    const auto& protocols = peer.identity.protocols;
    if (std::ranges::find(protocols, identify_push_protocol) == protocols.end()) continue;
    peer.told_sequence = record_sequence_;
    peer.preferred->open_stream(
        identify_push_protocol, [weak = weak_from_this()](Expected<StreamPtr> stream) {
          const auto self = weak.lock();
          if (!self || !stream) return;
          static_cast<void>((*stream)->write_message(self->identify_message(std::nullopt)));
          (*stream)->close_write();
        });
  }
}

// Ping.

void Swarm::serve_ping(const StreamPtr& stream) {
  int& count = ping_streams_[stream->peer()];
  if (count == ping_streams_max) return stream->reset();
  ++count;
  const std::shared_ptr<void> counted(nullptr,
                                      [weak = weak_from_this(), id = stream->peer()](void*) {
                                        const auto self = weak.lock();
                                        if (!self) return;
                                        const auto at = self->ping_streams_.find(id);
                                        if (at != self->ping_streams_.end() && --at->second == 0)
                                          self->ping_streams_.erase(at);
                                      });
  echo(stream, counted);
}

void Swarm::ping(const PeerId& peer, Pinged done) {
  open_stream(peer, ping_protocol,
              [weak = weak_from_this(), done = std::move(done)](Expected<StreamPtr> stream) {
                const auto self = weak.lock();
                if (!self) return;
                if (!stream) return done(tl::make_unexpected(stream.error()));
                const auto ping = std::make_shared<Pinging>();
                ping->stream = *stream;
                ping->sent.resize(ping_bytes);
                randombytes_buf(ping->sent.data(), ping->sent.size());
                ping->started = std::chrono::steady_clock::now();
                ping->deadline = reset_after(self->loop_, *stream, self->config_.negotiate_timeout);
                ping->done = done;
                const auto written = (*stream)->write(ping->sent);
                if (!written) return done(tl::make_unexpected(written.error()));
                read_pong(ping);
              });
}

}  // namespace corelay::libp2p
