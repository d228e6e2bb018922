/// Ctrl-C and SIGTERM as a flag that loops look at, so that a command ends at a place of its own
/// choosing.
#pragma once

namespace corelay::tools {

/// From now on SIGINT and SIGTERM set the flag; a second one of them ends the process at once.
void catch_interrupts();
/// That end first writes this to standard output: what brings a terminal back. Null: nothing. `text` stays.
void write_when_killed(const char* text) noexcept;
[[nodiscard]] bool is_interrupted() noexcept;

}  // namespace corelay::tools
