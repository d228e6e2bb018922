/// The lab's router: moves packets between TUN devices, one a node, through RoutedLinks, and measures how late it is.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "codec/expected.h"
#include "tools/lab/lateness.h"
#include "tools/lab/routed_links.h"
#include "tools/lab/tun.h"

namespace corelay::lab {

class Router {
 public:
  /// `devices`: of node 0, 1, ... Node n has the address with n + 1 as its last number.
  Router(const sim::PropagationScenario& scenario, std::uint64_t seed, std::vector<Descriptor> devices);

  /// Moves packets until standard input ends. Each line there is a command: "loss on", "loss off", "reset" (of the
  /// figures), "stats"; each is answered by one line of JSON.
  Expected<void> run();

 private:
  void wait();
  void read_devices();
  void read_device(NodeId n);
  void take(NodeId from, Bytes packet);
  void deliver(NodeId to, Bytes packet, Instant due);
  void read_commands();
  void obey(const std::string& command);
  [[nodiscard]] std::string stats() const;

  static constexpr std::size_t reads_a_turn = 32;  // of one device, then the others and what is due have their turn

  std::vector<Descriptor> devices_;
  RoutedLinks links_;
  Descriptor poll_;
  bool is_over_ = false;
  bool has_input_ = false;  // of commands
  std::vector<NodeId> ready_;
  std::array<std::uint8_t, 4096> packet_{};
  std::string input_;
  Lateness late_;             // written after it was due
  Lateness turn_;             // from one look at the devices to the next: a packet waits no longer to be seen
  std::uint64_t strays_ = 0;  // packets to nobody: multicast and the like
  std::uint64_t refused_ = 0;  // by the kernel, on their way into a node
};

}  // namespace corelay::lab
