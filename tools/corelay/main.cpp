// corelay: the command line of a Corelay node and of a local fleet of them.
#include <cstdio>
#include <exception>

#include "tools/corelay/command_line.h"

int main(int argc, char** argv) {
  try {
    return corelay::tools::run_command_line(argc, argv);
  } catch (const std::exception& error) {  // a library's: ours come back as Expected
    std::fprintf(stderr, "corelay: %s\n", error.what());
    return 1;
  }
}
