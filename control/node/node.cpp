#include "control/node/node.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <boost/asio/ip/udp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>

#include "control/node/addresses.h"
#include "control/node/api.h"
#include "control/node/sidecar.h"
#include "control/node/topic_hash.h"
#include "control/daemon/version.h"

namespace corelay::node {
namespace {

constexpr std::size_t events_per_poll = 256;
constexpr std::chrono::milliseconds drain_step{10};
constexpr std::chrono::milliseconds goodbye_time{100};  // for the last words to leave the sockets

libp2p::HostConfig host_config(const NodeConfig& config) {
  libp2p::HostConfig host;
  host.agent_version = fmt::format("corelay/{}", daemon::version().substr(1));
  host.dial_timeout = std::chrono::milliseconds(config.p2p.dial_timeout_ms);
  host.keepalive_interval = std::chrono::milliseconds(config.p2p.keepalive_ms);
  host.connections_max = config.p2p.connections_max;
  host.connections_per_address_max = config.p2p.connections_per_address_max;
  return host;
}

std::string in_use_remedy(const Error& error, std::string_view setting) {
  return fmt::format("{}. Is another process using the port? Set {} to a free one", error.describe(), setting);
}

/// A UDP port that a process killed just now may still hold: the data plane waits for it, and says nothing.
bool is_udp_port_taken(boost::asio::io_context& io, const std::string& text, std::uint16_t port) {
  boost::system::error_code error;
  const auto address = boost::asio::ip::make_address(text, error);
  if (error || port == 0) return false;
  const boost::asio::ip::udp::endpoint endpoint(address, port);
  boost::asio::ip::udp::socket probe(io);
  probe.open(endpoint.protocol(), error);
  if (!error && address.is_v6()) probe.set_option(boost::asio::ip::v6_only(false), error);
  if (!error) probe.bind(endpoint, error);
  return error == boost::asio::error::address_in_use;
}

}  // namespace

Expected<std::vector<libp2p::Multiaddr>> bootstrap_addresses(const NodeConfig& config) {
  std::vector<libp2p::Multiaddr> all;
  for (const auto& text : config.node.bootstrap_peers) {
    const auto address = libp2p::Multiaddr::parse(text);
    if (!address || !address->tcp_port()) {
      return fail(ErrorCode::invalid_argument, "config",
                  fmt::format("node.bootstrap_peers: {}: {}", text,
                              address ? "needs a TCP port, as /ip4/A/tcp/P/p2p/ID" : address.error().what));
    }
    all.push_back(*address);
  }
  return all;
}

Expected<std::unique_ptr<Node>> Node::start(boost::asio::io_context& io, LoadedConfig config,
                                            const libp2p::Identity& identity) {
  std::unique_ptr<Node> node(new Node(io, std::move(config), identity));
  if (auto opened = node->open(identity); !opened) return tl::make_unexpected(opened.error());
  return node;
}

Node::Node(boost::asio::io_context& io, LoadedConfig config, const libp2p::Identity& identity)
    : io_(io),
      loaded_(std::move(config)),
      tracer_(identity.peer_id()),
      stats_(loaded_.config.node.identity_dir),
      pool_(loaded_.config.publish.threads),
      host_(io, identity, host_config(loaded_.config)),
      drain_timer_(io) {}

Node::~Node() {
  drain_timer_.cancel();
  if (publisher_) publisher_->abandon();
  if (sidecar_) sidecar_->stop();
  api_.reset();
  pool_.stop();
  pool_.join();
  spdlog::debug("leaving: the threads that hash and sign have ended");
  if (peers_) peers_->stop();
  host_.stop();
  spdlog::debug("leaving: connections are closed");
  dataplane_.reset();  // reads messages of publisher_ until here
}

/// The whole node, in the order it comes up.
Expected<void> Node::open(const libp2p::Identity& identity) {
  const NodeConfig& settings = config();
  const auto bootstrap = bootstrap_addresses(settings);
  if (!bootstrap) return tl::make_unexpected(bootstrap.error());
  if (auto opened = open_transport(); !opened) return opened;

  SessionTerms terms;
  terms.wire = relay_params(settings).wire;
  terms.cluster_id = settings.node.cluster_id;
  terms.udp_port = dataplane_->lcores().front().port;
  terms.path_mtu_bytes = settings.relay.path_mtu_bytes;
  terms.timeout = std::chrono::milliseconds(settings.session.timeout_ms);

  commands_ = std::make_unique<CommandQueue>(io_, *dataplane_);
  publisher_ = std::make_unique<Publisher>(
      io_, pool_, *commands_, identity, settings,
      Publisher::Events{[this](const auto& message) { return on_entering(message); },
                        [this](const auto& message, const auto& origin) { on_published(message, origin); }});
  deliveries_ = std::make_unique<Deliveries>(
      io_, pool_, *commands_, tracer_, identity.peer_id(),
      RecentTags(settings.relay.seen_max, dataplane::seconds(settings.relay.seen_s)),
      OwnBounds{settings.publish.in_flight_max, settings.publish.in_flight_bytes_max}, settings.sidecar.traces);
  peers_ = std::make_unique<Peers>(io_, host_, *commands_, settings, terms, addresses_,
                                   [this](const mesh::Traced& traced) { on_traced(traced); });

  auto sidecar = Sidecar::start(*this);
  if (!sidecar) return tl::make_unexpected(sidecar.error());
  sidecar_ = std::move(*sidecar);
  auto api = Api::start(*this);
  if (!api) return tl::make_unexpected(api.error());
  api_ = std::move(*api);
  peers_->start(*bootstrap);
  poll_soon();
  return {};
}

/// UDP first: the lanes' ports are what sessions announce, and TCP takes the number they have.
Expected<void> Node::open_transport() {
  const NodeConfig& settings = config();
  if (is_udp_port_taken(io_, settings.p2p.address, settings.p2p.port)) {
    spdlog::warn("UDP {} port {} is taken: waiting up to {:.1f} s for it, in case a node that was killed held it",
                 settings.p2p.address, settings.p2p.port, dataplane::bind_wait_ms_max / 1e3);
  }
  auto started = dataplane::Dataplane::start(dataplane_config(settings), [this] { poll_soon(); });
  if (!started) {
    Error error = started.error();
    error.what = fmt::format("UDP {} port {}: {}", settings.p2p.address, settings.p2p.port,
                             in_use_remedy(error, "p2p.port (OPTIMUM_PORT)"));
    error.where.clear();
    error.system_errno = 0;
    return tl::make_unexpected(error);
  }
  dataplane_ = std::move(*started);
  auto wanted = libp2p::Multiaddr::tcp(settings.p2p.address, settings.p2p.port);
  if (!wanted) {
    return fail(ErrorCode::invalid_argument, "config",
                "p2p.address = " + settings.p2p.address + ": must be an IP address");
  }
  auto bound = host_.listen(*wanted);
  if (!bound) {
    return fail(ErrorCode::unavailable, "",
                fmt::format("TCP {} port {}: {}", settings.p2p.address, settings.p2p.port,
                            in_use_remedy(bound.error(), "p2p.port (OPTIMUM_PORT)")));
  }
  std::vector<libp2p::Multiaddr> announced;
  for (const auto& text : settings.p2p.announce) {
    const auto address = libp2p::Multiaddr::parse(text);
    if (!address) {
      return fail(ErrorCode::invalid_argument, "config", "p2p.announce: " + text + ": " + address.error().what);
    }
    announced.push_back(address->without_peer());
  }
  if (announced.empty()) announced = reachable_addresses(*bound);
  host_.set_announced(announced);
  for (const auto& address : announced) addresses_.push_back(address.text());
  return {};
}

/// From any thread: has the control thread look at the data plane's events.
void Node::poll_soon() {
  if (is_poll_posted_.exchange(true)) return;
  boost::asio::post(io_, [this] {
    is_poll_posted_.store(false);
    poll();
  });
}

void Node::poll() {
  const std::size_t taken =
      dataplane_->poll_events(events_per_poll, [this](std::size_t, const dataplane::Event& event) { on_event(event); });
  commands_->flush();
  if (taken == events_per_poll) poll_soon();
}

void Node::on_event(const dataplane::Event& event) {
  if (const auto* delivered = std::get_if<dataplane::Delivered>(&event)) {
    const libp2p::PeerId* const upstream = peers_->peer_at(delivered->from);
    deliveries_->take(*delivered, subscribers_.of(std::string(delivered->message.header->topic())),
                      upstream == nullptr ? libp2p::PeerId{} : *upstream, monotonic_now());
  } else if (const auto* published = std::get_if<dataplane::Published>(&event)) {
    publisher_->on_published(published->message);
  } else if (const auto* failed = std::get_if<dataplane::PublishFailed>(&event)) {
    publisher_->on_failed(failed->message, failed->reason);
  } else if (const auto* gone = std::get_if<dataplane::PeerGone>(&event)) {
    peers_->on_peer_gone(gone->peer);
  } else if (const auto* fault = std::get_if<dataplane::PeerFaulted>(&event)) {
    peers_->on_faulted(*fault);
  } else if (const auto* shard = std::get_if<dataplane::ShardTraced>(&event)) {
    on_shard_traced(*shard);
  }
}

/// A message of ours is about to enter the data plane: it needs a route, and local clients get it now.
Expected<bool> Node::on_entering(const std::shared_ptr<const dataplane::PreparedMessage>& message) {
  const std::string topic(message->header.topic());
  const SubscriberList clients = subscribers_.of(topic);
  if (!clients && !keep_route(topic)) {
    return fail(ErrorCode::unavailable, "publish",
                fmt::format("no route: the node has relay.topics_max = {} topics in use", config().relay.topics_max));
  }
  if (auto taken = deliveries_->take_own(message, clients, monotonic_now()); !taken) {
    return tl::make_unexpected(taken.error());
  }
  return clients != nullptr;
}

/// A route is kept for a minute: asking once a second is enough, however many messages pass.
bool Node::keep_route(const std::string& topic) {
  const auto now = monotonic_now();
  const auto at = routes_kept_.find(topic);
  if (at != routes_kept_.end() && now - at->second < dataplane::seconds(1)) return true;
  if (!peers_->want_route(topic)) return false;
  if (routes_kept_.size() >= config().relay.topics_max) routes_kept_.clear();
  routes_kept_[topic] = now;
  return true;
}

void Node::on_published(const dataplane::PreparedMessage& message, const SubscriberPtr& origin) {
  if (!config().sidecar.traces) return;
  const SubscriberList clients = subscribers_.of(std::string(message.header.topic()));
  if (clients) trace_to(clients, tracer_.published(message.header.id, message.header.topic()), origin);
}

void Node::trace_to(const SubscriberList& clients, const SharedResponse& trace, const SubscriberPtr& but) {
  for (const auto& client : *clients) {
    if (client != but) client->on_trace(trace);
  }
}

/// A topic's events go to its clients, a peer's to every client.
void Node::on_traced(const mesh::Traced& traced) {
  if (!config().sidecar.traces || subscribers_.is_empty()) return;
  if (!traced.topic.empty()) {
    if (const auto clients = subscribers_.of(traced.topic)) trace_to(clients, tracer_.mesh(traced), nullptr);
    return;
  }
  const SharedResponse trace = tracer_.mesh(traced);
  for (const auto& client : subscribers_.all()) client->on_trace(trace);
}

void Node::on_shard_traced(const dataplane::ShardTraced& shard) {
  const auto name = topic_names_.find(shard.topic);
  const libp2p::PeerId* const from = peers_->peer_at(shard.from);
  if (name == topic_names_.end() || from == nullptr) return;
  if (const auto clients = subscribers_.of(name->second)) {
    trace_to(clients, tracer_.shard(shard, name->second, *from), nullptr);
  }
}

void Node::set_shard_tracing() {
  const bool wanted = config().sidecar.traces && config().sidecar.shard_traces && !subscribers_.is_empty();
  if (wanted == is_tracing_shards_) return;
  is_tracing_shards_ = wanted;
  commands_->all(dataplane::SetTrace{wanted});
}

void Node::subscribe(const SubscriberPtr& client, std::vector<std::string> topics) {
  boost::asio::post(io_, [this, client, topics = std::move(topics)] {
    for (const auto& topic : topics) {
      if (!subscribers_.add(topic, client)) {
        // The node is in the topic already, so the mesh says nothing; the client is told all the same.
        if (config().sidecar.traces) client->on_trace(tracer_.mesh({mesh::MeshTrace::join, {}, topic}));
        continue;
      }
      topic_names_[topic_hash(topic)] = topic;
      if (!peers_->subscribe(topic)) {
        const std::string why = fmt::format("the node has relay.topics_max = {} topics in use; topic \"{}\" cannot be "
                                            "joined", config().relay.topics_max, topic);
        if (repeats_.due("subscribe", monotonic_now())) spdlog::warn("subscribe: {}", why);
        subscribers_.remove(topic, client);
        topic_names_.erase(topic_hash(topic));
        client->on_refused(topic, tracer_.rejected({}, topic, why));
      }
    }
    set_shard_tracing();
  });
}

void Node::unsubscribe(const SubscriberPtr& client, std::string topic) {
  boost::asio::post(io_, [this, client, topic = std::move(topic)] {
    if (!subscribers_.remove(topic, client)) return;
    topic_names_.erase(topic_hash(topic));
    peers_->unsubscribe(topic);
    // The last client is out of the topic when the mesh leaves it, and is told all the same.
    if (config().sidecar.traces) client->on_trace(tracer_.mesh({mesh::MeshTrace::leave, {}, topic}));
    set_shard_tracing();
  });
}

void Node::remove(const SubscriberPtr& client) {
  boost::asio::post(io_, [this, client] {
    for (const auto& topic : subscribers_.remove_everywhere(client)) {
      topic_names_.erase(topic_hash(topic));
      peers_->unsubscribe(topic);
    }
    set_shard_tracing();
  });
}

void Node::drain(std::function<void()> done) {
  if (is_draining_) return;
  is_draining_ = true;
  sidecar_->set_serving(false);
  publisher_->close();
  drain_until_ = std::chrono::steady_clock::now() + std::chrono::milliseconds(config().node.drain_ms);
  spdlog::info("leaving: {} publishes are under way", publisher_->in_flight());
  wait_drained(std::move(done));
}

void Node::wait_drained(std::function<void()> done) {
  if (publisher_->in_flight() != 0 && std::chrono::steady_clock::now() < drain_until_) {
    drain_timer_.expires_after(drain_step);
    drain_timer_.async_wait([this, done = std::move(done)](const boost::system::error_code& error) mutable {
      if (!error) wait_drained(std::move(done));
    });
    return;
  }
  if (const std::size_t unfinished = publisher_->in_flight(); unfinished != 0) {
    spdlog::warn("leaving: {} publishes were not taken by any peer within node.drain_ms = {}; they are refused",
                 unfinished, config().node.drain_ms);
  }
  publisher_->abandon();
  peers_->stop();
  spdlog::debug("leaving: said goodbye to peers");
  sidecar_->stop();
  spdlog::debug("leaving: said goodbye to clients");
  drain_timer_.expires_after(goodbye_time);
  drain_timer_.async_wait([done = std::move(done)](const boost::system::error_code& error) {
    if (!error) done();
  });
}

std::uint16_t Node::api_port() const noexcept { return api_->port(); }
std::uint16_t Node::sidecar_port() const noexcept { return sidecar_->port(); }

}  // namespace corelay::node
