#include "tools/corelay/metrics_page.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "tools/corelay/text.h"

namespace corelay::tools {
namespace {

constexpr std::size_t samples_max = 65536;
constexpr unsigned lanes_max = 1024;

std::optional<unsigned> lane_of(std::string_view labels) {
  constexpr std::string_view key = "lane=\"";
  const std::size_t at = labels.find(key);
  if (at == std::string_view::npos) return std::nullopt;
  labels.remove_prefix(at + key.size());
  const auto lane = parse_number(labels.substr(0, labels.find('"')));
  return lane && *lane < lanes_max ? std::optional(static_cast<unsigned>(*lane)) : std::nullopt;
}

/// As Prometheus has names; they are shown to people.
bool is_name(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == ':';
  });
}

}  // namespace

MetricsPage MetricsPage::parse(std::string_view text) {
  MetricsPage page;
  std::size_t taken = 0;
  while (!text.empty() && taken < samples_max) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (line.empty() || line.front() == '#') continue;
    const std::size_t name_end = std::min(line.find_first_of("{ "), line.size());
    const std::string_view name = line.substr(0, name_end);
    std::string_view labels;
    line.remove_prefix(name_end);
    if (line.starts_with('{')) {
      const std::size_t close = line.rfind('}');
      if (close == std::string_view::npos) continue;
      labels = line.substr(0, close);
      line.remove_prefix(close + 1);
    }
    while (line.starts_with(' ')) line.remove_prefix(1);
    double value = 0;
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), value);
    if (error != std::errc{} || !is_name(name) || !std::isfinite(value)) continue;
    ++taken;
    Sample& sample = page.samples_[std::string(name)];
    sample.total += value;
    if (const auto lane = lane_of(labels)) {
      sample.by_lane[*lane] += value;
      page.lanes_ = std::max(page.lanes_, *lane + 1);
    }
  }
  return page;
}

double MetricsPage::total(std::string_view name) const {
  const auto found = samples_.find(name);
  return found == samples_.end() ? 0 : found->second.total;
}

bool MetricsPage::has(std::string_view name) const { return samples_.find(name) != samples_.end(); }

double MetricsPage::of_lane(std::string_view name, unsigned lane) const {
  const auto found = samples_.find(name);
  if (found == samples_.end()) return 0;
  const auto value = found->second.by_lane.find(lane);
  return value == found->second.by_lane.end() ? 0 : value->second;
}

std::map<std::string, double> MetricsPage::beginning_with(std::string_view prefix) const {
  std::map<std::string, double> found;
  for (auto at = samples_.lower_bound(prefix); at != samples_.end() && at->first.starts_with(prefix); ++at)
    found[at->first] = at->second.total;
  return found;
}

}  // namespace corelay::tools
