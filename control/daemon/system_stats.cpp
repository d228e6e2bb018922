#include "control/daemon/system_stats.h"

#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace corelay::daemon {
namespace {

constexpr std::chrono::seconds measure_every{1};

double memory_percent() {
  std::ifstream file("/proc/meminfo");
  double total = 0;
  double available = 0;
  std::string name;
  double kibibytes = 0;
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    fields >> name >> kibibytes;
    if (name == "MemTotal:") total = kibibytes;
    if (name == "MemAvailable:") available = kibibytes;
  }
  return total > 0 ? 100 * (total - available) / total : 0;
}

double disk_percent(const std::string& folder) {
  struct statvfs disk {};
  if (statvfs(folder.c_str(), &disk) != 0) return 0;
  // As df shows it: of what an ordinary user could fill.
  const double used = static_cast<double>(disk.f_blocks - disk.f_bfree);
  const double usable = used + static_cast<double>(disk.f_bavail);
  return usable > 0 ? 100 * used / usable : 0;
}

}  // namespace

SystemStats::SystemStats(std::string folder) : folder_(std::move(folder)), times_(cpu_times()) {}

SystemStats::CpuTimes SystemStats::cpu_times() {
  std::ifstream file("/proc/stat");
  std::string name;
  file >> name;
  CpuTimes times;
  std::uint64_t value = 0;
  for (int column = 0; column < 8 && (file >> value); ++column) {  // user nice system idle iowait irq softirq steal
    times.total += value;
    if (column != 3 && column != 4) times.busy += value;
  }
  return times;
}

SystemLoad SystemStats::load() const {
  const std::lock_guard lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  if (measured_ != std::chrono::steady_clock::time_point{} && now - measured_ < measure_every) return load_;
  measured_ = now;
  const CpuTimes times = cpu_times();
  if (times.total > times_.total) {
    load_.cpu_percent =
        100 * static_cast<double>(times.busy - times_.busy) / static_cast<double>(times.total - times_.total);
    times_ = times;
  }
  load_.memory_percent = memory_percent();
  load_.disk_percent = disk_percent(folder_);
  return load_;
}

ProcessUse process_use() {
  ProcessUse use;
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) == 0) {
    const auto seconds = [](const timeval& t) {
      return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
    };
    use.cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime);
  }
  std::ifstream statm("/proc/self/statm");
  std::uint64_t pages = 0;
  if (statm >> pages >> pages) use.resident_bytes = pages * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  std::error_code error;
  for (auto at = std::filesystem::directory_iterator("/proc/self/fd", error);
       !error && at != std::filesystem::directory_iterator(); at.increment(error)) {
    ++use.open_files;
  }
  return use;
}

}  // namespace corelay::daemon
