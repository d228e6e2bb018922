#include "tools/corelay/demo.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <thread>

#include "tools/corelay/digest.h"
#include "tools/corelay/read_file.h"
#include "tools/corelay/sidecar_client.h"

namespace corelay::tools {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr const char* demo_topic = "demo";
constexpr std::size_t demo_bytes = 4u << 20;

struct Subscriber {
  std::uint32_t node = 0;
  std::unique_ptr<SidecarClient> client;
  bool has_arrived = false;
};

/// Opens the stream of a node, subscribes and waits until the node lists the topic.
Expected<Subscriber> subscribe_node(const FleetNode& node) {
  auto client = SidecarClient::open(node.sidecar(), milliseconds(10000));
  if (!client) return tl::make_unexpected(client.error());
  if (!(*client)->subscribe(demo_topic))
    return fail(ErrorCode::closed, node.sidecar(), "ended the stream");
  const auto deadline = Clock::now() + milliseconds(3000);
  while (Clock::now() < deadline) {
    const auto topics = (*client)->topics(milliseconds(1000));
    if (!topics) return tl::make_unexpected(topics.error());
    if (std::find(topics->begin(), topics->end(), demo_topic) != topics->end()) break;
    std::this_thread::sleep_for(milliseconds(2));
  }
  return Subscriber{node.number, std::move(*client), false};
}

/// Fails where the publisher's node says no, or ends the stream.
Expected<void> check_publisher(SidecarClient& publisher) {
  const auto event = publisher.next(milliseconds(0));
  if (!event) return {};
  if (const auto* ended = std::get_if<SidecarEnded>(&*event))
    return tl::make_unexpected(ended->error);
  const auto* trace = std::get_if<Trace>(&*event);
  if (trace != nullptr && trace->kind == TraceKind::rejected) {
    return fail(ErrorCode::unavailable, "publish",
                "the node refused the message: " + trace->reason);
  }
  return {};
}

Expected<void> take_arrivals(std::vector<Subscriber>& subscribers, Clock::time_point sent_at,
                             DemoResult& result) {
  for (Subscriber& subscriber : subscribers) {
    if (subscriber.has_arrived) continue;
    const auto event = subscriber.client->next(milliseconds(1));
    if (!event) continue;
    if (const auto* ended = std::get_if<SidecarEnded>(&*event))
      return tl::make_unexpected(ended->error);
    const auto* arrival = std::get_if<SidecarArrival>(&*event);
    if (arrival == nullptr) continue;
    const auto message = parse_message(arrival->json);
    if (!message) return tl::make_unexpected(message.error());
    subscriber.has_arrived = true;
    result.arrivals.push_back({subscriber.node, arrival->at - sent_at, message->payload.size(),
                               sha256_hex(message->payload) == result.sha256});
  }
  return {};
}

}  // namespace

Expected<std::string> demo_file(const Fleet& fleet, const std::string& file) {
  if (!file.empty()) return file;
  const std::string path = fleet.directory() / "demo.bin";
  std::string bytes(demo_bytes, '\0');
  for (std::size_t at = 0; at < bytes.size();) {
    const ssize_t taken = getrandom(bytes.data() + at, bytes.size() - at, 0);
    if (taken > 0) at += static_cast<std::size_t>(taken);
  }
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  out.close();
  if (!out) return fail(ErrorCode::permission_denied, path, "cannot be written", errno);
  return path;
}

Expected<DemoResult> run_demo(const Fleet& fleet, const std::string& file, milliseconds timeout) {
  const auto read = read_file(file);
  if (!read) return tl::make_unexpected(read.error());
  const std::string& payload = *read;
  const auto& nodes = fleet.nodes();
  const FleetNode& source = nodes.size() > 1 ? nodes[1] : nodes[0];
  DemoResult result{demo_topic, file, payload.size(), sha256_hex(payload), source.number, {}};

  std::vector<Subscriber> subscribers;
  for (const FleetNode& node : nodes) {
    if (node.number == source.number && nodes.size() > 1) continue;
    auto subscriber = subscribe_node(node);
    if (!subscriber) return tl::make_unexpected(subscriber.error());
    subscribers.push_back(std::move(*subscriber));
  }
  auto publisher = SidecarClient::open(source.sidecar(), milliseconds(10000));
  if (!publisher) return tl::make_unexpected(publisher.error());

  const auto sent_at = Clock::now();
  if (!(*publisher)->publish(demo_topic, payload))
    return fail(ErrorCode::closed, source.sidecar(), "ended the stream");
  while (result.arrivals.size() < subscribers.size()) {
    if (const auto said = check_publisher(**publisher); !said)
      return tl::make_unexpected(said.error());
    if (const auto taken = take_arrivals(subscribers, sent_at, result); !taken)
      return tl::make_unexpected(taken.error());
    const bool is_over = result.arrivals.size() == subscribers.size();
    if (!is_over && Clock::now() - sent_at > timeout) {
      std::string waiting;
      for (const Subscriber& subscriber : subscribers) {
        if (!subscriber.has_arrived)
          waiting += (waiting.empty() ? "" : ", ") + std::to_string(subscriber.node);
      }
      return fail(ErrorCode::timed_out, "demo",
                  fmt::format("the file did not arrive at node {} within {} s", waiting,
                              timeout.count() / 1000));
    }
  }
  std::sort(result.arrivals.begin(), result.arrivals.end(),
            [](const auto& a, const auto& b) { return a.after < b.after; });
  return result;
}

}  // namespace corelay::tools
