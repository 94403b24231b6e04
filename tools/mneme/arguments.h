// The command line's grammar: `mneme COMMAND ...` -> one of the option structs of commands.h.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/mneme/commands.h"

namespace mneme::tools {

struct Arguments {
  std::optional<Command> command;  // what to run; without one, print and leave with exit_code
  int exit_code = 0;               // 0 after --help and --version, 2 for wrong usage
  std::string output;              // for standard output
  std::string error;               // for standard error: one line
};

// arguments: without the program's name. Never prints, never throws for wrong usage.
Arguments parse_arguments(const std::vector<std::string>& arguments);

// A script that completes the grammar in that shell.
std::string completion_script(Shell shell);

}  // namespace mneme::tools
