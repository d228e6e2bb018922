#include "control/gateway/bus.h"

#include <nats/nats.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <boost/asio/post.hpp>

#include "control/gateway/text.h"

namespace corelay::gateway {
namespace {

constexpr std::size_t records_max = 4096;    // of one message
constexpr int pending_bytes_max = 64 << 20;  // while the bus is away

/// A part of a subject must have no dots, spaces or wildcards.
std::string subject_part(const std::string& text) { return text.empty() ? "default" : sha256_hex(text).substr(0, 16); }

}  // namespace

struct Bus::State : std::enable_shared_from_this<Bus::State> {
  State(boost::asio::io_context& i, std::string e, BusEvents v) : io(i), epoch(std::move(e)), events(std::move(v)) {}

  static void on_subscription(natsConnection*, natsSubscription*, natsMsg* message, void* closure);
  static void on_delivered(natsConnection*, natsSubscription*, natsMsg* message, void* closure);
  static void on_hello(natsConnection*, natsSubscription*, natsMsg* message, void* closure);
  static void on_connected(natsConnection*, void* closure);
  static void on_lost(natsConnection*, void* closure);
  void publish(const char* kind, const std::string& text);
  void greet();

  boost::asio::io_context& io;
  const std::string epoch;
  const BusEvents events;
  std::string prefix;
  natsOptions* options = nullptr;
  natsConnection* connection = nullptr;
  std::vector<natsSubscription*> subscriptions;
  std::atomic<bool> is_connected{false};
  std::atomic<bool> is_closed{false};
};

namespace {

std::string text_of(natsMsg* message) {
  std::string text(natsMsg_GetData(message), static_cast<std::size_t>(natsMsg_GetDataLength(message)));
  natsMsg_Destroy(message);
  return text;
}

}  // namespace

void Bus::State::on_subscription(natsConnection*, natsSubscription*, natsMsg* message, void* closure) {
  auto& state = *static_cast<State*>(closure);
  std::string epoch;
  BusSubscription subscription;
  if (!parse_subscription(text_of(message), epoch, subscription) || epoch == state.epoch) return;
  if (!state.is_closed)
    boost::asio::post(state.io,
                      [self = state.shared_from_this(), subscription] { self->events.subscription(subscription); });
}

void Bus::State::on_delivered(natsConnection*, natsSubscription*, natsMsg* message, void* closure) {
  auto& state = *static_cast<State*>(closure);
  std::string epoch;
  std::vector<DeliveryRecord> records;
  if (!parse_records(text_of(message), epoch, records) || epoch == state.epoch) return;
  if (!state.is_closed)
    boost::asio::post(state.io, [self = state.shared_from_this(), epoch, records = std::move(records)] {
      self->events.delivered(epoch, records);
    });
}

void Bus::State::on_hello(natsConnection*, natsSubscription*, natsMsg* message, void* closure) {
  auto& state = *static_cast<State*>(closure);
  if (text_of(message) == state.epoch) return;
  if (!state.is_closed) boost::asio::post(state.io, [self = state.shared_from_this()] { self->events.newcomer(); });
}

void Bus::State::on_connected(natsConnection*, void* closure) {
  auto& state = *static_cast<State*>(closure);
  if (state.is_closed) return;
  state.is_connected = true;
  if (!state.is_closed)
    boost::asio::post(state.io, [self = state.shared_from_this()] {
      spdlog::info("bus: connected");
      self->greet();
    });
}

void Bus::State::on_lost(natsConnection*, void* closure) {
  auto& state = *static_cast<State*>(closure);
  if (state.is_closed) return;
  state.is_connected = false;
  if (!state.is_closed)
    boost::asio::post(state.io, [] { spdlog::warn("bus: lost; this gateway works on alone until it is back"); });
}

void Bus::State::greet() {
  publish("hello", epoch);
  events.newcomer();
}

void Bus::State::publish(const char* kind, const std::string& text) {
  if (connection == nullptr) return;
  const natsStatus status =
      natsConnection_Publish(connection, (prefix + kind).c_str(), text.data(), static_cast<int>(text.size()));
  if (status != NATS_OK) spdlog::debug("bus: {}", natsStatus_GetText(status));
}

Expected<std::unique_ptr<Bus>> Bus::start(boost::asio::io_context& io, const std::string& url,
                                          const std::string& cluster, const std::string& epoch, BusEvents events) {
  auto state = std::make_shared<State>(io, epoch, std::move(events));
  state->prefix = "corelay." + subject_part(cluster) + ".";
  const auto failed = [&](natsStatus status) {
    return fail(ErrorCode::invalid_argument, "bus.url", url + ": " + natsStatus_GetText(status));
  };
  natsStatus status = natsOptions_Create(&state->options);
  if (status == NATS_OK) status = natsOptions_SetURL(state->options, url.c_str());
  if (status == NATS_OK) status = natsOptions_SetName(state->options, "corelay-gateway");
  if (status == NATS_OK) status = natsOptions_SetMaxReconnect(state->options, -1);
  if (status == NATS_OK) status = natsOptions_SetReconnectWait(state->options, 250);
  if (status == NATS_OK) status = natsOptions_SetReconnectBufSize(state->options, pending_bytes_max);
  if (status == NATS_OK)
    status = natsOptions_SetRetryOnFailedConnect(state->options, true, State::on_connected, state.get());
  if (status == NATS_OK) status = natsOptions_SetReconnectedCB(state->options, State::on_connected, state.get());
  if (status == NATS_OK) status = natsOptions_SetDisconnectedCB(state->options, State::on_lost, state.get());
  if (status == NATS_OK) status = natsConnection_Connect(&state->connection, state->options);
  if (status != NATS_OK && status != NATS_NOT_YET_CONNECTED) return failed(status);
  state->is_connected = status == NATS_OK;
  const std::pair<const char*, decltype(&State::on_hello)> kinds[] = {
      {"sub", State::on_subscription}, {"log", State::on_delivered}, {"hello", State::on_hello}};
  for (const auto& [kind, take] : kinds) {
    natsSubscription* subscription = nullptr;
    status =
        natsConnection_Subscribe(&subscription, state->connection, (state->prefix + kind).c_str(), take, state.get());
    if (status != NATS_OK) return failed(status);
    state->subscriptions.push_back(subscription);
  }
  if (state->is_connected) {
    boost::asio::post(io, [state] { state->greet(); });
  } else {
    spdlog::warn("bus: {} does not answer yet; trying on", url);
  }
  return std::unique_ptr<Bus>(new Bus(std::move(state)));
}

Bus::Bus(std::shared_ptr<State> state) : state_(std::move(state)) {}

Bus::~Bus() {
  natsConnection_FlushTimeout(state_->connection, 200);
  state_->is_closed = true;
  natsConnection_Close(state_->connection);
  // libnats's threads may be on their way into a callback: what they are given stays.
  static auto& kept = *new std::vector<std::shared_ptr<State>>;  // past the end of main() too
  kept.push_back(std::move(state_));
}

void Bus::tell(const BusSubscription& subscription) {
  state_->publish("sub", format_subscription(state_->epoch, subscription));
}

void Bus::tell(const std::vector<DeliveryRecord>& records) {
  if (!state_->is_connected) return;
  for (std::size_t at = 0; at < records.size(); at += records_max) {
    const auto end = std::min(records.size(), at + records_max);
    state_->publish("log", format_records(state_->epoch, {records.begin() + static_cast<std::ptrdiff_t>(at),
                                                          records.begin() + static_cast<std::ptrdiff_t>(end)}));
  }
}

bool Bus::is_connected() const noexcept { return state_->is_connected; }

}  // namespace corelay::gateway
