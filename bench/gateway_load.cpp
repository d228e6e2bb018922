// The load of tools/bench gateway: one thread with epoll that is every client of a gateway, or of nats-server, at once.
//   fanout   one connection publishes, the others are subscribers, and each must get every message, in order, once
//   publish  every connection publishes and keeps so many unanswered
// Publishing is a closed loop: at most --window messages are under way, counted by the slowest subscriber, so that no
// server drops or queues without end. With --rate messages are published by the clock instead. Writes one JSON object.
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <deque>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <random>
#include <stdexcept>
#include <system_error>
#include <vector>

#include "bench/gateway_wire.h"

namespace corelay::bench {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::duration;

constexpr std::size_t read_bytes = 1u << 18;
constexpr std::size_t number_bytes = 8;  // of a payload's start: which message it is
constexpr std::size_t ring_slots = 1u << 16;
constexpr auto patience = std::chrono::seconds(30);

struct Options {
  std::string mode;
  std::string protocol = "ws";
  std::uint16_t port = 0;
  unsigned connections = 1;  // of publishers
  unsigned clients = 1;      // that are subscribed
  std::size_t window = 256;
  std::size_t bytes = 1024;
  double rate = 0;  // messages a second; 0: as many as the window allows
  double seconds = 2;
  double warm_s = 0.5;
  std::vector<int> watched;  // processes whose CPU time is told
};

/// Times in buckets of 3 %.
class Histogram {
 public:
  void add(Clock::duration time) {
    const auto us = static_cast<std::uint64_t>(std::max<std::int64_t>(1, time.count() / 1000));
    const auto top = static_cast<unsigned>(std::bit_width(us)) - 1;
    const std::uint64_t low = top <= 5 ? us << (5 - top) : us >> (top - 5);
    ++counts_[top * 32 + (low & 31U)];
    ++total_;
  }
  [[nodiscard]] double ms_at(double share) const {
    std::uint64_t left = static_cast<std::uint64_t>(share * static_cast<double>(total_));
    for (unsigned i = 0; i < counts_.size(); ++i) {
      if (counts_[i] > left) return static_cast<double>(32 + i % 32) / 32 * static_cast<double>(1ULL << i / 32) / 1000;
      left -= counts_[i];
    }
    return 0;
  }
  void clear() { *this = {}; }

