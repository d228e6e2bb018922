#include "control/libp2p/link.h"

#include <algorithm>
#include <array>

#include "control/libp2p/noise_payload.h"
#include "control/libp2p/varint.h"

namespace corelay::libp2p {
namespace {

Negotiation negotiation_of(Role role, std::string_view protocol) {
  return role == Role::dialer
             ? Negotiation::dial({std::string(protocol)})
             : Negotiation::listen([protocol](std::string_view text) { return text == protocol; });
}

}  // namespace

Link::Link(const Identity& identity, const LinkConfig& config, LinkEvents& events)
    : Link(identity, config, events, NoiseKeys::generate(), NoiseKeys::generate()) {}

Link::Link(const Identity& identity, const LinkConfig& config, LinkEvents& events,
           const NoiseKeys& static_keys, const NoiseKeys& ephemeral_keys)
    : identity_(identity),
      config_(config),
      events_(events),
      static_(static_keys),
      negotiation_(negotiation_of(config.role, noise_protocol)),
      handshake_(config.role, static_keys, ephemeral_keys) {
  output_ = negotiation_.take_output();
}

bool Link::has_output() const noexcept {
  return !output_.empty() || (session_ && session_->has_output());
}

Expected<void> Link::take_output(std::vector<std::uint8_t>& out, std::size_t bytes_max) {
  append_bytes(out, output_);
  output_.clear();
  while (session_ && session_->has_output() && out.size() < bytes_max) {
    out.resize(out.size() + record_header_bytes);
    const std::size_t at = out.size();
    if (session_->take_output(out, noise_plain_bytes_max) == 0) {
      out.resize(at - record_header_bytes);
      break;
    }
    const auto sealed = send_->seal(out, at);
    if (!sealed) return sealed;
  }
  return {};
}

Expected<void> Link::receive(Bytes in) {
  if (!has_noise_) return on_select_noise(in);
  reader_.add(in);
  return on_records();
}

Expected<void> Link::on_select_noise(Bytes in) {
  const auto used = negotiation_.receive(in);
  append_bytes(output_, negotiation_.take_output());
  if (!used) return tl::make_unexpected(used.error());
  if (!negotiation_.is_done()) return {};
  has_noise_ = true;
  if (handshake_.is_our_turn()) {
    const auto written = write_handshake();
    if (!written) return written;
  }
  reader_.add(in.subspan(*used));
  return on_records();
}

Expected<void> Link::on_records() {
  while (const auto record = reader_.next()) {
    if (!receive_) {
      const auto outcome = on_handshake(*record);
      if (!outcome) return outcome;
      continue;
    }
    const auto plain = receive_->open(*record);
    if (!plain) return tl::make_unexpected(plain.error());
    const auto outcome = on_plain(*plain);
    if (!outcome) return outcome;
  }
  return {};
}

Expected<void> Link::on_handshake(Bytes message) {
  const auto payload = handshake_.read_message(message);
  if (!payload) return tl::make_unexpected(payload.error());
  const bool is_first = config_.role == Role::listener && !handshake_.is_done();
  if (!is_first) {
    auto peer = parse_noise_payload(*payload, handshake_.remote_static());
    if (!peer) return tl::make_unexpected(peer.error());
    peer_ = std::move(peer->peer);
    peer_muxers_ = std::move(peer->muxers);
    if (peer_ == identity_.peer_id())
      return fail(ErrorCode::unauthenticated, "noise", "this is ourselves");
    if (config_.expected_peer && *config_.expected_peer != peer_) {
      return fail(ErrorCode::unauthenticated, "noise",
                  "expected peer " + config_.expected_peer->text() + ", found " + peer_.text());
    }
  }
  if (handshake_.is_our_turn()) {
    const auto written = write_handshake();
    if (!written) return written;
  }
  return handshake_.is_done() ? finish_handshake() : Expected<void>{};
}

Expected<void> Link::write_handshake() {
  const std::array<std::string_view, 1> muxers{yamux_protocol};
  // "Message 1 must not carry a payload": it would be neither secret nor authenticated.
  const bool is_first = config_.role == Role::dialer && peer_.is_empty();
  const std::vector<std::uint8_t> payload =
      is_first ? std::vector<std::uint8_t>{}
               : format_noise_payload(identity_, static_.public_key,
                                      std::span(muxers).first(config_.offers_early_muxer ? 1 : 0));
  const auto message = handshake_.write_message(payload);
  if (!message) return tl::make_unexpected(message.error());
  append_record(output_, *message);
  return {};
}

Expected<void> Link::finish_handshake() {
  const NoiseSecrets secrets = handshake_.secrets();
  send_.emplace(secrets.send);
  receive_.emplace(secrets.receive);
  handshake_hash_ = secrets.handshake_hash;
  if (config_.offers_early_muxer && !peer_muxers_.empty()) {
    // Both sides offered: no overlap ends the connection, there is no second round.
    if (std::ranges::find(peer_muxers_, yamux_protocol) == peer_muxers_.end()) {
      return fail(ErrorCode::not_found, "noise",
                  "the peer does not offer " + std::string(yamux_protocol));
    }
    has_early_muxer_ = true;
    start_session();
    return {};
  }
  negotiation_ = negotiation_of(config_.role, yamux_protocol);
  return seal_negotiation();
}

Expected<void> Link::seal_negotiation() {
  const std::vector<std::uint8_t> plain = negotiation_.take_output();
  if (plain.empty()) return {};
  output_.resize(output_.size() + record_header_bytes);
  const std::size_t at = output_.size();
  append_bytes(output_, plain);
  return send_->seal(output_, at);
}

Expected<void> Link::on_plain(Bytes plain) {
  if (!session_) {
    const auto used = negotiation_.receive(plain);
    const auto sealed = seal_negotiation();
    if (!used) return tl::make_unexpected(used.error());
    if (!sealed) return sealed;
    if (!negotiation_.is_done()) return {};
    plain = plain.subspan(*used);
    start_session();
  }
  return session_->receive(plain, events_);
}

void Link::start_session() {
  session_.emplace(config_.role, config_.yamux);
  events_.on_ready();
}

}  // namespace corelay::libp2p
