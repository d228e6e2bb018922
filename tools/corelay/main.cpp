// corelay: the command line of a Corelay node and of a local fleet of them.
#include "tools/corelay/command_line.h"

int main(int argc, char** argv) { return corelay::tools::run_command_line(argc, argv); }
