/// Coverage over time as an SVG drawing.
#pragma once

#include <string>
#include <vector>

namespace corelay::tools {

/// One line of the plot.
struct Curve {
  std::string name;
  std::vector<double> times_ms;  // sorted: when each node had the message
  std::size_t nodes = 0;         // who should have it
};

/// A complete SVG document: share of nodes over time, the time axis logarithmic where the curves
/// differ by more than a factor of ten.
[[nodiscard]] std::string coverage_plot(const std::string& title, const std::string& subtitle,
                                        const std::vector<Curve>& curves);

}  // namespace corelay::tools
