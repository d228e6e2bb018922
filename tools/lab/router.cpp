#include "tools/lab/router.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>
#include <utility>

namespace corelay::lab {
namespace {

constexpr std::uint32_t input_mark = 0xffffffff;
constexpr std::size_t ipv4_header_bytes = 20;
constexpr std::uint8_t protocol_tcp = 6;
constexpr int ready_max = 64;

Instant read_clock() noexcept {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return {t.tv_sec * 1'000'000'000 + t.tv_nsec};
}

bool watch(int poll, int fd, std::uint32_t mark) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u32 = mark;
  return ::epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event) == 0;
}

nlohmann::ordered_json quantiles(const Lateness& what) {
  return {{"p50_ms", what.quantile_ms(0.5)}, {"p99_ms", what.quantile_ms(0.99)}, {"max_ms", what.max_ms()}};
}

}  // namespace

Router::Router(const sim::PropagationScenario& scenario, std::uint64_t seed, std::vector<Descriptor> devices)
    : devices_(std::move(devices)),
      links_(scenario, seed, [this](NodeId to, Bytes packet, Instant due) { deliver(to, packet, due); }),
      poll_(::epoll_create1(EPOLL_CLOEXEC)) {}

Expected<void> Router::run() {
  bool is_watched = watch(poll_.get(), STDIN_FILENO, input_mark);
  for (NodeId n = 0; n < devices_.size(); ++n) is_watched = is_watched && watch(poll_.get(), devices_[n].get(), n);
  if (!is_watched) return fail(ErrorCode::internal, "epoll", "cannot watch the devices", errno);
  Instant looked = read_clock();
  while (!is_over_) {
    turn_.note(read_clock() - looked);
    wait();
    looked = read_clock();
    links_.advance(looked);
    read_devices();
    if (has_input_) read_commands();
  }
  return {};
}

/// Until a device or standard input has something, or a packet is due.
void Router::wait() {
  timespec left{1, 0};
  if (const Instant due = links_.next_due(); due != dataplane::never) {
    const std::int64_t ns = std::clamp<std::int64_t>((due - read_clock()).ns, 0, 1'000'000'000);
    left = {ns / 1'000'000'000, ns % 1'000'000'000};
  }
  std::array<epoll_event, ready_max> events;
  const int count = ::epoll_pwait2(poll_.get(), events.data(), ready_max, &left, nullptr);
  ready_.clear();
  has_input_ = false;
  for (int i = 0; i < count; ++i) {
    const std::uint32_t mark = events[static_cast<std::size_t>(i)].data.u32;
    if (mark == input_mark) {
      has_input_ = true;
    } else {
      ready_.push_back(mark);
    }
  }
}

void Router::read_devices() {
  for (const NodeId n : ready_) {
    read_device(n);
    links_.advance(read_clock());
  }
}

void Router::read_device(NodeId n) {
  for (std::size_t i = 0; i < reads_a_turn; ++i) {
    const ssize_t bytes = ::read(devices_[n].get(), packet_.data(), packet_.size());
    if (bytes <= 0) return;
    take(n, Bytes{packet_.data(), static_cast<std::size_t>(bytes)});
  }
}

void Router::take(NodeId from, Bytes packet) {
  const bool is_ipv4 = packet.size() >= ipv4_header_bytes && packet[0] >> 4 == 4;
  const NodeId to = is_ipv4 ? NodeId{packet[19]} - 1 : input_mark;  // last number of the destination
  if (to >= devices_.size() || to == from || packet[16] >= 224) {
    ++strays_;
    return;
  }
  const Instant now = read_clock();
  links_.advance(now);
  links_.submit(now, from, to, packet, packet[9] == protocol_tcp);
}

void Router::deliver(NodeId to, Bytes packet, Instant due) {
  if (::write(devices_[to].get(), packet.data(), packet.size()) < 0) ++refused_;
  late_.note(read_clock() - due);
}

void Router::read_commands() {
  std::array<char, 256> text;
  const ssize_t bytes = ::read(STDIN_FILENO, text.data(), text.size());
  if (bytes <= 0) {
    is_over_ = true;
    return;
  }
  input_.append(text.data(), static_cast<std::size_t>(bytes));
  for (std::size_t end = 0; (end = input_.find('\n')) != std::string::npos;) {
    obey(input_.substr(0, end));
    input_.erase(0, end + 1);
  }
}

void Router::obey(const std::string& command) {
  std::string answer = R"({"done": true})";
  if (command == "stats") {
    answer = stats();
  } else if (command == "reset") {
    late_.reset();
    turn_.reset();
  } else if (command == "loss on" || command == "loss off") {
    links_.set_lossy(command == "loss on");
  } else {
    answer = R"({"error": "no such command"})";
  }
  std::printf("%s\n", answer.c_str());
  std::fflush(stdout);
}

std::string Router::stats() const {
  nlohmann::ordered_json found;
  found["late"] = quantiles(late_);
  found["turn"] = quantiles(turn_);
  found["delivered"] = late_.count();
  const sim::Network& network = links_.network();
  found["drops_uplink"] = network.drops_up;
  found["drops_downlink"] = network.drops_down;
  found["lost"] = network.drops_way;
  found["refused"] = refused_;
  found["strays"] = strays_;
  for (const Sent& sent : links_.sent()) found["sent"].push_back({sent.bytes, sent.packets, sent.tcp_bytes});
  return found.dump();
}

}  // namespace corelay::lab
