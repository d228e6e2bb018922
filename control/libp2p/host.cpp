#include "control/libp2p/host.h"

#include <utility>

#include "control/libp2p/swarm.h"

namespace corelay::libp2p {

Host::Host(boost::asio::io_context& io, Identity identity, HostConfig config)
    : swarm_(std::make_shared<Swarm>(io, std::move(identity), std::move(config))) {
  swarm_->start();
}

Host::~Host() { stop(); }

Expected<Multiaddr> Host::listen(const Multiaddr& address) { return swarm_->listen(address); }

void Host::dial(const Multiaddr& address, std::function<void(Expected<PeerId>)> done) {
  swarm_->dial(address, std::move(done));
}

void Host::disconnect(const PeerId& peer) { swarm_->disconnect(peer); }

void Host::open_stream(const PeerId& peer, std::string_view protocol,
                       std::function<void(Expected<StreamPtr>)> done) {
  swarm_->open_stream(peer, std::string(protocol), std::move(done));
}

void Host::handle(std::string protocol, std::function<void(StreamPtr)> accept) {
  swarm_->handle(std::move(protocol), std::move(accept));
}

void Host::on_connected(std::function<void(const ConnectionInfo&)> call) {
  swarm_->on_connected_call = std::move(call);
}

void Host::on_disconnected(std::function<void(const PeerId&)> call) {
  swarm_->on_disconnected_call = std::move(call);
}

void Host::on_identified(std::function<void(const PeerId&, const PeerIdentity&)> call) {
  swarm_->on_identified_call = std::move(call);
}

void Host::ping(const PeerId& peer, std::function<void(Expected<std::chrono::microseconds>)> done) {
  swarm_->ping(peer, std::move(done));
}

void Host::set_announced(std::vector<Multiaddr> addresses) {
  swarm_->set_announced(std::move(addresses));
}

const PeerId& Host::peer_id() const noexcept { return swarm_->identity().peer_id(); }

const Identity& Host::identity() const noexcept { return swarm_->identity(); }

std::vector<ConnectionInfo> Host::connections() const { return swarm_->connections(); }

std::vector<Multiaddr> Host::listen_addresses() const { return swarm_->listen_addresses(); }

void Host::stop() { swarm_->stop(); }

}  // namespace corelay::libp2p
