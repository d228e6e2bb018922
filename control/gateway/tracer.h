/// How messages fare, as the published tracer shows it: what was published here and when the nodes had it, over the
/// last minutes, bounded.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "control/gateway/hub.h"

namespace corelay::gateway {

class Tracer final : public MessageObserver {
 public:
  void on_published(const std::string& id, const std::string& topic, std::size_t bytes, Instant now) override;
  void on_report(const std::string& id, const std::string& topic, std::size_t bytes, bool is_duplicate,
                 Instant now) override;
  void reset();

  /// The snapshot as JSON over the last `window`.
  [[nodiscard]] std::string snapshot(std::chrono::seconds window, unsigned active_nodes, unsigned unhealthy_nodes,
                                     Instant now) const;

 private:
  struct Trace {
    std::string id;
    std::string topic;
    Instant begin{};
    Instant last{};  // report
    bool is_published = false;
    unsigned nodes = 0;
    unsigned duplicates = 0;
    std::size_t bytes = 0;
  };
  Trace& trace_of(const std::string& id, const std::string& topic, Instant now);

  std::vector<Trace> ring_;  // in the order of their beginning from next_ on, once it is full
  std::size_t next_ = 0;
  std::unordered_map<std::string_view, std::size_t> index_;  // in ring_, by the id there
};

}  // namespace corelay::gateway
