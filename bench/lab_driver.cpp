// The load of the lab (bench/lab/nodes.py): one process that subscribes at every node's sidecar, publishes at any of
// them, and tells when each subscriber got the message. One clock, CLOCK_MONOTONIC of this machine, takes all times;
// an arrival is taken as soon as gRPC hands the response over, and content is compared only when the message is
// through, so that comparing delays nothing.
//
// Commands, one a line on stdin:         connect NODE ADDRESS | publish NODE BYTES TIMEOUT_MS NODE,NODE,...
// Answers, one JSON object a line:       {"event": "subscribed" | "published" | "result" | "error", ...}
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <vector>

#include "proto/sidecar.grpc.pb.h"
#include "proto/trace.pb.h"

namespace {

using Clock = std::chrono::steady_clock;
using nlohmann::json;
using Stream = grpc::ClientReaderWriter<proto::Request, proto::Response>;

constexpr int command_publish = 1;
constexpr int command_subscribe = 2;

double wall_clock_ms() {
  return std::chrono::duration<double, std::milli>(std::chrono::system_clock::now().time_since_epoch()).count();
}

double ms_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

void say(const json& event) {
  static std::mutex one_line;
  const std::lock_guard lock(one_line);
  std::cout << event.dump() << std::endl;
}

std::string base64_of(const std::string& bytes) {
  static constexpr char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    for (std::size_t j = 0; j < 3; ++j) {
      group = group << 8 | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0u);
    }
    for (std::size_t j = 0; j < 4; ++j) {
      text += i + j > bytes.size() ? '=' : alphabet[group >> (18 - 6 * j) & 63];
    }
  }
  return text;
}

constexpr auto settle_time = std::chrono::milliseconds(50);

struct Arrival {
  int node;
  int stream;  // the how-manieth of the node: a node that was started again may deliver again what it has forgotten
  Clock::time_point at;
  std::string document;
  double delivered_ms = 0;  // of a trace, whose document is the message's id: by the node's wall clock
};

bool is_trace(const Arrival& arrival) { return arrival.delivered_ms != 0; }

/// What the streams' threads have received and the main thread has not yet looked at.
class Inbox {
 public:
  void put(Arrival arrival) {
    const std::lock_guard lock(mutex_);
    arrivals_.push_back(std::move(arrival));
    changed_.notify_one();
  }

