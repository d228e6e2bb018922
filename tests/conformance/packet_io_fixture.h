/// One suite for every backend. A Rig opens ends of one kind, a Case says which kind and with which offloads.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "dataplane/io/memory_io.h"
#include "dataplane/io/packet_io.h"

namespace corelay::dataplane {

enum class Backend : std::uint8_t { memory, socket, uring };

struct IoCase {
  Backend backend = Backend::memory;
  bool gso = true;
  bool gro = true;
};
std::string name_of(const IoCase& c);

using Datagram = std::vector<std::uint8_t>;

/// `bytes` bytes that depend on peer and number alone.
Datagram make_datagram(std::uint32_t peer, std::uint32_t number, std::size_t bytes);

class PacketIoTest : public testing::TestWithParam<IoCase> {
 protected:
  /// Skips the io_uring cases, with the reason, where the kernel has none or refuses it, as in many containers.
  void SetUp() override;
  static IoConfig config();
  /// A backend of the case's kind on loopback; null, with a message, when it cannot be opened.
  std::unique_ptr<PacketIo> open(const IoConfig& io);
  std::unique_ptr<PacketIo> open() { return open(config()); }

  /// Sends `datagrams`, all of one size but the last, to `peer` as one run; polls until it is accepted.
  static void send_run(PacketIo& io, PeerIndex peer, const std::vector<Datagram>& datagrams);

  /// Receives until `count` datagrams came or nothing comes any more, releasing at once.
  static std::vector<Datagram> receive(PacketIo& io, std::size_t count);

  MemoryNetwork network_;
};

/// For what only a backend over the system can show: it waits, and its receive buffers have bounds.
class SystemIoTest : public PacketIoTest {};

/// Where `io` receives, on loopback.
Endpoint loopback_endpoint(const PacketIo& io);

/// Takes every buffer there is, and gives them all back; the number. For leak checks.
std::size_t count_tx_buffers(PacketIo& io);

}  // namespace corelay::dataplane
