#include "tools/corelay/coverage_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace corelay::tools {
namespace {

constexpr double width = 860, height = 460;
constexpr double left = 64, right = 230, top = 64, bottom = 52;
constexpr std::array colours{"#1f5fbf", "#c23b22", "#2c8a4b", "#8a4fbf", "#c98a12", "#177f8a",
                             "#8a2f55", "#555555", "#6aa121", "#b05a9c", "#3d3d9e", "#a0522d"};

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else {
      out += c;
    }
  }
  return out;
}

/// Where a time stands on the horizontal axis.
class Axis {
 public:
  Axis(double low, double high) : is_log_(high > 10 * low), low_(is_log_ ? low : 0), high_(high) {}
  [[nodiscard]] double at(double ms) const {
    const double share =
        is_log_ ? std::log(std::max(ms, low_) / low_) / std::log(high_ / low_) : ms / high_;
    return left + share * (width - left - right);
  }
  /// Times to write below the axis.
  [[nodiscard]] std::vector<double> ticks() const {
    std::vector<double> list;
    if (is_log_) {
      for (double decade = std::pow(10, std::floor(std::log10(low_))); decade <= high_;
           decade *= 10) {
        for (const double step : {1.0, 2.0, 5.0}) {
          if (decade * step >= low_ && decade * step <= high_) list.push_back(decade * step);
        }
      }
      return list;
    }
    const double rough = high_ / 6;
    const double power = std::pow(10, std::floor(std::log10(rough)));
    double step = power * 10;
    for (const double candidate : {1.0, 2.0, 5.0}) {
      if (power * candidate >= rough) {
        step = power * candidate;
        break;
      }
    }
    for (double at = 0; at <= high_; at += step) list.push_back(at);
    return list;
  }

 private:
  bool is_log_;
  double low_, high_;
};

double height_of(double share) { return height - bottom - share * (height - top - bottom); }

}  // namespace

std::string coverage_plot(const std::string& title, const std::string& subtitle,
                          const std::vector<Curve>& curves) {
  double low = 1e18, high = 1;
  for (const Curve& curve : curves) {
    if (curve.times_ms.empty()) continue;
    low = std::min(low, std::max(1.0, curve.times_ms.front()));
    high = std::max(high, curve.times_ms.back());
  }
  const Axis axis(std::min(low, high) * 0.9, high * 1.03);
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" "
      "font-family=\"sans-serif\" "
      "font-size=\"13\">\n<rect width=\"{0}\" height=\"{1}\" fill=\"white\"/>\n"
      "<text x=\"{2}\" y=\"26\" font-size=\"17\" font-weight=\"bold\">{3}</text>\n"
      "<text x=\"{2}\" y=\"46\" fill=\"#555\">{4}</text>\n",
      width, height, left, escaped(title), escaped(subtitle));
  for (const double share : {0.0, 0.25, 0.5, 0.75, 1.0}) {
    svg += fmt::format(
        "<line x1=\"{0}\" x2=\"{1}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\" stroke=\"#ddd\"/>"
        "<text x=\"{3}\" y=\"{4:.1f}\" text-anchor=\"end\">{5:.0f} %</text>\n",
        left, width - right, height_of(share), left - 8, height_of(share) + 4, share * 100);
  }
  for (const double tick : axis.ticks()) {
    svg += fmt::format(
        "<line x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1}\" y2=\"{2}\" stroke=\"#eee\"/>"
        "<text x=\"{0:.1f}\" y=\"{3}\" text-anchor=\"middle\">{4:g}</text>\n",
        axis.at(tick), top, height - bottom, height - bottom + 18, tick);
  }
  svg += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">ms since publish</text>\n",
                     (left + width - right) / 2, height - 12);
  for (std::size_t i = 0; i < curves.size(); ++i) {
    const Curve& curve = curves[i];
    const char* colour = colours[i % colours.size()];
    std::string points;
    const std::size_t count = curve.times_ms.size();
    const std::size_t step = std::max<std::size_t>(1, count / 400);
    for (std::size_t at = 0; at < count; ++at) {
      if (at % step != 0 && at + 1 != count) continue;
      points +=
          fmt::format("{:.1f},{:.1f} ", axis.at(curve.times_ms[at]),
                      height_of(static_cast<double>(at + 1) / static_cast<double>(curve.nodes)));
    }
    const double y = top + 10 + 22 * static_cast<double>(i);
    svg += fmt::format(
        "<polyline points=\"{0}\" fill=\"none\" stroke=\"{1}\" stroke-width=\"2\"/>\n"
        "<line x1=\"{2}\" x2=\"{3}\" y1=\"{4}\" y2=\"{4}\" stroke=\"{1}\" stroke-width=\"3\"/>"
        "<text x=\"{5}\" y=\"{6}\">{7}</text>\n",
        points, colour, width - right + 14, width - right + 38, y, width - right + 44, y + 4,
        escaped(curve.name));
  }
  return svg + "</svg>\n";
}

}  // namespace corelay::tools
