// The program under what only a shell can do to it: limits, closed descriptors, pipes, ignored
// signals.
#pragma once

#include <string>
#include <vector>

#include "tests/tools/program.h"

namespace mneme::test {

// Words that run `mneme WORDS` inside a line of the shell, where $M stands for it:
// in_shell("ulimit -v 1000; exec $M <&-", {"train", "run.toml"}).
inline std::vector<std::string> in_shell(const std::string& line,
                                         const std::vector<std::string>& words) {
  std::string quoted = line;
  for (std::size_t at = 0; (at = quoted.find("$M", at)) != std::string::npos;) {
    quoted.replace(at, 2, "\"$0\" \"$@\"");
  }
  std::vector<std::string> command = {"/bin/sh", "-c", quoted};
  command.emplace_back(MNEME_PROGRAM);
  command.insert(command.end(), words.begin(), words.end());
  return command;
}

}  // namespace mneme::test
