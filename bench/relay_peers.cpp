#include "bench/relay_peers.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <sched.h>
#include <sodium.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <fstream>

#include "codec/check.h"
#include "codec/rng.h"
#include "dataplane/ingest.h"

namespace corelay::bench {
namespace {

sockaddr_in loopback_address(std::uint16_t port) noexcept {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

ThreadTime read_schedstat(const std::string& folder) {
  ThreadTime time;
  std::ifstream file(folder + "/schedstat");
  file >> time.run_ns >> time.wait_ns;
  return time;
}

}  // namespace

Instant read_clock() noexcept {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return {t.tv_sec * 1'000'000'000 + t.tv_nsec};
}

void pin_to(int cpu) noexcept {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(cpu), &set);
  sched_setaffinity(0, sizeof set, &set);
}

ThreadTime thread_time(std::string_view name) {
  ThreadTime time;
  DIR* const tasks = opendir("/proc/self/task");
  if (tasks == nullptr) return time;
  while (const dirent* const entry = readdir(tasks)) {
    const std::string folder = std::string("/proc/self/task/") + entry->d_name;
    std::string comm;
    std::ifstream(folder + "/comm") >> comm;
    if (comm == name) time = read_schedstat(folder);
  }
  closedir(tasks);
  return time;
}

ThreadTime own_thread_time() { return read_schedstat("/proc/thread-self"); }

Endpoint loopback(std::uint16_t port) noexcept {
  return {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1}, port};
}

SessionEnds make_session(std::uint64_t seed) {
  Rng rng(seed);
  const auto direction = [&rng] {
    dataplane::DirectionKeys keys;
    keys.key_id = static_cast<std::uint32_t>(rng.next());
    for (std::uint8_t& byte : keys.key) byte = static_cast<std::uint8_t>(rng.next());
    for (std::uint8_t& byte : keys.iv) byte = static_cast<std::uint8_t>(rng.next());
    return keys;
  };
  const auto out = direction();
  const auto in = direction();
  return {{out, in}, {in, out}};
}

std::vector<std::unique_ptr<PreparedMessage>> make_messages(std::size_t count, std::size_t bytes, std::uint64_t seed,
                                                            const RelayParams& params) {
  CHECK(sodium_init() >= 0);
  std::array<std::uint8_t, crypto_sign_SEEDBYTES> key_seed{};
  key_seed.fill(17);
  dataplane::PublisherKey public_key{};
  std::array<std::uint8_t, crypto_sign_SECRETKEYBYTES> secret_key{};
  CHECK(crypto_sign_seed_keypair(public_key.data(), secret_key.data(), key_seed.data()) == 0);
  const dataplane::Signer sign = [&](std::span<const std::uint8_t> text) {
    dataplane::Signature signature;
    CHECK(crypto_sign_detached(signature.data(), nullptr, text.data(), text.size(), secret_key.data()) == 0);
    return signature;
  };
  Rng rng(seed);
  std::vector<std::unique_ptr<PreparedMessage>> messages;
  for (std::size_t i = 0; i < count; ++i) {
    std::vector<std::uint8_t> payload(bytes);
    std::size_t at = 0;
    for (; at + 8 <= bytes; at += 8) {
      const std::uint64_t word = rng.next();
      std::memcpy(payload.data() + at, &word, 8);
    }
    for (; at < bytes; ++at) payload[at] = static_cast<std::uint8_t>(rng.next());
    auto prepared = dataplane::prepare_message(std::move(payload), bench_topic, public_key, i + 1, 0, params, sign);
    CHECK(prepared);
    messages.push_back(std::make_unique<PreparedMessage>(std::move(*prepared)));
  }
  return messages;
}

LoopbackSocket::LoopbackSocket() : fd_(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
  CHECK(fd_ >= 0);
  const int buffer = 16 << 20;
  setsockopt(fd_, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
  sockaddr_in address = loopback_address(0);
  socklen_t length = sizeof address;
  CHECK(bind(fd_, reinterpret_cast<sockaddr*>(&address), length) == 0);
  CHECK(getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &length) == 0);
  port_ = ntohs(address.sin_port);
}

LoopbackSocket::~LoopbackSocket() { close(fd_); }

void LoopbackSocket::connect_to(std::uint16_t port) const {
  const sockaddr_in address = loopback_address(port);
  CHECK(connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
}

void ReceivedLink::note(std::uint32_t sequence, Instant now) noexcept {
  ++fresh_;
  if (sequence > highest_) {
    const std::uint32_t shift = sequence - highest_;
    highest_ = sequence;
    highest_at_ = now;
    const std::uint32_t whole = shift / 64;
    const std::uint32_t part = shift % 64;
    for (std::size_t i = words_.size(); i-- > 0;) {
      const std::uint64_t high = i >= whole ? words_[i - whole] : 0;
      const std::uint64_t low = i >= whole + 1 ? words_[i - whole - 1] : 0;
      words_[i] = part == 0 ? high : (high << part) | (low >> (64 - part));
    }
  }
  const std::uint32_t back = highest_ - sequence;
  if (back < 64 * words_.size()) words_[back / 64] |= std::uint64_t{1} << (back % 64);
}

std::uint32_t ReceivedLink::delay_us(Instant now) const noexcept {
  return static_cast<std::uint32_t>((now - highest_at_).ns / 1000);
}

double quantile(std::vector<double>& values, double q) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1))];
}

}  // namespace corelay::bench
