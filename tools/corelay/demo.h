/// The fleet's proof: a file goes in at one node, and the time and digest with which it comes out
/// at the others.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "codec/expected.h"
#include "tools/corelay/fleet.h"

namespace corelay::tools {

struct DemoArrival {
  std::uint32_t node = 0;
  std::chrono::nanoseconds after{
      0};  // from the publish call to the whole message at the subscriber
  std::uint64_t bytes = 0;
  bool is_same = false;  // SHA-256 equal to the file's
};

struct DemoResult {
  std::string topic;
  std::string file;
  std::uint64_t bytes = 0;
  std::string sha256;  // hex
  std::uint32_t publisher = 0;
  std::vector<DemoArrival> arrivals;  // in the order of arrival
};

/// Reads the file, or makes one of about 4 MiB of random bytes in the fleet's folder where `file`
/// is empty.
[[nodiscard]] Expected<std::string> demo_file(const Fleet& fleet, const std::string& file);

/// Subscribes every node but the publisher (node 2, or the only one) to the topic "demo", publishes
/// and waits. Errors: what the sidecar says; timed_out naming the nodes still waiting.
[[nodiscard]] Expected<DemoResult> run_demo(const Fleet& fleet, const std::string& file,
                                            std::chrono::milliseconds timeout);

}  // namespace corelay::tools