 private:
  std::array<std::uint64_t, 64 * 32> counts_{};
  std::uint64_t total_ = 0;
};

/// User and system time of a process, in seconds.
double cpu_seconds(int process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/stat");
  std::string text((std::istreambuf_iterator<char>(file)), {});
  std::istringstream rest(text.substr(std::min(text.size(), text.rfind(')') + 1)));
  std::string word;
  double ticks = 0;
  for (int i = 3; i <= 15 && rest >> word; ++i) ticks += i >= 14 ? std::stod(word) : 0;
  return ticks / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

struct Connection {
  int socket = -1;
  std::unique_ptr<Wire> wire;
  std::string rest;  // of a read, not a whole frame yet
  std::string out;
  std::size_t unanswered = 0;
  std::deque<Clock::time_point> asked;
  std::uint64_t next = 0;  // message, of a subscriber
  bool is_watched = false;  // for room to write
};

class Load final : public Listener {
 public:
  explicit Load(const Options& options);
  ~Load();
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  nlohmann::json run();

  void on_message(unsigned number, std::string_view payload) override;
  void on_answer(unsigned number, bool is_good, std::string_view text) override;

 private:
  [[nodiscard]] bool is_fanout() const { return options_.mode == "fanout"; }
  void connect_all();
  void connect(unsigned number);
  void publish(unsigned number);
  void publish_due();
  void turn(Clock::time_point until);
  void read(unsigned number);
  void write(unsigned number);
  void drain();
  [[nodiscard]] nlohmann::json result(double seconds, const std::vector<double>& cpu) const;
  [[nodiscard]] std::vector<double> cpu() const;

  const Options options_;
  const int epoll_;
  std::vector<Connection> connections_;  // subscribers first
  std::vector<char> buffer_ = std::vector<char>(read_bytes + (1u << 16));
  std::string payload_;
  struct Slot {
    std::array<char, number_bytes> number{};
    Clock::time_point at{};
    unsigned taken = 0;  // by so many subscribers
  };
  std::vector<Slot> slots_ = std::vector<Slot>(ring_slots);
  Clock::time_point now_{};
  Clock::time_point started_{};
  std::uint64_t published_ = 0;
  std::uint64_t completed_ = 0;  // messages that every subscriber has
  std::uint64_t delivered_ = 0;
  std::uint64_t answered_ = 0;
  std::uint64_t answered_before_ = 0;  // measuring
  Histogram latency_;
};

Load::Load(const Options& options) : options_(options), epoll_(::epoll_create1(0)) {
  const std::uint64_t nonce = std::random_device()();  // equal bytes would be one message to the mesh
  payload_ = "00000000" + std::to_string(nonce) + " ";
  payload_.resize(options.bytes, 'x');
}

Load::~Load() {
  for (auto& connection : connections_) ::close(connection.socket);
  ::close(epoll_);
}

void Load::connect(unsigned number) {
  Connection& connection = connections_[number];
  WireParams params;
  params.number = number;
  params.is_subscriber = is_fanout() && number < options_.clients;
  params.client = "load-" + std::to_string(::getpid()) + "-" + std::to_string(number);
  params.topic = "bench";
  params.is_answered = !is_fanout();
  connection.wire = make_wire(options_.protocol, params);
  if (!connection.wire) throw std::runtime_error("no protocol " + options_.protocol);
  connection.socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int yes = 1;
  ::setsockopt(connection.socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(options_.port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(connection.socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw std::system_error(errno, std::generic_category(), "connect");
  }
  ::fcntl(connection.socket, F_SETFL, O_NONBLOCK);
  epoll_event event{EPOLLIN, {.u32 = number}};
  ::epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.socket, &event);
  connection.out = connection.wire->hello();
  write(number);
}

void Load::connect_all() {
  connections_.resize(options_.connections + (is_fanout() ? options_.clients : 0));
  const auto end = Clock::now() + patience;
  for (unsigned i = 0; i < connections_.size(); ++i) {
    connect(i);
    while (!connections_[i].wire->is_ready()) {
      if (Clock::now() > end) throw std::runtime_error("connection " + std::to_string(i) + " was not taken in");
      turn(Clock::now() + std::chrono::milliseconds(100));
    }
  }
}

void Load::write(unsigned number) {
  Connection& connection = connections_[number];
  while (!connection.out.empty()) {
    const ssize_t size = ::send(connection.socket, connection.out.data(), connection.out.size(), MSG_NOSIGNAL);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno != EAGAIN) throw std::system_error(errno, std::generic_category(), "send");
    if (size < 0) break;
    connection.out.erase(0, static_cast<std::size_t>(size));
  }
  const bool is_full = !connection.out.empty();
  if (is_full == connection.is_watched) return;
  connection.is_watched = is_full;
  epoll_event event{is_full ? EPOLLIN | EPOLLOUT : EPOLLIN, {.u32 = number}};
  ::epoll_ctl(epoll_, EPOLL_CTL_MOD, connection.socket, &event);
}

void Load::read(unsigned number) {
  Connection& connection = connections_[number];
  std::memcpy(buffer_.data(), connection.rest.data(), connection.rest.size());
  const std::size_t kept = connection.rest.size();
  const ssize_t size = ::recv(connection.socket, buffer_.data() + kept, std::min(read_bytes, buffer_.size() - kept), 0);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size <= 0) throw std::runtime_error("connection " + std::to_string(number) + " was closed");
  now_ = Clock::now();
  const std::string_view bytes(buffer_.data(), kept + static_cast<std::size_t>(size));
  const std::size_t taken = connection.wire->take(bytes, *this, connection.out);
  connection.rest.assign(bytes.substr(taken));
  if (!connection.out.empty()) write(number);
}

void Load::on_message(unsigned number, std::string_view payload) {
  Connection& connection = connections_[number];
  Slot& slot = slots_[connection.next % ring_slots];
  const bool is_right = payload.size() == options_.bytes && connection.next < published_ &&
                        std::memcmp(payload.data(), slot.number.data(), number_bytes) == 0;
  if (!is_right) {
    throw std::runtime_error("client " + std::to_string(number) + " got " + std::string(payload.substr(0, 60)) +
                             " in place of message " + std::to_string(connection.next));
  }
  ++connection.next;
  ++delivered_;
  latency_.add(now_ - slot.at);
  if (++slot.taken == options_.clients) completed_ = connection.next;
}

void Load::on_answer(unsigned number, bool is_good, std::string_view text) {
  Connection& connection = connections_[number];
  if (!is_good) throw std::runtime_error("a publish was refused: " + std::string(text.substr(0, 300)));
  if (is_fanout()) return;
  ++answered_;
  --connection.unanswered;
  latency_.add(now_ - connection.asked.front());
  connection.asked.pop_front();
}

void Load::publish(unsigned number) {
  Connection& connection = connections_[number];
  Slot& slot = slots_[published_ % ring_slots];
  std::uint64_t value = published_++;
  for (std::size_t i = number_bytes; i-- > 0; value /= 10) slot.number[i] = static_cast<char>('0' + value % 10);
  std::memcpy(payload_.data(), slot.number.data(), number_bytes);
  slot.at = Clock::now();
  slot.taken = 0;
  connection.wire->publish(payload_, connection.out);
  if (is_fanout()) return;
  ++connection.unanswered;
  connection.asked.push_back(slot.at);
}

/// What the window and the clock allow.
void Load::publish_due() {
  if (is_fanout()) {
    const unsigned number = options_.clients;
    std::uint64_t limit = completed_ + options_.window;
    if (options_.rate > 0) {
      const double due = duration<double>(Clock::now() - started_).count() * options_.rate;
      limit = std::min(limit, static_cast<std::uint64_t>(due) + 1);
    }
    if (published_ >= limit) return;
    while (published_ < limit) publish(number);
    return write(number);
  }
  for (unsigned number = 0; number < connections_.size(); ++number) {
    Connection& connection = connections_[number];
    if (connection.unanswered >= options_.window) continue;
    while (connection.unanswered < options_.window) publish(number);
    write(number);
  }
}

/// Waits for sockets and serves them.
void Load::turn(Clock::time_point until) {
  std::array<epoll_event, 256> events;
  const auto left = std::max(Clock::duration(0), until - Clock::now());
  const timespec time{std::chrono::duration_cast<std::chrono::seconds>(left).count(),
                      (left % std::chrono::seconds(1)).count()};
  const int count = ::epoll_pwait2(epoll_, events.data(), static_cast<int>(events.size()), &time, nullptr);
  for (int i = 0; i < count; ++i) {
    const auto& event = events[static_cast<std::size_t>(i)];
    if ((event.events & EPOLLOUT) != 0) write(event.data.u32);
    if ((event.events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0) read(event.data.u32);
  }
}

std::vector<double> Load::cpu() const {
  std::vector<double> seconds{cpu_seconds(::getpid())};
  for (const int process : options_.watched) seconds.push_back(cpu_seconds(process));
  return seconds;
}

/// What is under way comes to its end.
void Load::drain() {
  const auto end = Clock::now() + patience;
  const auto is_done = [&] { return is_fanout() ? completed_ == published_ : answered_ == published_; };
  while (!is_done()) {
    if (Clock::now() > end) throw std::runtime_error("messages are missing at the end");
    turn(Clock::now() + std::chrono::milliseconds(100));
  }
}

nlohmann::json Load::result(double seconds, const std::vector<double>& before) const {
  const auto after = cpu();
  std::vector<double> busy;
  for (std::size_t i = 0; i < after.size(); ++i) busy.push_back((after[i] - before[i]) / seconds);
  return {{"seconds", seconds},
          {"delivered_s", static_cast<double>(delivered_) / seconds},
          {"answered_s", static_cast<double>(answered_ - answered_before_) / seconds},
          {"p50_ms", latency_.ms_at(0.5)},
          {"p99_ms", latency_.ms_at(0.99)},
          {"busy", busy}};
}

nlohmann::json Load::run() {
  connect_all();
  started_ = Clock::now();
  const auto measure_at = started_ + std::chrono::duration_cast<Clock::duration>(duration<double>(options_.warm_s));
  const auto end = measure_at + std::chrono::duration_cast<Clock::duration>(duration<double>(options_.seconds));
  const auto pause = options_.rate > 0 ? std::chrono::microseconds(static_cast<long>(5e5 / options_.rate) + 1)
                                       : std::chrono::microseconds(10000);
  const auto serve_until = [&](Clock::time_point until) {
    while (Clock::now() < until) {
      publish_due();
      turn(std::min(until, Clock::now() + pause));
    }
  };
  serve_until(measure_at);
  delivered_ = 0;
  answered_before_ = answered_;
  latency_.clear();
  const auto begin = Clock::now();
  const auto before = cpu();
  serve_until(end);
  auto measured = result(duration<double>(Clock::now() - begin).count(), before);
  drain();
  measured["messages"] = published_;
  return measured;
}

}  // namespace
}  // namespace corelay::bench

int main(int argc, char** argv) {
  corelay::bench::Options options;
  CLI::App app("The load of tools/bench gateway, which starts it.");
  app.add_option("mode", options.mode)->required()->check(CLI::IsMember({"fanout", "publish"}));
  app.add_option("--protocol", options.protocol)->check(CLI::IsMember({"ws", "rest", "grpc", "nats", "jetstream"}));
  app.add_option("--port", options.port)->required();
  app.add_option("--connections", options.connections);
  app.add_option("--clients", options.clients);
  app.add_option("--window", options.window)->check(CLI::Range(1, 16384));
  app.add_option("--bytes", options.bytes)->check(CLI::Range(32, 60000));
  app.add_option("--rate", options.rate);
  app.add_option("--seconds", options.seconds);
  app.add_option("--warm", options.warm_s);
  app.add_option("--watch", options.watched)->delimiter(',');
  CLI11_PARSE(app, argc, argv);
  if (options.mode == "fanout") options.connections = 1;
  try {
    std::cout << corelay::bench::Load(options).run().dump() << std::endl;
  } catch (const std::exception& error) {
    std::cerr << "gateway_load: " << error.what() << "\n";
    return 1;
  }
  return 0;
}
