/// How loaded this machine is, as the health APIs show it: processor, memory and disk in percent. Measured from /proc
/// and statvfs when asked, at most once a second.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

namespace corelay::daemon {

struct SystemLoad {
  double cpu_percent = 0;     // of all cores, since the measurement before
  double memory_percent = 0;  // of what the machine has, counting caches as free
  double disk_percent = 0;    // of the file system that holds the identity folder
};

class SystemStats {
 public:
  /// `folder` names the file system.
  explicit SystemStats(std::string folder);
  /// Any thread.
  [[nodiscard]] SystemLoad load() const;

 private:
  struct CpuTimes {
    std::uint64_t busy = 0;
    std::uint64_t total = 0;
  };
  static CpuTimes cpu_times();

  std::string folder_;
  mutable std::mutex mutex_;
  mutable CpuTimes times_;
  mutable SystemLoad load_;
  mutable std::chrono::steady_clock::time_point measured_{};
};

/// This process alone, for metrics.
struct ProcessUse {
  double cpu_seconds = 0;
  std::uint64_t resident_bytes = 0;
  std::uint64_t open_files = 0;
};
[[nodiscard]] ProcessUse process_use();

}  // namespace corelay::daemon
