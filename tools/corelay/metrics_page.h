/// A page of metrics in Prometheus's text format, as a node's /metrics has it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace corelay::tools {

class MetricsPage {
 public:
  /// Takes every "name{labels} value" line; comments and lines that are none are passed over. At most 65,536 samples.
  [[nodiscard]] static MetricsPage parse(std::string_view text);

  /// Summed over labels; 0 where there is none.
  [[nodiscard]] double total(std::string_view name) const;
  [[nodiscard]] bool has(std::string_view name) const;
  /// The value for one lane, label lane="N"; 0 where there is none.
  [[nodiscard]] double of_lane(std::string_view name, unsigned lane) const;
  /// Lanes the page knows, counted from 0.
  [[nodiscard]] unsigned lanes() const noexcept { return lanes_; }
  /// Every name with this beginning, with its total.
  [[nodiscard]] std::map<std::string, double> beginning_with(std::string_view prefix) const;

 private:
  struct Sample {
    double total = 0;
    std::map<unsigned, double> by_lane;
  };
  std::map<std::string, Sample, std::less<>> samples_;
  unsigned lanes_ = 0;
};

}  // namespace corelay::tools
