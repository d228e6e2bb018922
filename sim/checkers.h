/// What must hold of every run, whatever the scenario. Each checker returns its findings in words,
/// none when all is well, and each has a test that plants a fault and sees it found.
#pragma once

#include <string>
#include <vector>

#include "sim/results.h"

namespace corelay::sim {

using Findings = std::vector<std::string>;

/// Every payload handed to control is the one that was published.
[[nodiscard]] Findings check_bytes(const Results& results);
/// Nobody was handed a message twice in one life, and no publish was answered twice.
[[nodiscard]] Findings check_exactly_once(const Results& results);
/// Everybody has every message owed to them, no relay is stuck, and every publish of a living node
/// was answered.
[[nodiscard]] Findings check_liveness(const Results& results);
/// After the quiet at the end no relay holds a message, a generation or a cell.
[[nodiscard]] Findings check_buffers(const Results& results);
/// Every datagram sent is accounted for: taken, lost by the network, or counted by the one who
/// dropped it; every frame taken has one counter that says what it was or why it was dropped.
[[nodiscard]] Findings check_drops(const Results& results);
/// In the end every mesh is symmetric and within its degrees.
[[nodiscard]] Findings check_mesh(const Results& results);

[[nodiscard]] Findings check_all(const Results& results);

}  // namespace corelay::sim