  /// All that is there, waiting until `deadline` for something. Empty at the deadline.
  std::vector<Arrival> take_until(Clock::time_point deadline) {
    std::unique_lock lock(mutex_);
    changed_.wait_until(lock, deadline, [this] { return !arrivals_.empty(); });
    return std::exchange(arrivals_, {});
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Arrival> arrivals_;
};

/// One node's sidecar: a stream that is subscribed, and opened again whenever it breaks.
class Sidecar {
 public:
  Sidecar(int node, const std::string& address, const std::string& topic, Inbox& inbox)
      : node_(node), topic_(topic), inbox_(inbox) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    arguments.SetMaxSendMessageSize(-1);
    // Large windows, as clients of large messages set them: the stream then never waits for an update.
    arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 32 << 20);
    arguments.SetInt(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, 1 << 20);
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 200);
    arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 200);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
    stub_ = proto::CommandStream::NewStub(
        grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments));
    reader_ = std::jthread([this](const std::stop_token& stop) { read_streams(stop); });
  }

  ~Sidecar() {
    reader_.request_stop();
    const std::lock_guard lock(mutex_);
    if (context_) context_->TryCancel();
  }

  Sidecar(const Sidecar&) = delete;
  Sidecar& operator=(const Sidecar&) = delete;

  bool publish(std::string payload) {
    proto::Request request;
    request.set_command(command_publish);
    request.set_topic(topic_);
    request.set_data(std::move(payload));
    const std::lock_guard lock(mutex_);
    return is_open_ && stream_->Write(request);
  }

 private:
  void read_streams(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      open();
      proto::Response response;
      while (stream_->Read(&response)) {
        const auto now = Clock::now();
        if (response.command() == proto::Message) {
          inbox_.put({node_, streams_, now, std::move(*response.mutable_data())});
        } else if (response.command() == proto::MessageTraceMumP2P) {
          take_trace(response.data(), now);
        }
      }
      {
        const std::lock_guard lock(mutex_);
        is_open_ = false;
      }
      static_cast<void>(stream_->Finish());
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
    }
  }

  void take_trace(const std::string& data, Clock::time_point now) {
    optimum::pb::TraceEvent event;
    if (!event.ParseFromString(data) || event.type() != optimum::pb::TraceEvent::DELIVER_MESSAGE) return;
    inbox_.put({node_, streams_, now, event.delivermessage().messageid(),
                static_cast<double>(event.timestamp()) * 1e-6});
  }

  void open() {
    ++streams_;
    {
      const std::lock_guard lock(mutex_);
      stream_.reset();
      context_ = std::make_unique<grpc::ClientContext>();
      context_->set_wait_for_ready(true);
    }
    stream_ =
        stub_->ListenCommands(context_.get());  // waits for the node; publish() does not look at it before is_open_
    proto::Request request;
    request.set_command(command_subscribe);
    request.set_topic(topic_);
    if (!stream_->Write(request)) return;
    const std::lock_guard lock(mutex_);
    is_open_ = true;
    say({{"event", "subscribed"}, {"node", node_}});
  }

  const int node_;
  const std::string topic_;
  Inbox& inbox_;
  std::unique_ptr<proto::CommandStream::Stub> stub_;
  int streams_ = 0;  // of reader_ alone
  std::mutex mutex_;  // guards what follows; only reader_ replaces the stream
  std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<Stream> stream_;
  bool is_open_ = false;
  std::jthread reader_;
};

class Driver {
 public:
  explicit Driver(std::string topic) : topic_(std::move(topic)), random_(std::random_device()()) {}

  /// Once for each node: a stream that breaks is opened again without being told.
  void connect(int node, const std::string& address) {
    if (sidecars_.contains(node)) return;
    sidecars_[node] = std::make_unique<Sidecar>(node, address, topic_, inbox_);
  }

  void publish(int publisher, std::size_t bytes, int timeout_ms, const std::set<int>& expected) {
    const std::string payload = random_payload(bytes);
    wall_start_ms_ = wall_clock_ms();
    const auto start = Clock::now();
    if (!sidecars_.at(publisher)->publish(payload)) {
      say({{"event", "error"}, {"what", "the publisher's sidecar took no message"}});
      return;
    }
    say({{"event", "published"}, {"publisher", publisher}, {"write_ms", ms_between(start, Clock::now())}});
    wait_for(payload, publisher, start, timeout_ms, expected);
  }

