// Dialling: a name or an address, one TCP connection, then the link; all within dial_timeout.
#include <boost/asio/connect.hpp>
#include <utility>

#include "control/libp2p/swarm.h"

namespace corelay::libp2p {
namespace {

using boost::system::error_code;

Error connect_error(const Multiaddr& address, const error_code& error) {
  return {ErrorCode::unavailable, "dial " + address.text(), "cannot connect: " + error.message(),
          0};
}

}  // namespace

Expected<void> Swarm::check_dial(const Multiaddr& address) const {
  const std::string where = "dial " + address.text();
  if (address.host().empty() || !address.tcp_port()) {
    return fail(ErrorCode::invalid_argument, where, "expected /ip4, /ip6 or /dns, then /tcp/PORT");
  }
  const auto peer = address.peer_id();
  if (peer && *peer == identity_.peer_id())
    return fail(ErrorCode::invalid_argument, where, "this is ourselves");
  if (connections_.size() + dials_.size() >= config_.connections_max) {
    return fail(ErrorCode::unavailable, where,
                "connections_max (" + std::to_string(config_.connections_max) + ") reached");
  }
  return {};
}

void Swarm::dial(const Multiaddr& address, Dialed done) {
  if (loop_->is_stopped) return;
  const auto peer = address.peer_id();
  if (peer && peers_.contains(*peer)) {
    return post(loop_, [done = std::move(done), id = *peer] { done(id); });
  }
  if (const auto at = dials_.find(address.text()); at != dials_.end()) {
    at->second->waiting.push_back(std::move(done));
    return;
  }
  if (const auto checked = check_dial(address); !checked) {
    return post(loop_, [done = std::move(done), error = checked.error()] {
      done(tl::make_unexpected(error));
    });
  }
  const auto dial = std::make_shared<Dial>(loop_->io);
  dial->address = address;
  dial->waiting.push_back(std::move(done));
  dials_.emplace(address.text(), dial);
  dial->deadline.expires_after(config_.dial_timeout);
  dial->deadline.async_wait([weak = weak_from_this(), dial](const error_code& error) {
    const auto self = weak.lock();
    // Once TCP is up the connection keeps the same limit itself; this one then only covers what is
    // left.
    if (error || !self || dial->waiting.empty()) return;
    self->finish_dial(
        dial, fail(ErrorCode::timed_out, "dial " + dial->address.text(), "no answer in time"));
  });
  resolve(dial);
}

void Swarm::resolve(const std::shared_ptr<Dial>& dial) {
  error_code error;
  const auto ip = boost::asio::ip::make_address(dial->address.host(), error);
  const std::uint16_t port = *dial->address.tcp_port();
  if (!error) return connect(dial, {Tcp::endpoint(ip, port)});
  dial->resolver.async_resolve(
      dial->address.host(), std::to_string(port), Tcp::resolver::numeric_service,
      [weak = weak_from_this(), dial](const error_code& failed,
                                      const Tcp::resolver::results_type& results) {
        const auto self = weak.lock();
        if (!self || self->loop_->is_stopped || dial->waiting.empty()) return;
        const std::string& text = dial->address.text();
        std::vector<Tcp::endpoint> endpoints;
        for (const auto& result : results) {
          const bool is_v4 = result.endpoint().address().is_v4();
          if (text.starts_with("/dns/") || text.starts_with(is_v4 ? "/dns4/" : "/dns6/")) {
            endpoints.push_back(result.endpoint());
          }
        }
        if (!failed && !endpoints.empty()) return self->connect(dial, std::move(endpoints));
        self->finish_dial(
            dial, fail(ErrorCode::unavailable, "dial " + text,
                       "cannot resolve " + dial->address.host() +
                           (failed ? ": " + failed.message() : ": no address of that family")));
      });
}

void Swarm::connect(const std::shared_ptr<Dial>& dial, std::vector<Tcp::endpoint> endpoints) {
  const auto targets = std::make_shared<std::vector<Tcp::endpoint>>(std::move(endpoints));
  boost::asio::async_connect(
      dial->socket, *targets,
      [weak = weak_from_this(), dial, targets](const error_code& error, const Tcp::endpoint& reached) {
        const auto self = weak.lock();
        if (!self || self->loop_->is_stopped || dial->waiting.empty()) return;
        if (error)
          return self->finish_dial(dial, tl::make_unexpected(connect_error(dial->address, error)));
        dial->connection =
            self->add_connection(std::move(dial->socket), Role::dialer,
                                 multiaddr_of(reached), dial->address.peer_id())
                .get();
      });
}

void Swarm::finish_dial(const std::shared_ptr<Dial>& dial, const Expected<PeerId>& outcome) {
  dials_.erase(dial->address.text());
  dial->deadline.cancel();
  dial->resolver.cancel();
  error_code ignored;
  dial->socket.close(ignored);
  const auto waiting = std::exchange(dial->waiting, {});
  const Connection* connection = std::exchange(dial->connection, nullptr);
  if (!outcome && connection != nullptr) {
    const auto at = connections_.find(connection);
    if (at != connections_.end()) std::shared_ptr<Connection>(at->second)->close(outcome.error());
  }
  for (const Dialed& done : waiting) {
    post(loop_, [done, outcome] { done(outcome); });
  }
}

}  // namespace corelay::libp2p
