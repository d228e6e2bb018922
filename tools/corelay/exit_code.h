/// What `corelay` tells the shell. The numbers are part of the interface: `corelay --help` lists
/// them.
#pragma once

namespace corelay::tools {

enum class ExitCode : int {
  ok = 0,
  failed = 1,       // something else went wrong; the message says what
  usage = 2,        // the command line, or a file it names, is wrong
  unreachable = 3,  // nobody answers at the address
  refused = 4,      // the node answered and said no: too large, no peers, duplicate
  timed_out = 5,    // no answer, or too few messages, in the time given
};

}  // namespace corelay::tools