 private:
  std::string random_payload(std::size_t bytes) {
    std::string payload(bytes, '\0');
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < bytes; ++i) {
      if (i % 8 == 0) value = random_();
      payload[i] = static_cast<char>(value >> 8 * (i % 8) & 0xff);
    }
    return payload;
  }

  /// The payload's start as the documents hold it: tells messages apart without parsing megabytes.
  static std::string mark_of(const std::string& payload) {
    return base64_of(payload.substr(0, payload.size() < 24 ? payload.size() : 24));
  }

  void wait_for(const std::string& payload, int publisher, Clock::time_point start, int timeout_ms,
                std::set<int> missing) {
    const auto deadline = start + std::chrono::milliseconds(timeout_ms);
    const std::string mark = mark_of(payload);
    std::vector<Arrival> received;
    while (!missing.empty() && Clock::now() < deadline) {
      for (auto& arrival : inbox_.take_until(deadline)) {
        if (!is_trace(arrival) && arrival.document.find(mark) != std::string::npos) missing.erase(arrival.node);
        received.push_back(std::move(arrival));
      }
    }
    // A second copy would come now, and the last traces, each behind its message.
    const auto end = Clock::now() + settle_time;
    for (auto until = end; Clock::now() < until;) {
      for (auto& arrival : inbox_.take_until(until)) received.push_back(std::move(arrival));
      const auto traces = std::count_if(received.begin(), received.end(), is_trace);
      const bool is_late = traces != 0 && 2 * static_cast<std::size_t>(traces) < received.size();
      until = is_late ? end + settle_time * 10 : end;
    }
    marks_.insert(mark);
    tell_result(payload, publisher, start, received);
  }

  /// The text behind `key` of a document, without copying or parsing the megabytes around it.
  static std::string_view text_of(std::string_view document, std::string_view key) {
    const std::size_t found = document.find(key);
    if (found == std::string_view::npos) return "\"";  // equal to no base64 text
    document.remove_prefix(found + key.size());
    return document.substr(0, document.find('"'));
  }
  static std::string_view content_of(std::string_view document) { return text_of(document, "\"message\":\""); }
  static std::string id_of(std::string_view document) { return std::string(text_of(document, "\"message_id\":\"")); }

  void tell_result(const std::string& payload, int publisher, Clock::time_point start,
                   const std::vector<Arrival>& received) {
    const std::string message = base64_of(payload);
    json arrivals = json::object();
    std::map<std::pair<int, std::string>, double> traces;  // by node and message id
    int duplicates = 0;
    int corrupt = 0;
    for (const Arrival& arrival : received) {
      if (is_trace(arrival)) traces[{arrival.node, arrival.document}] = arrival.delivered_ms - wall_start_ms_;
    }
    json delivered = json::object();
    for (const Arrival& arrival : received) {
      if (is_trace(arrival)) continue;
      const std::string_view content = content_of(arrival.document);
      const std::string mark(content.substr(0, 32));
      const bool is_right = content == message;
      if (!is_right && (mark == message.substr(0, 32) || !marks_.contains(mark))) {
        ++corrupt;  // wrong bytes, or what was never sent here
        continue;
      }
      if (!delivered_.emplace(arrival.node, arrival.stream, mark).second) {
        ++duplicates;
      } else if (is_right && arrival.node != publisher) {
        arrivals[std::to_string(arrival.node)] = ms_between(start, arrival.at);
        const auto trace = traces.find({arrival.node, id_of(arrival.document)});
        if (trace != traces.end()) delivered[std::to_string(arrival.node)] = trace->second;
      }
    }
    say({{"event", "result"}, {"publisher", publisher}, {"bytes", payload.size()}, {"arrivals", arrivals},
         {"delivered", delivered}, {"duplicates", duplicates}, {"corrupt", corrupt}});
  }

  const std::string topic_;
  double wall_start_ms_ = 0;  // of the message under way
  std::mt19937_64 random_;
  Inbox inbox_;
  std::map<int, std::unique_ptr<Sidecar>> sidecars_;
  std::set<std::string> marks_;                            // of every message published here
  std::set<std::tuple<int, int, std::string>> delivered_;  // node, stream, mark
};

std::set<int> numbers(const std::string& list) {
  std::set<int> found;
  std::stringstream words(list);
  for (std::string word; std::getline(words, word, ',');) found.insert(std::stoi(word));
  return found;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: lab_driver TOPIC (tools/bench lab-loss starts it)\n");
    return 2;
  }
  Driver driver(argv[1]);
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string command;
    words >> command;
    if (int node = 0; command == "connect") {
      std::string address;
      words >> node >> address;
      driver.connect(node, address);
    } else if (command == "publish") {
      std::size_t bytes = 0;
      int timeout_ms = 0;
      std::string expected;
      words >> node >> bytes >> timeout_ms >> expected;
      driver.publish(node, bytes, timeout_ms, numbers(expected));
    } else {
      say({{"event", "error"}, {"what", "no such command: " + line}});
    }
  }
  return 0;
}
